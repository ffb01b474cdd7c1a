"""The embedded cluster, as a process of its own, and what the tests ask it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import yaml

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.append(str(REPOSITORY / "tests/support"))

from free_ports import free_port  # noqa: E402

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
K8SMGR = os.environ.get("K8SMGR_BIN", str(TARGET / "debug/k8smgr"))
# scripts/setup puts a newer one there where the system's is too old for today's Kustomize.
_OWN_KUBECTL = pathlib.Path(sys.prefix) / "kubectl/kubectl"
KUBECTL = str(_OWN_KUBECTL) if _OWN_KUBECTL.exists() else shutil.which("kubectl")


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        self.kubeconfig = folder / "cluster/kubeconfig"
        self.log = folder / "cluster.log"

    def start(self):
        listen = f"127.0.0.1:{free_port()}"
        command = [K8SMGR, "local-cluster", "--listen", listen, "--data-dir", self.kubeconfig.parent]
        with open(self.log, "w") as log:
            self.child = subprocess.Popen(
                [*command, "--runtime", "simulated"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.wait_until(lambda: self.kubeconfig.exists() and self.ask("get", "namespaces").returncode == 0, "kubectl is answered")

    def wait_until(self, condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.child.poll() is None, f"the cluster has ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.05)

    def end(self):
        self.child.terminate()
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise

    def ask(self, *arguments, standard_input=None):
        command = [KUBECTL, "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=standard_input, capture_output=True, text=True, timeout=120)

    def kubectl(self, *arguments, standard_input=None):
        answer = self.ask(*arguments, standard_input=standard_input)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def delete(self, objects):
        """Waits until they are gone."""
        if objects:
            self.kubectl("delete", "--ignore-not-found", "-f", "-", standard_input=yaml.safe_dump_all(objects))

    def live(self, objects):
        """What the cluster has of these objects, by kind, namespace and name."""
        if not objects:
            return {}
        manifests = yaml.safe_dump_all(objects)
        answer = self.kubectl("get", "--ignore-not-found", "-f", "-", "-o", "json", standard_input=manifests)
        found = json.loads(answer) if answer else {"items": []}
        return {key(it): it for it in found.get("items", [found])}

    def get(self, *arguments):
        """The object, or the items of a list; None where there is none."""
        answer = self.ask("get", *arguments, "-o", "json")
        if answer.returncode != 0:
            assert "NotFound" in answer.stderr, answer.stderr
            return None
        found = json.loads(answer.stdout)
        return found.get("items", found)


def key(it):
    return it["kind"], it["metadata"].get("namespace"), it["metadata"]["name"]
