"""The chart in one embedded cluster whose pods are states only; the tests keep apart by namespaces.

    .venv/chart/bin/python -m pytest tests/chart        (scripts/setup makes that venv, and target/debug/k8smgr is needed)
"""

import pathlib
import sys

import pytest
import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from cluster import Cluster  # noqa: E402
from helm import Release  # noqa: E402

VALUES = {path.stem: path for path in sorted((HERE / "values").glob("*.yaml"))}
# What a chart of the Prometheus Operator brings.
SERVICE_MONITORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"kind": "ServiceMonitor", "plural": "servicemonitors", "singular": "servicemonitor"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    yield from running(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session")
def rendering_cluster(tmp_path_factory):
    """Of its own: Helm refuses names that others have taken."""
    yield from running(tmp_path_factory.mktemp("rendering"))


def running(folder):
    cluster = Cluster(folder)
    cluster.start()
    cluster.kubectl("apply", "-f", "-", standard_input=yaml.safe_dump(SERVICE_MONITORS))
    yield cluster
    cluster.end()


@pytest.fixture(scope="session")
def values():
    """A fresh copy of one of the value sets."""
    return lambda name: yaml.safe_load(VALUES[name].read_text())


@pytest.fixture(scope="session")
def rendered(rendering_cluster, values):
    """The objects that Helm makes of a value set, as the release `k8smgr` in the namespace `jupyter`."""
    done = {}

    def render(name):
        if name not in done:
            release = Release(rendering_cluster, "k8smgr", "jupyter")
            release.install(values(name), wait=False)
            done[name] = release.objects(1)
            release.uninstall()
            # Helm leaves what is to be kept; the next value set has other claims of these names.
            kept = [it for it in done[name] if "helm.sh/resource-policy" in it["metadata"].get("annotations", {})]
            rendering_cluster.delete(kept)
        return done[name]

    return render
