"""JupyterHub with EventBackendSpawner in front of K8s Manager: the demo's configuration, and one to start from.

Where a real installation differs, the line above says how. What varies comes from the environment (scripts/demo).
"""

import asyncio
import base64
import os
import pathlib
import socket
from urllib.parse import quote

import backendspawner

c = get_config()  # noqa: F821

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
STATE = pathlib.Path(os.environ["HUB_STATE"])
SERVICES = os.environ["K8SMGR_URL"] + "/api/services/"
CREDENTIAL = os.environ["K8SMGR_CREDENTIAL"]
PASSWORD = os.environ["K8SMGR_PASSWORD"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- the hub itself ---------------------------------------------------------------------------------------------------

c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['HUB_PORT']}"
# The pods must reach this address; on a real cluster the hub's Service (hub_connect_url).
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{free_port()}"
c.JupyterHub.db_url = f"sqlite:///{STATE}/jupyterhub.sqlite"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{free_port()}"
c.ConfigurableHTTPProxy.command = [str(REPOSITORY / "node_modules/.bin/configurable-http-proxy")]
c.ConfigurableHTTPProxy.pid_file = f"{STATE}/proxy.pid"

# Any name with the one password: for the demo on this machine only.
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ["HUB_PASSWORD"]
c.Authenticator.allow_all = True

c.JupyterHub.allow_named_servers = True
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}  # the progress page at once

# --- K8s Manager ------------------------------------------------------------------------------------------------------


class Spawner(backendspawner.EventBackendSpawner):
    """With events of its own: 0.4.0 keeps them in the class, where all users share them and a stray one breaks the API."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.events, self.latest_events = {}, []

    async def stop(self, now=False, cancel=False, event=None):
        """K8s Manager says why a start failed: the page is shown that first, since 0.4.0 ends it before it has looked."""
        if cancel and isinstance(event, dict) and self.pending == "spawn" and not self.already_stopped:
            failed = self.start_id
            self.latest_events.append(event)
            await asyncio.sleep(1.5 * self.yield_wait_seconds)
            if self.pending != "spawn" or self.start_id != failed:
                return  # it was stopped meanwhile, and perhaps started again
            event = None
        await super().stop(now, cancel, event)


c.JupyterHub.spawner_class = Spawner


def server_name(spawner):
    """The server's name at K8s Manager (the header uuidcode): one for all users of this hub.

    Two users may both have a server called "lab", so the user's number is part of it. The default server has no name of
    its own, and K8s Manager needs one: it is the user's number alone.
    """
    user = f"u{spawner.user.orm_user.id}"
    return f"{user}-{spawner.name}" if spawner.name else user


def server_url(spawner):
    return SERVICES + quote(server_name(spawner), safe="") + "/"


def headers(spawner):
    login = base64.b64encode(f"{CREDENTIAL}:{PASSWORD}".encode()).decode()
    return {
        "Authorization": f"Basic {login}",
        # Tornado writes headers as Latin-1 and K8s Manager reads UTF-8: this puts UTF-8 on the wire.
        "uuidcode": server_name(spawner).encode().decode("latin-1"),
        "Accept": "application/json",
        "Content-Type": "application/json",
    }


async def start_request(spawner):
    env = spawner.get_env()
    env["JUPYTERHUB_USER_ID"] = spawner.user.orm_user.id
    body = {
        "env": env,
        # The description to start; a form on the spawn page (options_form) may let users choose another.
        "user_options": {"service": "JupyterLab/Default", **spawner.user_options},
        "start_id": spawner.start_id,
    }
    auth_state = await spawner.user.get_auth_state()
    return {**body, "auth_state": auth_state} if auth_state else body


c.BackendSpawner.request_url_start = SERVICES
c.BackendSpawner.request_url_poll = server_url
c.BackendSpawner.request_url_stop = server_url
c.BackendSpawner.request_headers_start = headers
c.BackendSpawner.request_headers_poll = headers
c.BackendSpawner.request_headers_stop = headers
c.BackendSpawner.request_body_start = start_request
c.BackendSpawner.request_kwargs = {"request_timeout": 30}

# A poll that gets no answer would end a healthy server: while K8s Manager restarts, servers are taken as running. (404
# counts as no answer, too: a server that K8s Manager does not know runs for the hub until the user stops it.)
c.BackendSpawner.request_failed_poll_keep_running = True
c.BackendSpawner.poll_interval = 10_000  # milliseconds, whatever its help says
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120

# --- where the server listens -----------------------------------------------------------------------------------------

# Pods of the embedded cluster share the machine's network, so each start gets a port of its own. On a real cluster:
#   c.Spawner.ip = "0.0.0.0"
#   c.BackendSpawner.custom_port = 8080
#   c.BackendSpawner.service_address = lambda spawner: (
#       f"lab-{object_id(server_name(spawner), spawner.start_id)}.{NAMESPACE}.svc")      # docs/object_id.py
# with the name of the description's Service.
c.Spawner.ip = "127.0.0.1"
c.BackendSpawner.service_address = "127.0.0.1"


def new_port(spawner):
    spawner.port = free_port()  # the server reads it from JUPYTERHUB_SERVICE_URL


c.Spawner.pre_spawn_hook = new_port

# --- a start that fails ------------------------------------------------------------------------------------------------

# One that was accepted and fails later is ended by K8s Manager, which tells the hub why at once (JUPYTERHUB_STATUS_URL in the
# environment that get_env makes). One that is refused at once is answered with the reason:


async def show_the_reason(spawner, exception):
    """Puts error and detailed_error of a refused start on the user's page, where it would say "HTTP 500" alone."""
    event = await spawner.get_stop_event()
    exception.jupyterhub_html_message = event["html_message"]


c.BackendSpawner.failed_spawn_request_hook = show_the_reason
