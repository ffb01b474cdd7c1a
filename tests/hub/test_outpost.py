"""Hubs with OutpostSpawner: users' servers from start to stop, starts that fail, TLS, and a hub of the other kind beside them."""

import json
import os
import signal
import ssl
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import jupyterhub
import pytest

from hub import USERS
from kernel import execute
from processes import wait_until
from test_stories_of_starts import WAY, assert_way

LOOK_AROUND = """
import json, os, pathlib
names = ("JUPYTERHUB_USER", "JUPYTERHUB_SERVER_NAME", "SERVERNAME", "JUPYTERHUB_SSL_CERTFILE")
seen = {name: os.environ.get(name) for name in names}
seen["home"] = sorted(path.name for path in pathlib.Path.home().iterdir())
print(json.dumps(seen))
"""
# JupyterHub 6 takes slugs of 30 characters as servers' names; 5 takes whatever users write. Users' names are free in both.
ODD_SERVERS = ["my-lab-of-exactly-30-character", "x1-2-3"] if jupyterhub.version_info[0] >= 6 else ["My Lab ü.1", "50% #?&"]
ODD_USER = "zoë o'neil_7"
# Up to here a start waits for something that never comes.
NEVER = {"init_containers": [{"name": "never", "image": "example.org/never:1", "command": ["/bin/sleep", "3600"]}]}
CRASH = {"cmd": ["/bin/sh", "-c", "sleep 1; echo 'no <b>license</b> found'; exit 3"]}
NO_IMAGE = {"image": "registry.invalid/lab:1"}


def test_servers_live_and_end_beside_those_of_a_hub_of_the_other_kind(installation, hub_outpost, hub_one):
    with ThreadPoolExecutor() as threads:
        starts = [
            threads.submit(hub_outpost.start_server, "alice", ""),
            threads.submit(hub_outpost.start_server, "alice", "lab", start_async=True),
            threads.submit(hub_outpost.start_server, "bob", "lab", stop_async=True),
            threads.submit(hub_one.start_server, "alice", "lab"),
        ]
        stories = [start.result() for start in starts]
    assert all(story[-1].get("ready") for story in stories), stories
    assert_way(told(hub_outpost, "alice", ""), [step for step in WAY if not step.startswith("Fetching")])

    assert sorted(it["name"] for it in installation.outposts("outpost")) == ["", "lab", "lab"]
    assert len(installation.services("hubone")) == 1
    assert installation.services("outpost") == installation.outposts("hubone") == [], "neither sees the other's"
    for user, server, name in [("alice", "", "jupyter-alice"), ("alice", "lab", "jupyter-alice--lab"), ("bob", "lab", "jupyter-bob--lab")]:
        seen = json.loads(execute(hub_outpost, user, server, LOOK_AROUND))
        assert (seen["JUPYTERHUB_USER"], seen["JUPYTERHUB_SERVER_NAME"], seen["SERVERNAME"]) == (user, server, server)
        assert "Welcome.ipynb" in seen["home"], "the home is a copy of the skeleton"
        assert_reachable(installation, hub_outpost, user, server, name)

    [bobs] = [it for it in installation.outposts("outpost") if it["jupyterhub_userid"] == user_id(hub_outpost, "bob")]
    kill_the_server("bob", "lab", installation)
    hub_outpost.wait_until_stopped("bob", "lab")
    assert "The server of bob/lab ended with 137" in hub_outpost.process.output()
    answer = installation.poll_outpost("outpost", "lab", bobs["start_id"])
    assert answer.status_code == 404, answer.text

    hub_outpost.wait_until_unrouted("bob", "lab")
    hub_outpost.restart()
    for server in ("", "lab"):
        wait_until_polled_twice(hub_outpost, server)
        assert hub_outpost.server("alice", server)["ready"], "a restart of the hub keeps it"
        assert execute(hub_outpost, "alice", server, "print(6 * 7)").strip() == "42"
        hub_outpost.stop_server("alice", server)
    assert hub_one.server("alice", "lab")["ready"], "the other hub's is another server"
    hub_one.stop_server("alice", "lab")
    installation.assert_nothing_is_left()


