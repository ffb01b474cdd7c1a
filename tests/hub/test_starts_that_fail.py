"""A start that fails tells the user why, in the spawner's events, and leaves nothing."""

import pytest


@pytest.fixture(scope="module")
def user(hub_one):
    hub_one.add_user("carol")
    return "carol"


def test_an_unknown_service_is_told_with_its_reason(installation, hub_one, user):
    progress = hub_one.start_server(user, "unknown", service="JupyterLab/Unknown")
    assert progress[-1]["failed"], progress
    assert_told(progress, "Could not start service", "Couldn't find service yaml file.")
    assert_told(hub_one.events(user, "unknown"), "Could not start service", "Couldn't find service yaml file.")
    installation.assert_nothing_is_left()


def test_a_command_that_does_not_exist_is_told_with_its_reason(installation, hub_one, user):
    progress = hub_one.start_server(user, "nocommand", service="JupyterLab/NoCommand")
    assert progress[-1]["failed"], progress
    assert_told(hub_one.events(user, "nocommand"), "Service status is", "<details><summary>")
    hub_one.wait_until_stopped(user, "nocommand")
    installation.assert_nothing_is_left()


def assert_told(events, error, detailed_error):
    told = [event["html_message"] for event in events if event.get("failed") and "html_message" in event]
    assert any(error in message and detailed_error in message for message in told), events
