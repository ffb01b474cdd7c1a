"""The example for a cluster as it is; what differs is that all pods share this machine's network."""

import os
import pathlib

c = get_config()  # noqa: F821

HERE = pathlib.Path(__file__).resolve().parent
load_subconfig("jupyterhub_config.py", path=str(HERE))  # noqa: F821  the hub itself
load_subconfig("jupyterhub_config.py", path=str(HERE.parent.parent / "deploy/examples"))  # noqa: F821

c.Spawner.pre_spawn_hook = lambda spawner: None  # the demo's takes a new port for each start
c.Spawner.ip = "127.0.0.1"
c.BackendSpawner.custom_port = int(os.environ["EXAMPLE_PORT"])
c.BackendSpawner.service_address = "127.0.0.1"
c.BackendSpawner.poll_interval = 1000