def test_names_as_users_choose_them_work(installation, hub_outpost):
    hub_outpost.add_user(ODD_USER)
    with ThreadPoolExecutor() as threads:
        starts = [
            threads.submit(hub_outpost.start_server, ODD_USER, server, start_async=start_async)
            for server, start_async in zip(ODD_SERVERS, [False, True])
        ]
        stories = [start.result() for start in starts]
    for server, story in zip(ODD_SERVERS, stories):
        assert story[-1].get("ready"), story
        assert "Your server runs" in str(told(hub_outpost, ODD_USER, server)), "its events reach the hub"
        seen = json.loads(execute(hub_outpost, ODD_USER, server, LOOK_AROUND))
        assert (seen["JUPYTERHUB_USER"], seen["SERVERNAME"]) == (ODD_USER, server)
        # The hub's own idea of the name, where it starts in the background, and ours.
        assert_reachable(installation, hub_outpost, ODD_USER, server)
        wait_until_polled_twice(hub_outpost, server)
        assert hub_outpost.server(ODD_USER, server)["ready"]
        hub_outpost.stop_server(ODD_USER, server)
    installation.assert_nothing_is_left()


def test_starts_that_fail_are_told_with_their_reason_and_leave_nothing(installation, hub_outpost):
    """In the foreground what fails before the server runs is the answer of the start; the rest is told by events."""
    failing = {
        "crash": (CRASH, False, "no &lt;b&gt;license&lt;/b&gt; found"),
        "crash-async": (CRASH, True, "no &lt;b&gt;license&lt;/b&gt; found"),
        "image": (NO_IMAGE, False, "registry.invalid"),
        "image-async": (NO_IMAGE, True, "registry.invalid"),
    }
    with ThreadPoolExecutor() as threads:
        starts = {
            server: threads.submit(
                hub_outpost.start_server, "carol", server, misc=misc, start_async=start_async, poll_interval=60_000
            )
            for server, (misc, start_async, _) in failing.items()
        }
        stories = {server: start.result() for server, start in starts.items()}
    for server, story in stories.items():
        texts = [f"{event.get('message')} {event.get('html_message')}" for event in story]
        reason = failing[server][2]
        assert any(reason in text for text in texts), (server, story)
        assert story[-1].get("failed"), (server, story)
        assert not any("<b>license" in text for text in texts), "what a server printed is text, not HTML"
        hub_outpost.wait_until_stopped("carol", server)
    installation.assert_nothing_is_left()


def test_an_unknown_service_is_told_at_once(installation, hub_outpost):
    story = hub_outpost.start_server("carol", "unknown", service="JupyterLab/Unknown")
    assert any("Couldn't find service yaml file." in str(event.get("message")) for event in story), story
    hub_outpost.wait_until_stopped("carol", "unknown")
    installation.assert_nothing_is_left()


@pytest.mark.parametrize("in_background", [False, True])
def test_a_start_that_its_user_cancels_is_gone(installation, hub_outpost, in_background):
    options = {"misc": NEVER, "start_async": in_background, "stop_async": in_background}
    answer = hub_outpost.api("POST", "/users/carol/servers/waits", json=options)
    assert answer.status_code == 202, answer.text
    wait_until(lambda: pod_names(installation) == ["jupyter-carol--waits"], "the start is under way")
    if in_background:
        # Between the answer and its first look for the server the hub itself takes no cancelling (500, "pending spawn").
        wait_until_polled_twice(hub_outpost, "waits")
    hub_outpost.stop_server("carol", "waits")
    installation.assert_nothing_is_left()


