"""What single values become."""

import json

DIGEST = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
HUBS = [{"podSelector": {"matchLabels": {"app": "jupyterhub", "component": "hub"}}}]


def test_images_are_taken_by_digest_where_there_is_one(rendered):
    git = pod(rendered("git-sync"))["spec"]
    images = {it["name"]: it["image"] for it in [*git["initContainers"], *git["containers"]]}
    assert images["git-sync-once"] == images["git-sync"] == f"registry.k8s.io/git-sync/git-sync@{DIGEST}"
    assert images["k8smgr"].startswith("registry.example.org/k8smgr:")
    assert f"registry.example.org/team/k8smgr@{DIGEST}" in [it["image"] for it in pod(rendered("everything"))["spec"]["containers"]]


def test_api_and_metrics_listen_on_the_address_that_is_given(rendered):
    for name, address in (("git-sync", "[::]"), ("sqlite", "0.0.0.0")):
        [container] = [it for it in pod(rendered(name))["spec"]["containers"] if it["name"] == "k8smgr"]
        assert f"--listen={address}:8080" in container["args"]
        [config] = [it for it in rendered(name) if "config.json" in (it.get("data") or {})]
        assert json.loads(config["data"]["config.json"])["metrics"]["listen"] == f"{address}:9090"


def test_the_hub_s_api_is_let_through_on_both_sides(rendered):
    for name in ("sqlite", "everything"):
        assert pod(rendered(name))["metadata"]["labels"]["hub.jupyter.org/network-access-hub"] == "true"
        [policy] = [it for it in rendered(name) if it["kind"] == "NetworkPolicy"]
        assert {"to": HUBS, "ports": [{"port": 8081, "protocol": "TCP"}]} in policy["spec"]["egress"]


def pod(objects):
    [deployment] = [it for it in objects if it["kind"] == "Deployment"]
    return deployment["spec"]["template"]
