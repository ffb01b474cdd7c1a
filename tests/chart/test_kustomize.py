"""Kustomize's objects are Helm's, for equal settings; and a cluster takes them."""

import copy
import json
import re

import pytest
import yaml

from cluster import REPOSITORY, key

PAGE = REPOSITORY / "docs/helm.md"
OVERLAYS = REPOSITORY / "deploy/kustomize/overlays"
# Each has a value set of its name.
NAMES = sorted(path.name for path in OVERLAYS.iterdir())
# Said by Helm about itself, and what Helm alone needs: Kustomize has no upgrade and no uninstall.
HELM_LABELS = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"}
HELM_ANNOTATIONS = {"helm.sh/resource-policy", "checksum/config", "checksum/secret"}


@pytest.mark.parametrize("name", NAMES)
def test_both_give_the_same_objects(cluster, rendered, name):
    ours = by_name(kustomized(cluster, name))
    helms = by_name(rendered(name))
    assert ours.keys() == helms.keys()
    for name in ours:
        assert ours[name] == helms[name], name


@pytest.mark.parametrize("name", NAMES)
def test_a_cluster_takes_them_twice(cluster, name):
    """Server-side apply validates; the second time nothing is left to change."""
    for namespace in ("jupyter", "jupyter-users"):
        cluster.ask("create", "namespace", namespace)
    objects = kustomized(cluster, name)
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    cluster.kubectl(*apply, standard_input=yaml.safe_dump_all(objects))
    before = versions(cluster)
    cluster.kubectl(*apply, standard_input=yaml.safe_dump_all(objects))
    assert versions(cluster) == before
    cluster.delete(objects)


def test_the_command_on_the_page_removes_all_but_what_holds_data(cluster):
    [command] = re.findall(r"^kubectl (--namespace jupyter delete .*?)\n```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    cluster.ask("create", "namespace", "jupyter")
    objects = kustomized(cluster, "sqlite")
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", standard_input=yaml.safe_dump_all(objects))
    assert {kind for kind, _, _ in cluster.live(objects)} == {it["kind"] for it in objects}
    cluster.kubectl(*command.replace("\\\n", " ").split())
    assert {kind for kind, _, _ in cluster.live(objects)} == {"PersistentVolumeClaim"}
    cluster.delete(objects)


def kustomized(cluster, name):
    return list(yaml.safe_load_all(cluster.kubectl("kustomize", str(OVERLAYS / name))))


def versions(cluster):
    """Of what was applied; a Deployment's changes as its pods come up."""
    kinds = "serviceaccounts,roles,rolebindings,configmaps,services,networkpolicies,poddisruptionbudgets"
    return {it["metadata"]["uid"]: it["metadata"]["resourceVersion"] for it in cluster.get(kinds, "--namespace", "jupyter")}


def by_name(objects):
    return {key(it): plain(it) for it in objects}


def plain(it):
    """Without what only one of the two writes, and with config.json as what it says."""
    it = copy.deepcopy(it)
    without_helm(it["metadata"])
    if it["kind"] == "Deployment":
        without_helm(it["spec"]["template"]["metadata"])
        container = it["spec"]["template"]["spec"]["containers"][0]
        for field in ("env", "volumeMounts"):
            container[field].sort(key=lambda one: one["name"])
        it["spec"]["template"]["spec"]["volumes"].sort(key=lambda one: one["name"])
    if it["kind"] == "ConfigMap" and "config.json" in it.get("data", {}):
        it["data"]["config.json"] = json.loads(it["data"]["config.json"])
    return it


def without_helm(metadata):
    for field, names in (("labels", HELM_LABELS), ("annotations", HELM_ANNOTATIONS)):
        kept = {name: value for name, value in (metadata.pop(field, None) or {}).items() if name not in names}
        if kept:
            metadata[field] = kept