def test_a_flavor_that_is_used_up_is_refused_with_the_reason(installation, hub_outpost):
    session = hub_outpost.logged_in("alice")
    with installation.flavors({"small": {"max": 1, "resources": {"cpu_limit": "2", "mem_limit": "3Gi"}}, "none": {"max": 0}}):
        answer = hub_outpost.api("POST", "/users/alice/servers/first", json={"flavor": "small", "misc": NEVER})
        assert answer.status_code == 202, answer.text
        wait_until(lambda: pod_names(installation), "the first start is under way")
        wait_until(lambda: in_use(session, hub_outpost) == {"small": 1, "none": 0}, "the hub is told what is in use")
        [pod] = pods(installation)
        assert pod["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "3Gi"}
        for flavor, reason in [
            ("small", "Start with small for outpost not allowed. Maximum (1) already reached."),
            ("none", "Start with none for outpost not allowed. Maximum (0) already reached."),
            ("huge", "Start with flavor huge not allowed. Allowed values for user:"),
        ]:
            story = hub_outpost.start_server("carol", flavor, flavor=flavor)
            assert any(reason in str(event.get("message")) for event in story), story
            hub_outpost.wait_until_stopped("carol", flavor)
        assert pod_names(installation) == ["jupyter-alice--first"], "a refused start makes nothing"
        hub_outpost.stop_server("alice", "first")
        wait_until(lambda: in_use(session, hub_outpost) == {"small": 0, "none": 0}, "the hub is told that it is free again")
    installation.assert_nothing_is_left()


def test_with_internal_ssl_the_hub_reaches_the_server_over_tls(installation, hub_outpost_with_ssl):
    hub = hub_outpost_with_ssl
    with ThreadPoolExecutor() as threads:
        starts = [
            threads.submit(hub.start_server, "alice", "lab"),
            threads.submit(hub.start_server, "alice", "lab2", start_async=True),
        ]
        stories = [start.result() for start in starts]
    assert all(story[-1].get("ready") for story in stories), stories
    for server in ("lab", "lab2"):
        seen = json.loads(execute(hub, "alice", server, LOOK_AROUND))
        assert seen["JUPYTERHUB_SSL_CERTFILE"] == "/etc/jupyterhub/ssl/ssl.crt"
        address = assert_reachable(installation, hub, "alice", server, f"jupyter-alice--{server}")
        assert address.scheme == "https"
        assert "BEGIN CERTIFICATE" in ssl.get_server_certificate(("127.0.0.1", address.port))
        hub.stop_server("alice", server)
    installation.assert_nothing_is_left()


# --- what is looked at ------------------------------------------------------------------------------------------------


def told(hub, user, server):
    """All events that the hub keeps of the server's last start."""
    path = "/".join(quote(part, safe="") for part in (user, server) if part)
    answer = hub.api("GET", f"/users/progress/events/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()["events"]


def assert_reachable(installation, hub, user, server, name=None):
    """The address at which the hub expects the server is that of a Service which leads to the server's pod."""
    lines = [line for line in hub.process.output().splitlines() if f"The server of {user}/{server} is at " in line]
    address = urlsplit(lines[-1].rpartition(" ")[2])
    service, namespace, *rest = address.hostname.split(".")
    assert (namespace, rest) == ("default", ["svc", "cluster", "local"]), address
    assert name in (None, service), address
    answer = installation.kubectl("get", "service", service, "-o", "json")
    assert answer.returncode == 0, answer.stderr
    spec = json.loads(answer.stdout)["spec"]
    assert [it["port"] for it in spec["ports"]] == [address.port]
    selected = [pod for pod in pods(installation) if spec["selector"].items() <= pod["metadata"]["labels"].items()]
    assert [pod["metadata"]["name"] for pod in selected] == [service]
    assert selected[0]["metadata"]["labels"]["example.org/hub"] == hub.credential, "extra_labels of the hub"
    return address


def pods(installation):
    answer = installation.kubectl("get", "pods", "-l", "app.kubernetes.io/component=singleuser-server", "-o", "json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)["items"]


def in_use(session, hub):
    """What the hub shows its users of the flavors."""
    answer = session.get(f"{hub.url}/hub/api/outpostflavors", timeout=30)
    assert answer.status_code == 200, answer.text
    return {name: flavor["current"] for name, flavor in answer.json().get("k8smgr", {}).items()}


def pod_names(installation):
    return [pod["metadata"]["name"] for pod in pods(installation)]


def user_id(hub, user):
    """As hubs' services know it; the users of the tests are made in the same order in each hub."""
    return str(USERS.index(user) + 1)


def kill_the_server(user, server, installation):
    processes = installation.server_processes(JUPYTERHUB_USER=user, JUPYTERHUB_SERVER_NAME=server)
    [pid] = [pid for pid, command in processes.items() if "jupyterhub-singleuser" in command]
    os.kill(pid, signal.SIGKILL)


def wait_until_polled_twice(hub, server):
    def polls():
        path = f"/services/{quote(server, safe='')}/"
        return sum("Communicated poll" in line and path in line for line in hub.process.output().splitlines())

    before = polls()
    wait_until(lambda: polls() >= before + 2, f"the hub polls {server!r} twice")
