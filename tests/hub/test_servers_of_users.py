"""The life of a user's server with a real hub: start, use, poll, death, start again, stop, and nothing is left."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import jupyterhub
import pytest

from kernel import execute
from object_id import object_id
from processes import wait_until

SERVER = "lab"

LOOK_AROUND = """
import json, os, pathlib
home = pathlib.Path.home()
note = home / "note.txt"
names = ("SERVERNAME", "DRF_ID", "JUPYTERHUB_USER", "JUPYTERHUB_SERVER_NAME")
seen = {
    "answer": 6 * 7,
    "files": sorted(path.name for path in home.iterdir()),
    "note": note.read_text() if note.exists() else None,
    "env": {name: os.environ.get(name) for name in names},
    "not_for_users": [name for name in os.environ if name.endswith("_USER_PASS") or name == "KUBECONFIG"],
}
note.write_text("mine")
print(json.dumps(seen))
"""


def test_a_server_lives_dies_and_lives_again(installation, hub_one):
    live_a_servers_life(hub_one, "alice")
    installation.assert_nothing_is_left()


def test_two_hubs_have_servers_of_the_same_name_at_the_same_time(installation, hub_one, hub_two):
    with ThreadPoolExecutor() as threads:
        lives = [threads.submit(live_a_servers_life, hub, "bob") for hub in (hub_one, hub_two)]
        one, two = [life.result() for life in lives]
    assert one == two, "K8s Manager knows both by the same name"
    installation.assert_nothing_is_left()


# JupyterHub 6 takes slugs of 30 characters as names; 5 takes whatever users write.
CHOSEN = "my-lab-of-exactly-30-character" if jupyterhub.version_info[0] >= 6 else "My Lab ü.1"


@pytest.mark.parametrize("server", ["", CHOSEN])
def test_the_default_server_and_names_as_users_choose_them_work(installation, hub_one, server):
    assert_ready(hub_one, "carol", server, hub_one.start_server("carol", server))
    service = the_service(hub_one)
    printed = execute(hub_one, "carol", server, "import os; print(os.environ['DRF_ID'])")
    assert printed.strip() == object_id(service["servername"], service["start_id"]), "a hub can compute the address"
    hub_one.stop_server("carol", server)
    installation.assert_nothing_is_left()


def live_a_servers_life(hub, user):
    """Returns the name that K8s Manager knows the server by."""
    assert_ready(hub, user, SERVER, hub.start_server(user, SERVER))
    service = the_service(hub)
    name = service["servername"]

    seen = json.loads(execute(hub, user, SERVER, LOOK_AROUND))
    assert seen["answer"] == 42
    assert seen["note"] is None, "the home is new"
    assert "Welcome.ipynb" in seen["files"], "the home is a copy of the skeleton"
    assert seen["env"] == {
        "SERVERNAME": name,
        "DRF_ID": object_id(name, service["start_id"]),
        "JUPYTERHUB_USER": user,
        "JUPYTERHUB_SERVER_NAME": SERVER,
    }
    assert seen["not_for_users"] == []

    polls = hub.polls(name)
    wait_until(lambda: hub.polls(name) >= polls + 2, "the hub polls the server twice")
    assert hub.server(user, SERVER)["ready"], "the poll keeps it"

    kill_the_server(hub, service)
    hub.wait_until_stopped(user, SERVER)
    lines = hub.installation.log_of_k8smgr().splitlines()
    [ended] = [line for line in lines if "service ended by itself" in line and service["start_id"] in line]
    assert "Service status is Failed" in ended or "Service status is in state terminated" in ended
    answer = hub.installation.service(hub.credential, name)
    # K8s Manager tells the hub at once of a server that ends soon after its start, and the hub then stops what is left of it;
    # or its poll was quicker, after which it sends no DELETE.
    assert answer.status_code in (200, 404)
    if answer.status_code == 200:
        status = answer.json()
        assert status["running"] is False
        assert "Container Logs" in status["details"]["detailed_error"]

    assert_ready(hub, user, SERVER, hub.start_server(user, SERVER))
    again = the_service(hub)
    assert again["servername"] == name
    assert again["start_id"] != service["start_id"]
    seen = json.loads(execute(hub, user, SERVER, LOOK_AROUND))
    assert seen["note"] == "mine", "the home outlives its servers"

    hub.stop_server(user, SERVER)
    assert hub.installation.service(hub.credential, name).status_code == 404
    return name


def assert_ready(hub, user, server, events):
    assert events[-1].get("ready"), events
    assert any("The pod is running" in event.get("html_message", "") for event in events), events
    assert hub.server(user, server)["ready"]


def the_service(hub):
    """The one service that this hub's credential has."""
    [service] = hub.installation.services(hub.credential)
    return service


def kill_the_server(hub, service):
    # The two hubs' servers have the same name, but not the same start id.
    processes = hub.installation.server_processes(DRF_ID=object_id(service["servername"], service["start_id"]))
    [pid] = [pid for pid, command in processes.items() if "jupyterhub-singleuser" in command]
    os.kill(pid, signal.SIGKILL)
