"""One installation for all tests of a run; the logs of all its processes are printed when a test fails."""

import pathlib
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent.parent / "docs")]

from hub import Hub  # noqa: E402
from installation import Installation  # noqa: E402

LAST_LINES = 150


@pytest.fixture(scope="session")
def installation(request):
    with tempfile.TemporaryDirectory(prefix="k8smgr-hub-test-") as folder:
        pathlib.Path(folder).chmod(0o755)
        installation = Installation(pathlib.Path(folder))
        request.config.installation = installation
        try:
            installation.start()
            yield installation
            installation.end()
        finally:
            for process in reversed(installation.processes):
                process.kill()


@pytest.fixture(scope="session")
def hub_one(installation):
    return started(Hub(installation, "hubone"))


@pytest.fixture(scope="session")
def hub_two(installation):
    return started(Hub(installation, "hubtwo"))


def started(hub):
    hub.start()
    return hub


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    installation = getattr(item.config, "installation", None)
    if report.failed and installation:
        for process in installation.processes:
            lines = process.output().splitlines()[-LAST_LINES:]
            report.sections.append((f"last lines of {process.name}", "\n".join(lines)))
        report.sections.append(("cluster", installation.describe()))
    return report
