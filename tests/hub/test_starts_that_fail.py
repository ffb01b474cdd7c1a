"""A start that fails tells the user why, in the spawner's events, and leaves nothing."""

USER = "carol"


def test_an_unknown_service_is_told_with_its_reason(installation, hub_one):
    progress = hub_one.start_server(USER, "unknown", service="JupyterLab/Unknown")
    assert_told(progress, "Could not start service", "Couldn't find service yaml file.")
    assert_told(hub_one.events(USER, "unknown"), "Could not start service", "Couldn't find service yaml file.")
    installation.assert_nothing_is_left()


def test_a_command_that_does_not_exist_is_told_with_its_reason(installation, hub_one):
    progress = hub_one.start_server(USER, "nocommand", service="JupyterLab/NoCommand")
    assert_told(progress, "Service status is", "<details><summary>")
    assert_told(hub_one.events(USER, "nocommand"), "Service status is", "<details><summary>")
    hub_one.wait_until_stopped(USER, "nocommand")
    installation.assert_nothing_is_left()


def assert_told(events, error, detailed_error):
    told = [event["html_message"] for event in events if event.get("failed") and "html_message" in event]
    assert any(error in message and detailed_error in message for message in told), events
