"""The chart's life: installed, upgraded, rolled back and uninstalled, with each value set."""

import base64

import pytest
from helm_sdkpy import HelmError

from cluster import key
from conftest import VALUES
from helm import CHART, Release, lint

# Stays when the release goes: data of users, and the passwords that belong to it.
KEPT = {"PersistentVolume", "PersistentVolumeClaim", "Secret", "Namespace"}
# A chart may have an icon.
INFO = 1


def test_the_chart_has_nothing_that_helm_s_linter_minds():
    result = lint(CHART)
    worst = max((it["Severity"] for it in result["Messages"] or []), default=0)
    assert result["TotalChartsLinted"] == 1 and worst <= INFO, result


@pytest.mark.parametrize("name", VALUES)
def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(cluster, values, name):
    release = Release(cluster, "k8smgr", f"life-{name}")
    settings = of_its_own(values(name), name)
    release.install(settings)
    first = release.objects(1)
    assert_applied(cluster, first)
    passwords = secret_of(cluster, first)

    config = {**settings.get("config", {}), "error_messages": {"services.update_service": "No"}}
    annotations = {**settings.get("podAnnotations", {}), "example.org/changed": "yes"}
    release.upgrade({**settings, "config": config, "podAnnotations": annotations})
    assert_applied(cluster, release.objects(2))
    assert secret_of(cluster, first) == passwords, "passwords are those of the first installation"
    assert pod_annotations(first)["checksum/config"] == pod_annotations(release.objects(2))["checksum/config"]

    # A selector cannot be changed: what came before the Deployment is changed by then, and is put back.
    second = release.objects(2)
    with pytest.raises(HelmError, match="immutable"):
        release.upgrade({**settings, "nameOverride": "other", "stage": "other"}, rollback_on_failure=True)
    assert_applied(cluster, second)
    assert [release.record(number)["info"]["status"] for number in (1, 2, 3, 4)] == ["superseded", "superseded", "failed", "deployed"]

    release.uninstall()
    left = cluster.live(first)
    for it in first:
        found = left.get(key(it))
        annotations = it["metadata"].get("annotations", {})
        if annotations.get("helm.sh/resource-policy") == "keep":
            assert it["kind"] in KEPT and found, it["metadata"]
        else:
            assert found is None or found["metadata"].get("deletionTimestamp"), it["metadata"]


def test_a_release_that_is_installed_anew_finds_its_passwords_again(cluster, values):
    release = Release(cluster, "k8smgr", "anew")
    release.install(values("generated-logins"))
    passwords = secret_of(cluster, release.objects(1))
    assert set(passwords) == {"SUPERUSER_PASS", "HUB_USER_PASS", "MY_OTHER_HUB_USER_PASS", "OPERATOR_USER_PASS"}
    assert passwords["MY_OTHER_HUB_USER_PASS"] == "given"
    assert len(set(passwords.values())) == 4 and all(len(it) >= 32 for it in passwords.values() if it != "given")
    release.uninstall()
    release.install(values("generated-logins"))
    assert secret_of(cluster, release.objects(1)) == passwords


def test_an_upgrade_that_leaves_a_hub_out_does_not_lose_its_password(cluster, values):
    release = Release(cluster, "k8smgr", "forgotten")
    release.install(values("generated-logins"), wait=False)
    passwords = secret_of(cluster, release.objects(1))
    release.upgrade({"hubs": {"late": {}}}, wait=False)
    forgotten = secret_of(cluster, release.objects(2))
    assert forgotten.pop("LATE_USER_PASS") and forgotten == passwords
    release.upgrade(values("generated-logins"), wait=False)
    assert secret_of(cluster, release.objects(3)).items() >= passwords.items()


def test_rights_stay_in_a_namespace_that_users_pods_leave(cluster):
    for namespace in ("leaving-old", "leaving-new"):
        cluster.kubectl("create", "namespace", namespace)
    release = Release(cluster, "k8smgr", "leaving")
    settings = {"hubs": {"hub": {}}, "userHomes": {"type": "none"}}
    release.install({**settings, "singleuser": {"namespace": "leaving-old"}}, wait=False)
    rules = cluster.get("role", "k8smgr", "--namespace", "leaving-old")["rules"]
    both = {"namespaces": ["leaving-old", "leaving-new"]}
    release.upgrade({**settings, "singleuser": {"namespace": "leaving-new"}, "rbac": both}, wait=False)
    for namespace in ("leaving-old", "leaving-new"):
        assert cluster.get("role", "k8smgr", "--namespace", namespace)["rules"] == rules
        [subject] = cluster.get("rolebinding", "k8smgr", "--namespace", namespace)["subjects"]
        assert subject == {"kind": "ServiceAccount", "name": "k8smgr", "namespace": "leaving"}
    release.upgrade({**settings, "singleuser": {"namespace": "leaving-new"}}, wait=False)
    assert cluster.get("role", "k8smgr", "--namespace", "leaving-old") is None


