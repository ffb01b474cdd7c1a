"""The Role of chart and Kustomize is what `k8smgr check --rbac` says, and what K8s Manager calls in the tests, no more and no less.

    K8SMGR_CALLS_DIR=FOLDER cargo nextest run --workspace          writes down what was called, as scripts/test does
    K8SMGR_CALLS_DIR=FOLDER .venv/hub-6.1/bin/python -m pytest tests/rights

UPDATE_ROLE=1 writes the Role anew after a change of service_descriptions/.
"""

import json
import os
import pathlib
import subprocess

import pytest
import yaml

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
K8SMGR = os.environ.get("K8SMGR_BIN", str(TARGET / "debug/k8smgr"))
RULES = REPOSITORY / "deploy/helm/k8smgr/files/rules.yaml"
KUSTOMIZE = REPOSITORY / "deploy/kustomize/base/role.yaml"

OF_OBJECTS = {"create", "delete", "get", "list", "patch"}
# Kinds that only the tests' own descriptions have, with what is done with objects of any kind. Their pods are watched.
OF_TESTS = {
    ("apps", "deployments"): OF_OBJECTS | {"watch"},
    ("apps", "statefulsets"): OF_OBJECTS | {"watch"},
    ("batch", "jobs"): OF_OBJECTS | {"watch"},
    ("networking.k8s.io", "ingresses"): OF_OBJECTS,
    ("", "serviceaccounts"): OF_OBJECTS,
    ("golden.example.org", "labs"): OF_OBJECTS,
    # The claims that a StatefulSet made.
    ("", "persistentvolumeclaims"): {"deletecollection"},
}
# The look for objects that no record knows asks for a list of every kind there is; where that is refused, it is none of ours.
OF_THE_SWEEP = "list"
# Allowed as for objects of any kind, and called by no test: an update.yaml that enlarges a claim.
UNUSED = {("patch", "", "persistentvolumeclaims")}
# Everybody may ask these about himself.
OF_EVERYBODY = {("authorization.k8s.io", "selfsubjectaccessreviews"), ("authorization.k8s.io", "selfsubjectrulesreviews")}


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The rules that `k8smgr check --rbac` prints for the shipped descriptions, as text."""
    folder = tmp_path_factory.mktemp("rights")
    config = (REPOSITORY / "demo/config.json").read_text()
    for mark, value in {"@ROOT@": REPOSITORY, "@RUN@": folder, "@HOMES@": folder / "homes", "@VENV@": folder}.items():
        config = config.replace(mark, str(value))
    (folder / "config.json").write_text(config)
    command = [K8SMGR, "check", "--rbac", "--config", str(folder / "config.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    _, rules = done.stdout.split("rules:\n")
    return "".join(line.removeprefix("  ") for line in rules.splitlines(keepends=True))


def test_the_role_is_what_check_prints_for_the_shipped_descriptions(checked):
    if os.environ.get("UPDATE_ROLE"):
        RULES.write_text(checked)
        before, _, rest = KUSTOMIZE.read_text().partition("rules:\n")
        _, _, after = rest.partition("---\n")
        KUSTOMIZE.write_text(before + "rules:\n" + "".join(f"  {line}" for line in checked.splitlines(keepends=True)) + "---\n" + after)
    assert RULES.read_text() == checked, "UPDATE_ROLE=1 writes it anew"
    role, _ = yaml.safe_load_all(KUSTOMIZE.read_text())
    assert role["rules"] == yaml.safe_load(checked)


def test_k8s_manager_called_what_its_role_allows_and_all_of_it():
    allowed = {
        (verb, group, resource)
        for rule in yaml.safe_load(RULES.read_text())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    called = calls()
    outside = {
        (verb, group, resource)
        for verb, group, resource in called - allowed
        if (group, resource) not in OF_EVERYBODY
        and verb != OF_THE_SWEEP
        and verb not in OF_TESTS.get((group, resource), ())
    }
    assert sorted(outside) == [], "called, and not in the Role"
    assert sorted(allowed - called - UNUSED) == [], "in the Role, and nobody called it"


def calls():
    """Verb, API group and resource of all calls that were written down."""
    folder = pathlib.Path(os.environ["K8SMGR_CALLS_DIR"])
    lines = {line for path in folder.iterdir() for line in path.read_text().splitlines()}
    assert lines, f"nothing was written down in {folder}"
    return {(verb, json.loads(group), resource) for verb, group, resource in (line.split() for line in lines)}
