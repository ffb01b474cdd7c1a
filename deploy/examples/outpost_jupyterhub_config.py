"""A hub with OutpostSpawner whose users' servers run on Kubernetes through K8s Manager; docs/outpost.md explains it.

For hub.extraConfig of zero-to-jupyterhub, or as a part of any other hub's configuration. The hub's image needs
jupyterhub-outpostspawner: 2.2.13 for JupyterHub 6, 2.2.12 for JupyterHub 5 (2.2.13 does not load there). The description that
it starts is service_descriptions/outpost/JupyterLab/Default. From the environment:

    K8SMGR_URL         where K8s Manager is, with OUTPOST_BASE_PATH if that is set, without /services
    K8SMGR_CREDENTIAL  the hub's login there, "outpost" where it is not set
    K8SMGR_PASSWORD    its password
    K8SMGR_CA          for https with a certificate authority of your own: a file with its certificates
    SERVERS_NAMESPACE  the namespace of users' servers, where it is not the hub's own
    POD_NAMESPACE      the hub's namespace; zero-to-jupyterhub sets it
"""

import base64
import os
from urllib.parse import quote

from outpostspawner import OutpostSpawner

# `c` is given. get_config() is another function in hub.extraConfig, so it is not called here.

LOGIN = base64.b64encode(f"{os.environ.get('K8SMGR_CREDENTIAL', 'outpost')}:{os.environ['K8SMGR_PASSWORD']}".encode()).decode()
HUB_NAMESPACE = os.environ["POD_NAMESPACE"]
SERVERS_NAMESPACE = os.environ.get("SERVERS_NAMESPACE", HUB_NAMESPACE)
# OutpostSpawner checks certificates by default, K8s Manager's too.
TLS = {"ca_certs": os.environ["K8SMGR_CA"]} if "K8SMGR_CA" in os.environ else {}


class Spawner(OutpostSpawner):
    """With two things mended.

    Names as they have to stand in URLs: OutpostSpawner writes them as users chose them, and a space or an umlaut there makes a
    request that nobody can read. Such a server would start, and could never be polled or stopped.

    Starts that failed in the background, or after they were answered: OutpostSpawner cancels them at once and stops them a second
    later. Meanwhile the page would say that the server is ready, and leave.
    """

    @property
    def ready(self):
        return super().ready and not self.last_event.get("failed")

    async def get_request_url(self, attach_name=False):
        url = await super().get_request_url()
        return f"{url}/{quote(self.name, safe='')}/{self.start_id}" if attach_name else url

    def get_env(self):
        env = super().get_env()
        user, server = quote(self.user.name, safe=""), quote(self.name, safe="")
        env["JUPYTERHUB_ACTIVITY_URL"] = f"{env['JUPYTERHUB_API_URL']}/users/{user}/activity"
        path = f"{user}/{server}" if server else user
        env["JUPYTERHUB_EVENTS_URL"] = f"{env['JUPYTERHUB_API_URL']}/users/progress/events/{path}"
        return env


c.JupyterHub.spawner_class = Spawner  # noqa: F821

# --- K8s Manager ------------------------------------------------------------------------------------------------------

c.OutpostSpawner.request_url = os.environ["K8SMGR_URL"].rstrip("/") + "/services"  # noqa: F821
c.OutpostSpawner.request_headers = {"Authorization": f"Basic {LOGIN}"}  # noqa: F821
c.OutpostSpawner.request_kwargs = {"request_timeout": 30, **TLS}  # noqa: F821
# A start is answered when the server's container runs: the image may have to be pulled, and a node to be added. With
# start_async it is answered at once, and what becomes of it is told by events.
c.OutpostSpawner.request_kwargs_start = {"request_timeout": 620, **TLS}  # noqa: F821
c.Spawner.start_timeout = c.Spawner.http_timeout = 600  # noqa: F821
c.OutpostSpawner.custom_poll_interval = 10_000  # noqa: F821  milliseconds

# --- where the server is ----------------------------------------------------------------------------------------------

# The name of Pod and Service. Hubs that share the namespace of their users' servers need a name of their own in it.
c.OutpostSpawner.svc_name_template = "jupyter-{username}--{servername}"  # noqa: F821
c.OutpostSpawner.namespace = SERVERS_NAMESPACE  # noqa: F821
# The port is in the Service and in the pod; one for all is what network policies can name.
c.OutpostSpawner.custom_port = 8888  # noqa: F821
# K8s Manager makes the Service, and the hub needs no right in the cluster.
c.OutpostSpawner.svc_create = False  # noqa: F821
if SERVERS_NAMESPACE != HUB_NAMESPACE:
    # "hub" alone is found in the hub's namespace only.
    c.JupyterHub.hub_connect_url = f"http://hub.{HUB_NAMESPACE}.svc:8081"  # noqa: F821

# A start in the background is answered without an address: it is the Service's, by its full name, which every namespace finds.
c.OutpostSpawner.update_start_response = lambda spawner, address: address or f"{spawner.dns_name}:{spawner.port}"  # noqa: F821
# With JupyterHub.internal_ssl the hub makes a certificate for each server, and looks for this name in it.
c.OutpostSpawner.ssl_alt_names = lambda spawner: [f"DNS:{spawner.dns_name}"]  # noqa: F821
