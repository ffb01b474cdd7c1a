"""The progress page tells how a start goes, in order, and ends it at once when it failed."""

import re
import time

import pytest

USER = "alice"

# Each once, in this order; what the hub and the pod say themselves is between them.
WAY = [
    "Your server has a place on ",
    "Fetching the software quay.io/jupyter/base-notebook",
    "The software is there",
    "Your server is set up",
    "Your server runs",
]


def test_the_page_shows_the_story_of_a_start_in_order(installation, hub_one):
    hub_one.start_server(USER, "story")
    assert_way(hub_one.events(USER, "story"), [step for step in WAY if not step.startswith("Fetching")])
    hub_one.stop_server(USER, "story")
    installation.assert_nothing_is_left()


def test_a_hub_behind_tls_with_its_own_authority_is_told(installation, hub_behind_tls):
    hub_behind_tls.start_server(USER, "story")
    assert_way(hub_behind_tls.events(USER, "story"), [step for step in WAY if not step.startswith("Fetching")])
    hub_behind_tls.stop_server(USER, "story")
    installation.assert_nothing_is_left()


@pytest.mark.parametrize("service", ["JupyterLab/Crash", "JupyterLab/CrashAgain"])
def test_a_start_whose_server_crashes_fails_at_once_with_its_last_lines(installation, hub_one, service):
    name = service.split("/")[1].lower()
    begun = time.monotonic()
    progress = hub_one.start_server(USER, name, service=service)
    shown = time.time()
    assert_way(progress, WAY)
    failures = [event["html_message"] for event in progress if event.get("failed") and event.get("html_message")]
    [failure] = [message for message in failures if "could not be started" in message]
    assert "Service status is" in failure and "(exit code 3)</summary>" in failure, failure
    assert "no &lt;b&gt;license&lt;/b&gt; found" in failure, failure
    crashed = float(re.search(r"crashed at ([0-9.]+)", failure).group(1))
    print(f"{service}: the page ended {shown - crashed:.2f} s after the crash, {time.monotonic() - begun:.2f} s after the start")
    [kept] = [event for event in hub_one.events(USER, name) if "could not be started" in event["html_message"]]
    assert kept["failed"] and kept["html_message"] == failure
    hub_one.wait_until_stopped(USER, name)
    installation.assert_nothing_is_left()


def assert_way(events, way):
    messages = [event.get("html_message") or "" for event in events]
    places = [[index for index, message in enumerate(messages) if step in message] for step in way]
    assert all(len(places_of_step) == 1 for places_of_step in places), (way, messages)
    assert places == sorted(places), messages
    told = [event["progress"] for event in events if any(step in (event.get("html_message") or "") for step in way)]
    assert told == sorted(told), events
