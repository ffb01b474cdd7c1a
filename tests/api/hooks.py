"""What the generated calls must leave alone, and a check of ours."""

import schemathesis

CALLERS = ("admin", "tester")
REASONS = ("Couldn't find service yaml file.", "the environment variable SSHCONFIGFILE is not set")


@schemathesis.hook
def filter_case(context, case):
    """Nobody changes or deletes those whom the test calls as."""
    name = (case.path_parameters or {}).get("name")
    return not (case.path.startswith("/api/users/") and name in CALLERS and case.method != "GET")


@schemathesis.check
def a_500_is_a_told_failure(ctx, response, case):
    """A start, an update or a user job that failed, with its reason: never a failure inside."""
    if response.status_code == 500:
        body = response.json()
        assert body.keys() == {"error", "detailed_error"}, body
        assert body["detailed_error"].startswith(REASONS), body
