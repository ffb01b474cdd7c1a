"""One installation for all tests of a run; the logs of all its processes are printed when a test fails."""

import pathlib
import secrets
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "support"), str(HERE.parent.parent / "docs")]

from chart_installation import ChartInstallation  # noqa: E402
from hub import Hub  # noqa: E402
from installation import Installation  # noqa: E402

LAST_LINES = 150


def pytest_addoption(parser):
    parser.addoption("--chart", action="store_true", help="K8s Manager is a pod of the Helm chart, not a process beside the cluster")


def pytest_configure(config):
    config.folder = tempfile.TemporaryDirectory(prefix="k8smgr-hub-test-")
    kind = ChartInstallation if config.getoption("--chart") else Installation
    config.installation = kind(pathlib.Path(config.folder.name))


def pytest_unconfigure(config):
    config.folder.cleanup()  # last of all: the logs are read after the fixtures have ended


@pytest.fixture(scope="session")
def installation(request):
    installation = request.config.installation
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


@pytest.fixture(scope="session")
def hub_behind_tls(installation):
    return started(Hub(installation, "hubtls"))


@pytest.fixture(scope="session")
def hub_of_examples(installation):
    """deploy/examples/jupyterhub_config.py as it is, with the environment that it documents."""
    environment = {
        "PYTHONPATH": str(HERE.parent.parent / "docs"),
        "POD_NAMESPACE": "default",
        "EXAMPLE_PORT": str(installation.example_port),
    }
    return started(Hub(installation, "hub", "examples_config.py", environment))


@pytest.fixture(scope="session")
def hub_outpost(installation):
    """deploy/examples/outpost_jupyterhub_config.py."""
    return started(Hub(installation, "outpost", "outpost_config.py", environment_of_outpost()))


@pytest.fixture(scope="session")
def hub_outpost_with_ssl(installation):
    environment = environment_of_outpost() | {"HUB_INTERNAL_SSL": "yes"}
    return started(Hub(installation, "outpostssl", "outpost_config.py", environment))


def environment_of_outpost():
    return {"POD_NAMESPACE": "default", "FLAVORS_TOKEN": secrets.token_hex(16)}


def started(hub):
    hub.start()
    return hub


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        installation = item.config.installation
        for process in installation.processes:
            lines = process.output().splitlines()[-LAST_LINES:]
            report.sections.append((f"last lines of {process.name}", "\n".join(lines)))
        report.sections.append(("cluster", installation.describe()))
    return report