def test_an_upgrade_that_leaves_the_keys_out_does_not_lose_them(cluster, values):
    release = Release(cluster, "k8smgr", "keys")
    release.install({**values("generated-logins"), "cryptKeys": "one"}, wait=False)
    assert secret_of(cluster, release.objects(1))["K8SMGR_CRYPT_KEYS"] == "one"
    release.upgrade(values("generated-logins"), wait=False)
    assert secret_of(cluster, release.objects(2))["K8SMGR_CRYPT_KEYS"] == "one"
    release.upgrade({**values("generated-logins"), "cryptKeys": "two;one"}, wait=False)
    assert secret_of(cluster, release.objects(3))["K8SMGR_CRYPT_KEYS"] == "two;one"


def test_what_is_reloaded_restarts_nothing_and_what_waits_for_a_restart_does(cluster, values):
    release = Release(cluster, "k8smgr", "checksums")
    release.install(values("sqlite"), wait=False)
    before = pod_annotations(release.objects(1))

    def after(**changes):
        release.upgrade({**values("sqlite"), **changes}, wait=False)
        return pod_annotations(release.objects(release.newest()))

    reloaded = {"services": {"ended_ttl_seconds": 5}, "userhomes": {"skel_ignore_files": ["*.swp"]}}
    assert after(config=reloaded) == before
    assert after(descriptions={"files": {"hub/Lab/service.yaml": "kind: Pod"}}) == before
    assert after(config={"http": {"shutdown_delay_seconds": 1}})["checksum/config"] != before["checksum/config"]
    assert after(config={"userjobs": {"ssh_program": "/opt/ssh"}})["checksum/config"] != before["checksum/config"]
    assert after(listenAddress="[::]")["checksum/config"] != before["checksum/config"]
    assert after(commonLabels={}, service={"annotations": {"a": "b"}}) == before
    assert after(hubs={"hub": {}, "second": {}})["checksum/config"] != before["checksum/config"]
    assert after(cryptKeys="new;old")["checksum/secret"] != before["checksum/secret"]
    assert after(existingSecret="other")["checksum/secret"] != before["checksum/secret"]


def test_notes_tell_how_to_go_on(cluster, values):
    release = Release(cluster, "k8smgr", "notes")
    release.install(values("generated-logins"), wait=False)
    notes = release.record(1)["info"]["notes"]
    assert "http://k8smgr.notes.svc:80/api/services/" in notes
    assert "{.data.MY_OTHER_HUB_USER_PASS}" in notes
    assert "given" not in notes.replace("are given", ""), "no password is told"
    release.upgrade({"hubs": {}}, wait=False)
    notes = release.record(2)["info"]["notes"]
    assert "No hub may log in yet" in notes and "There are no service descriptions yet" in notes


def of_its_own(values, name):
    """With names that do not depend on `nameOverride`, and a namespace for users that no other test has."""
    values.setdefault("fullnameOverride", "k8smgr")
    if "singleuser" in values:
        values["singleuser"]["namespace"] = f"life-{name}-users"
    return values


def workload(objects):
    [found] = [it for it in objects if it["kind"] == "Deployment"]
    return found


def pod_annotations(objects):
    return workload(objects)["spec"]["template"]["metadata"]["annotations"]


def secret_of(cluster, objects):
    for it in cluster.live([it for it in objects if it["kind"] == "Secret"]).values():
        return {name: base64.b64decode(value).decode() for name, value in it["data"].items()}
    return None


def assert_applied(cluster, objects):
    live = cluster.live(objects)
    for wanted in objects:
        assert key(wanted) in live, f"{key(wanted)} is missing"
        assert_part(wanted, live[key(wanted)], f"{wanted['kind']}/{wanted['metadata']['name']}")


def assert_part(wanted, found, path):
    """All that was asked for is there; a cluster adds what it defaults."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            if value is not None and value != {}:
                assert isinstance(found, dict) and name in found, f"{path}.{name} is missing"
                assert_part(value, found[name], f"{path}.{name}")
    elif isinstance(wanted, list):
        assert len(wanted) == len(found), path
        for index, (one, other) in enumerate(zip(wanted, found)):
            assert_part(one, other, f"{path}[{index}]")
    else:
        assert wanted == found, path
