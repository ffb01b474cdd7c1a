"""The example of a hub with OutpostSpawner as it is; what differs is that all pods share this machine's network, and that users'
options say how a server is started: the tests' handle on it."""

import os
import pathlib
from urllib.parse import urlsplit

c = get_config()  # noqa: F821

HERE = pathlib.Path(__file__).resolve().parent
load_subconfig("jupyterhub_config.py", path=str(HERE))  # noqa: F821  the hub itself
load_subconfig("outpost_jupyterhub_config.py", path=str(HERE.parent.parent / "deploy/examples"))  # noqa: F821

# What demo and tests set for the other spawner is not in the way; this one is.
c.Spawner.pre_spawn_hook = lambda spawner: None
# The same after a restart: servers that run have it in their environment.
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['HUB_API_PORT']}"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.log_level = "DEBUG"  # polls are told there
# Milliseconds. A poll that finds a start over cancels it, and the hub shows no reason then.
c.OutpostSpawner.custom_poll_interval = lambda spawner, options: options.get("poll_interval", 1000)
# A port of its own for each server, and no name that leads to a Service.
c.OutpostSpawner.custom_port = 0


def on_this_machine(spawner, address):
    """The address that the hub would use leads to the pod's port here."""
    spawner.log.info(f"The server of {spawner.user.name}/{spawner.name} is at {address}")
    url = urlsplit(address)
    return f"{url.scheme}://127.0.0.1:{url.port}"


c.OutpostSpawner.update_expected_path = on_this_machine
c.Spawner.post_stop_hook = lambda spawner: spawner.log.info(
    f"The server of {spawner.user.name}/{spawner.name} ended with {spawner.exit_code}"
)
c.OutpostSpawner.start_async = lambda spawner: bool(spawner.user_options.get("start_async"))
c.OutpostSpawner.stop_async = lambda spawner: bool(spawner.user_options.get("stop_async"))
c.OutpostSpawner.custom_misc = lambda spawner, options: dict(options.get("misc") or {})
c.OutpostSpawner.extra_labels = {"example.org/hub": os.environ["K8SMGR_CREDENTIAL"]}

# K8s Manager tells how many of each flavor are in use.
c.JupyterHub.custom_scopes = {"custom:outpostflavors:set": {"description": "Tell what flavors there are."}}
c.JupyterHub.services.append({"name": "outpost", "api_token": os.environ["FLAVORS_TOKEN"]})
c.JupyterHub.load_roles.append({"name": "outpost", "services": ["outpost"], "scopes": ["custom:outpostflavors:set"]})
c.OutpostSpawner.custom_env = lambda spawner, options, api_url: {
    "JUPYTERHUB_FLAVORS_UPDATE_URL": f"{api_url}/outpostflavors/k8smgr",
    "JUPYTERHUB_FLAVORS_UPDATE_TOKEN": os.environ["FLAVORS_TOKEN"],
}

if os.environ.get("HUB_INTERNAL_SSL"):
    c.JupyterHub.internal_ssl = True
    c.JupyterHub.hub_bind_url = c.JupyterHub.hub_bind_url.replace("http:", "https:")
    c.ConfigurableHTTPProxy.api_url = c.ConfigurableHTTPProxy.api_url.replace("http:", "https:")
    c.JupyterHub.internal_certs_location = f"{os.environ['HUB_STATE']}/certificates"
    # The hub's own address asks for a certificate of each client, which K8s Manager has not: it tells starts through the proxy.
    c.OutpostSpawner.public_api_url = f"http://127.0.0.1:{os.environ['HUB_PORT']}/hub/api"
