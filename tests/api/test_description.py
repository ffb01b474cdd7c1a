"""Schemathesis asks for everything that /api-docs describes, as a superuser and as a hub: no 5xx, no status, header or shape
that is not described, no method that is missing. The same requests each time.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from conftest import LOGINS

HERE = pathlib.Path(__file__).resolve().parent
SCHEMATHESIS = pathlib.Path(sys.executable).parent / "schemathesis"
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "a_500_is_a_told_failure",
]


@pytest.mark.parametrize("user", LOGINS)
def test_the_server_does_what_the_description_says(server, user, capsys):
    command = [SCHEMATHESIS, "--config-file", HERE / "schemathesis.toml", "run", f"{server.url}/api-docs"]
    command += ["--auth", f"{user}:{LOGINS[user]}", "--checks", ",".join(CHECKS), "--seed", "1", "--max-examples", "4"]
    command += ["--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure", "--warnings", "off"]
    command += ["--request-timeout", "30"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE)}
    run = subprocess.run(command, cwd=server.folder, env=environment, capture_output=True, text=True, timeout=540)
    assert run.returncode == 0, run.stdout[-20000:] + run.stderr[-2000:] + server.log.read_text()[-2000:]
    generated, passed = map(int, re.search(r"(\d+) generated, (\d+) passed", run.stdout).groups())
    with capsys.disabled():
        print(f"\n  {user}: {generated} requests")
    # A login that stops working half-way would make everything a described 401.
    assert generated == passed > 1000
    assert server.get("/api/services/", user)[0] == 200
