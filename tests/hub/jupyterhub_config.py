"""The demo's configuration as it is, with a login for the tests and a quicker poll."""

import os
import pathlib

c = get_config()  # noqa: F821

load_subconfig("jupyterhub_config.py", path=str(pathlib.Path(__file__).resolve().parent.parent.parent / "demo"))  # noqa: F821

c.JupyterHub.services = [{"name": "tester", "api_token": os.environ["TESTER_TOKEN"]}]
c.JupyterHub.load_roles = [
    {
        "name": "tester",
        "services": ["tester"],
        "scopes": ["admin:users", "admin:servers", "access:servers", "proxy"],
    }
]
c.BackendSpawner.poll_interval = 1000
c.Spawner.http_timeout = 60

if "HUB_TLS_CERT" in os.environ:
    c.JupyterHub.bind_url = f"https://127.0.0.1:{os.environ['HUB_PORT']}"
    c.JupyterHub.ssl_cert = os.environ["HUB_TLS_CERT"]
    c.JupyterHub.ssl_key = os.environ["HUB_TLS_KEY"]
