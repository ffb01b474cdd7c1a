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
        "scopes": ["admin:users", "admin:servers", "access:servers"],
    }
]
c.BackendSpawner.poll_interval = 1000
c.Spawner.http_timeout = 60
