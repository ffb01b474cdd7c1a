"""A hub whose users' servers run on Kubernetes through K8s Manager, with a form for what to start and how large.

For hub.extraConfig of zero-to-jupyterhub (docs/cluster.md installs all of it, step by step), or as a part of any other
hub's configuration. The hub's image needs jupyterhub-backendspawner and async_generator (hub.Dockerfile), and object_id.py
(docs/object_id.py) where Python finds it. From the environment:

    K8SMGR_URL         where K8s Manager is, without a path
    K8SMGR_CREDENTIAL  the hub's login there, "hub" where it is not set
    K8SMGR_PASSWORD    its password
    K8SMGR_CA          for https with a certificate authority of your own: a file with its certificates
    SERVERS_NAMESPACE  the namespace of users' servers, where it is not the hub's own
    POD_NAMESPACE      the hub's namespace; zero-to-jupyterhub sets it
"""

import asyncio
import base64
import html
import os
from urllib.parse import quote

import backendspawner
from object_id import object_id
from tornado.web import HTTPError

# `c` is given. get_config() is another function in hub.extraConfig, so it is not called here.

API = os.environ["K8SMGR_URL"].rstrip("/") + "/api/services/"
LOGIN = base64.b64encode(f"{os.environ.get('K8SMGR_CREDENTIAL', 'hub')}:{os.environ['K8SMGR_PASSWORD']}".encode()).decode()
HUB_NAMESPACE = os.environ["POD_NAMESPACE"]
SERVERS_NAMESPACE = os.environ.get("SERVERS_NAMESPACE", HUB_NAMESPACE)

# --- what users choose ------------------------------------------------------------------------------------------------

# The first of each is what a user gets who chooses nothing. Services are folders of descriptions (service_descriptions/hub);
# sizes are those that they know, and what they stand for is written there.
CHOICES = {
    "service": {
        "JupyterLab/Default": "JupyterLab",
        "CodeServer/Default": "VS Code",
        "Desktop/Default": "Linux desktop",
    },
    "size": {
        "small": "Small: 1 core, 2 GiB",
        "medium": "Medium: 2 cores, 4 GiB",
        "large": "Large: 4 cores, 8 GiB",
    },
}
TITLES = {"service": "What to start", "size": "How large"}


def options_form(spawner):
    """The lists on the spawn page."""
    return "\n".join(selection(name, spawner.user_options.get(name)) for name in CHOICES)


def selection(name, last):
    """A list with the last choice chosen."""
    options = "".join(
        f'<option value="{html.escape(value)}"{" selected" if value == last else ""}>{html.escape(title)}</option>'
        for value, title in CHOICES[name].items()
    )
    return (
        f'<div class="form-group"><label for="{name}">{html.escape(TITLES[name])}</label>'
        f'<select class="form-control form-select" id="{name}" name="{name}">{options}</select></div>'
    )


def options_from_form(form):
    """What the form sends is a list of texts for each field."""
    return checked({name: values[0] for name, values in form.items() if values})


def checked(options):
    """The choices, complete; a choice that is not offered is refused, with a message for the user."""
    chosen = {}
    for name, offered in CHOICES.items():
        value = options.get(name, next(iter(offered)))
        if not isinstance(value, str) or value not in offered:
            raise ValueError(f"{name} must be one of {', '.join(offered)}")
        chosen[name] = value
    return chosen


def refuse_the_rest(_spawner, options):
    """Over the hub's API users send what they like, past the form."""
    try:
        checked(options)
    except ValueError as reason:
        raise HTTPError(400, str(reason)) from None


c.Spawner.options_form = options_form  # noqa: F821
c.Spawner.options_from_form = options_from_form  # noqa: F821
c.Spawner.apply_user_options = refuse_the_rest  # noqa: F821  from JupyterHub 5.3 on

# --- K8s Manager ------------------------------------------------------------------------------------------------------


class Spawner(backendspawner.EventBackendSpawner):
    """With events of its own: 0.4.0 keeps them in the class, where all users share them."""

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


def server_name(spawner):
    """The server's name at K8s Manager: one for all users of this hub, the same for the same server for ever."""
    user = f"u{spawner.user.orm_user.id}"
    return f"{user}-{spawner.name}" if spawner.name else user


def server_url(spawner):
    return API + quote(server_name(spawner), safe="") + "/"


def headers(spawner):
    return {
        "Authorization": f"Basic {LOGIN}",
        # Tornado writes headers as Latin-1 and K8s Manager reads UTF-8: this puts UTF-8 on the wire.
        "uuidcode": server_name(spawner).encode().decode("latin-1"),
        "Accept": "application/json",
        "Content-Type": "application/json",
    }


async def start_request(spawner):
    # Checked again, for older hubs, and for choices of a server's earlier start that are no longer offered.
    options = checked(spawner.user_options)
    return {
        "env": {**spawner.get_env(), "JUPYTERHUB_USER_ID": spawner.user.orm_user.id},
        "user_options": {**options, "username": spawner.user.name},
        "start_id": spawner.start_id,
    }


c.JupyterHub.spawner_class = Spawner  # noqa: F821
c.BackendSpawner.request_url_start = API  # noqa: F821
c.BackendSpawner.request_url_poll = c.BackendSpawner.request_url_stop = server_url  # noqa: F821
c.BackendSpawner.request_headers_start = headers  # noqa: F821
c.BackendSpawner.request_headers_poll = c.BackendSpawner.request_headers_stop = headers  # noqa: F821
c.BackendSpawner.request_body_start = start_request  # noqa: F821
# backendspawner checks no certificate unless it is told to.
c.BackendSpawner.request_kwargs = {  # noqa: F821
    "request_timeout": 30,
    "validate_cert": True,
    **({"ca_certs": os.environ["K8SMGR_CA"]} if "K8SMGR_CA" in os.environ else {}),
}
# Else a poll without an answer ends a healthy server.
c.BackendSpawner.request_failed_poll_keep_running = True  # noqa: F821
c.BackendSpawner.poll_interval = 10_000  # noqa: F821  milliseconds, whatever its help says
# From the start to the server's first answer: the image may have to be pulled, and a node to be added.
c.Spawner.start_timeout = c.Spawner.http_timeout = 600  # noqa: F821

# --- where the server listens -----------------------------------------------------------------------------------------


def service_address(spawner):
    """The Service that the description makes."""
    return f"lab-{object_id(server_name(spawner), spawner.start_id)}.{SERVERS_NAMESPACE}.svc"


c.Spawner.ip = "0.0.0.0"  # noqa: F821
c.BackendSpawner.custom_port = 8888  # noqa: F821
c.BackendSpawner.service_address = service_address  # noqa: F821
if SERVERS_NAMESPACE != HUB_NAMESPACE:
    # "hub" alone is found in the hub's namespace only.
    c.JupyterHub.hub_connect_url = f"http://hub.{HUB_NAMESPACE}.svc:8081"  # noqa: F821

# --- a start that fails -----------------------------------------------------------------------------------------------

# One that was accepted and fails later is ended by K8s Manager, which tells the hub why at once. One that is refused at once is
# answered with the reason:


async def show_the_reason(spawner, exception):
    """Puts error and detailed_error of a refused start on the user's page, where it would say "HTTP 500" alone."""
    event = await spawner.get_stop_event()
    exception.jupyterhub_html_message = event["html_message"]


c.BackendSpawner.failed_spawn_request_hook = show_the_reason  # noqa: F821
