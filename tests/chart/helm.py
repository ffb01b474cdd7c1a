"""Helm's own library, as far as the tests use it: one release in a namespace."""

import asyncio
import base64
import gzip
import json

import helm_sdkpy
import yaml

from cluster import REPOSITORY

CHART = REPOSITORY / "deploy/helm/k8smgr"
# No wait of a test comes near it.
TIMEOUT_SECONDS = 120


class Release:
    def __init__(self, cluster, name, namespace):
        self.cluster, self.name, self.namespace = cluster, name, namespace
        self.configuration = helm_sdkpy.Configuration(namespace=namespace, kubeconfig=str(cluster.kubeconfig))

    def install(self, values, **options):
        options = {"timeout": TIMEOUT_SECONDS, "create_namespace": True, **options}
        return run(helm_sdkpy.Install(self.configuration), self.name, str(CHART), values, **options)

    def upgrade(self, values, **options):
        options = {"timeout": TIMEOUT_SECONDS, "disable_openapi_validation": False, **options}
        return run(helm_sdkpy.Upgrade(self.configuration), self.name, str(CHART), values, **options)

    def uninstall(self):
        return run(helm_sdkpy.Uninstall(self.configuration), self.name, timeout=TIMEOUT_SECONDS)

    def newest(self):
        return len(run(helm_sdkpy.History(self.configuration), self.name))

    def record(self, revision):
        """What Helm keeps of a revision: manifest, notes, values."""
        name = f"sh.helm.release.v1.{self.name}.v{revision}"
        secret = self.cluster.get("secret", name, "--namespace", self.namespace)
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        return json.loads(gzip.decompress(packed))

    def objects(self, revision):
        """The objects of a revision, as Helm rendered them."""
        return [it for it in yaml.safe_load_all(self.record(revision)["manifest"]) if it]


def lint(path):
    return run(helm_sdkpy.Lint(helm_sdkpy.Configuration()), str(path))


def run(action, *arguments, **options):
    return asyncio.run(action.run(*arguments, **options))
