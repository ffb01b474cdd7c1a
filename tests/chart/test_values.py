"""Values that cannot work are refused before anything is made, and the documentation lists all that there are."""

import json

import pytest
import yaml
from helm_sdkpy import HelmError

from helm import CHART, Release

HUB = {"hubs": {"hub": {}}}
REFUSED = {
    "several on SQLite": ({"replicas": 2}, "replicas"),
    "PostgreSQL without a URL": ({"database": {"type": "postgresql"}}, ""),
    "another database": ({"database": {"type": "mysql"}}, "database"),
    "a URL of another database": ({"database": {"type": "postgresql", "url": "mysql://x"}}, "url"),
    "a key that is not known": ({"replicaCount": 2}, "replicaCount"),
    "a key that is not known deeper": ({"tls": {"secret": "x"}}, "secret"),
    "a group that is not known": ({"hubs": {"hub": {"groups": ["admin"]}}}, "groups"),
    "TLS without a certificate": ({"tls": {"enabled": True}}, "secretName"),
    "client certificates without an authority": (
        {"tls": {"enabled": True, "secretName": "x", "clientCertificates": "required"}},
        "clientCaSecretName",
    ),
    "NFS without a server": ({"userHomes": {"type": "nfs"}}, "server"),
    "Git without a repository": ({"gitSync": {"enabled": True}}, "repo"),
    "a path out of the folder": ({"descriptions": {"files": {"../x": ""}}}, "../x"),
    "a ServiceMonitor without metrics": ({"metrics": {"enabled": False, "serviceMonitor": {"enabled": True}}}, "serviceMonitor"),
    "a node's port of a ClusterIP": ({"service": {"nodePort": 30080}}, "nodePort"),
    "an end without time": ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
    "a claim across namespaces": ({"singleuser": {"namespace": "users"}}, "cannot mount a claim of another namespace"),
    "a port of the database that is not let through": (
        {"database": {"type": "postgresql", "url": "postgresql://k8smgr:p/w@postgres.example.org:6432/k8smgr?sslmode=verify-full"}},
        "set networkPolicy.databasePort to 6432",
    ),
    "a port of the database by default": (
        {"database": {"type": "postgresql", "url": "postgresql://k8smgr@[2001:db8::6]/k8smgr"}, "networkPolicy": {"databasePort": 6432}},
        "set networkPolicy.databasePort to 5432",
    ),
    "an address that is a name": ({"listenAddress": "localhost"}, "listenAddress"),
    "an IPv6 address without brackets": ({"listenAddress": "::"}, "listenAddress"),
    "two hubs with one variable": ({"hubs": {"a-b": {}, "a.b": {}}}, "A_B_USER_PASS"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_cannot_work_are_refused(cluster, case):
    values, said = REFUSED[case]
    release = Release(cluster, "k8smgr", "refused")
    with pytest.raises(HelmError) as refusal:
        release.install({**HUB, **values}, wait=False)
    assert said in str(refusal.value)
    assert not cluster.get("secrets", "--namespace", "refused")


def test_the_schema_knows_every_value_and_no_other():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = schema["properties"].keys() - {"global"}
    assert set(values) == known
    for name, definition in schema["properties"].items():
        if definition.get("additionalProperties") is False and name != "hubs":
            assert set(values[name]) == set(definition["properties"]), name
