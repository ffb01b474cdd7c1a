"""K8s Manager in the embedded cluster from the Helm chart: the chart's Deployment, its ServiceAccount and nothing but its Role."""

import json
import pathlib
import subprocess
import sys

from free_ports import free_port
from installation import CREDENTIALS, HERE, K8SMGR, REPOSITORY, Installation
from processes import wait_until

PROGRAM = pathlib.Path(K8SMGR).resolve()
# The venv of tests/chart: Helm's library needs a newer Python than the hub's may be.
HELM = [str(REPOSITORY / ".venv/chart/bin/python"), str(REPOSITORY / "tests/chart/install.py")]
# The demo's homes are folders of the machine; here they are on the chart's claim, as on a real cluster.
HOME_ON_THE_MACHINE = """      hostPath:
        path: <homes>/<user_id>
        type: Directory                     # never make an empty one in its place
"""
HOME_ON_THE_CLAIM = """      persistentVolumeClaim:
        claimName: <userhomes_claim>
"""
MOUNT = "          mountPath: /home/jovyan\n"


class ChartInstallation(Installation):
    namespace = "jupyter"

    def host_paths(self):
        return super().host_paths() | {str(PROGRAM.parent)}

    def kubectl(self, *arguments, **options):
        return super().kubectl("--namespace", self.namespace, *arguments, **options)

    def claim_homes(self):
        """The chart does."""

    def start_k8smgr(self):
        values = self.folder / "values.json"
        values.write_text(json.dumps(self.values(), indent=2))
        command = [*HELM, "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, "--values", values]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.describe()}"
        wait_until(self.is_healthy, "/api/health/ answers")
        self.assert_it_has_its_role_only()

    def assert_it_has_its_role_only(self):
        account = f"system:serviceaccount:{self.namespace}:k8smgr"
        account_of_pod = "jsonpath={.items[0].spec.serviceAccountName}"
        assert self.kubectl("get", "pods", "-l", "app.kubernetes.io/name=k8smgr", "-o", account_of_pod).stdout == "k8smgr"
        for allowed, *question in [
            (True, "create", "pods"),
            (False, "create", "deployments.apps"),
            (False, "get", "nodes"),
            (False, "get", "secrets", "--namespace", "default"),
        ]:
            answer = self.kubectl("auth", "can-i", *question, "--as", account)
            assert answer.stdout.startswith("yes" if allowed else "no"), (question, answer)

    def values(self):
        descriptions = files_of(REPOSITORY / "service_descriptions/demo", "demo") | files_of(HERE / "descriptions", "demo")
        lab = descriptions["demo/JupyterLab/Default/service.yaml"]
        assert HOME_ON_THE_MACHINE in lab and lab.count(MOUNT) == 1, "the demo's description has changed"
        lab = lab.replace(HOME_ON_THE_MACHINE, HOME_ON_THE_CLAIM)
        lab = lab.replace(MOUNT, MOUNT + "          subPath: <homes>/<user_id>\n")
        skeletons = [files_of(REPOSITORY / "userhome_skel/demo", credential) for credential in CREDENTIALS]
        return {
            "fullnameOverride": "k8smgr",
            "command": [str(PROGRAM)],  # the image is not looked at here
            "containerPort": int(self.url.rpartition(":")[2]),  # pods share the machine's ports
            "metrics": {"port": free_port()},
            "hubs": {credential: {"password": self.passwords[credential]} for credential in CREDENTIALS},
            "descriptions": {"files": descriptions | {"demo/JupyterLab/Default/service.yaml": lab}},
            "skeleton": {"files": {path: text for files in skeletons for path, text in files.items()}},
            "config": {
                "services": {
                    # The tests find their processes by this variable and nobody else's.
                    "env": {"TEST_INSTALLATION": self.mark},
                    "credential_mapping": {credential: "demo" for credential in CREDENTIALS},
                    "replace": {
                        "credential": {name: {"homes": name, "venv": sys.prefix} for name in CREDENTIALS}
                    },
                }
            },
        }

    def log_of_k8smgr(self):
        return self.kubectl("logs", "--selector", "app.kubernetes.io/name=k8smgr", "--tail=-1").stdout

    def rendered_files(self):
        """In the pod's own /tmp."""
        return sorted(str(path) for path in self.kubeconfig.parent.glob("**/tmp/services/*"))


def files_of(folder, name):
    """The texts of a folder's files, by path below a folder called `name`."""
    return {f"{name}/{path.relative_to(folder)}": path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}
