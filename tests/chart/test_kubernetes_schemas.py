"""Every object that Helm or Kustomize makes is one of Kubernetes 1.33 to 1.37: its published schemas, unknown fields refused."""

import functools
import json

import kubernetes_validate
import pytest

from conftest import VALUES
from test_kustomize import NAMES, kustomized

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
# Not of Kubernetes itself: its schema comes with the Prometheus Operator.
ELSEWHERE = {"ServiceMonitor"}
# It reads the definitions of a version anew for each object, which takes most of a second.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


def test_there_are_schemas_of_each_version():
    known = {version.rpartition(".")[0] for version in kubernetes_validate.utils.all_versions()}
    assert set(VERSIONS) <= known


@pytest.mark.parametrize("name", VALUES)
def test_what_helm_makes_is_valid(rendered, name):
    assert_valid(rendered(name))


@pytest.mark.parametrize("name", NAMES)
def test_what_kustomize_makes_is_valid(cluster, name):
    assert_valid(kustomized(cluster, name))


def assert_valid(objects):
    for it in objects:
        if it["kind"] not in ELSEWHERE:
            validate(json.dumps(it, sort_keys=True))


@functools.cache
def validate(text):
    """Many objects are the same in several value sets."""
    for version in VERSIONS:
        kubernetes_validate.validate(json.loads(text), version, strict=True)


def test_a_field_that_does_not_exist_is_refused(rendered):
    [service] = [it for it in rendered("sqlite") if it["kind"] == "Service"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**service, "spec": {**service["spec"], "portz": []}}, "1.37", strict=True)
