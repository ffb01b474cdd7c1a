"""One K8s Manager in front of one embedded cluster, each a process of its own, in a folder of its own."""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
from urllib.parse import quote

import requests

from authority import Authority
from free_ports import free_port
from processes import Process, processes_with, wait_until

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
K8SMGR = os.environ.get("K8SMGR_BIN", str(TARGET / "debug/k8smgr"))
BEHIND_TLS = ("hubtls",)
# Hubs with OutpostSpawner; the second one has internal_ssl.
OUTPOSTS = ("outpost", "outpostssl")
CREDENTIALS = ("hubone", "hubtwo", "hub", *BEHIND_TLS, *OUTPOSTS)
# What the tests' hubs send in `misc` beside OutpostSpawner's own.
OVERRIDES = ("image", "image_pull_policy", "cmd", "init_containers")
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: userhomes}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
"""


class Installation:
    def __init__(self, folder):
        self.folder = folder
        folder.chmod(0o755)  # the pods run as other users
        self.mark = secrets.token_hex(8)
        self.passwords = {credential: secrets.token_urlsafe(16) for credential in CREDENTIALS}
        self.ports = {credential: free_port() for credential in CREDENTIALS}
        self.processes = []
        self.url = f"http://127.0.0.1:{free_port()}"
        self.kubeconfig = folder / "cluster/kubeconfig"
        self.homes = folder / "homes"
        self.example_port = free_port()

    def start(self):
        self.authority = Authority(self.folder / "tls")
        self.start_cluster()
        self.claim_homes()
        self.start_k8smgr()
        self.objects_before = self.objects()

    def start_cluster(self):
        listen = f"127.0.0.1:{free_port()}"
        command = [K8SMGR, "local-cluster", "--listen", listen, "--data-dir", self.kubeconfig.parent]
        for path in self.host_paths():
            command += ["--host-path", path]
        cluster = self.run("cluster", command, {})
        cluster.wait_until(lambda: self.kubeconfig.exists() and self.kubectl_succeeds(), "kubectl is answered")

    def claim_homes(self):
        """A claim whose storage K8s Manager sees as `userhomes.base`, as a claim that many pods mount is on a cluster."""
        self.homes.mkdir()
        made = self.kubectl("create", "--output", "jsonpath={.metadata.uid}", "--filename", "-", stdin=CLAIM)
        assert made.returncode == 0, made.stderr
        (self.kubeconfig.parent / "claims" / made.stdout).symlink_to(self.homes)

    def start_k8smgr(self):
        self.write_config()
        listen = self.url.removeprefix("http://")
        command = [K8SMGR, "serve", "--listen", listen, "--config", self.folder / "config.json"]
        command += ["--database-url", f"sqlite://{self.folder}/k8smgr.sqlite3"]
        environment = {f"{name.upper()}_USER_PASS": password for name, password in self.passwords.items()}
        environment |= {"KUBECONFIG": str(self.kubeconfig), "DEPLOYMENT_NAME": "k8smgr-test", "DEPLOYMENT_NAMESPACE": "default"}
        self.k8smgr = self.run("k8smgr", command, environment)
        self.k8smgr.wait_until(self.is_healthy, "/api/health/ answers")

    def write_config(self):
        descriptions = self.folder / "descriptions/demo"
        shutil.copytree(REPOSITORY / "service_descriptions/demo", descriptions)
        shutil.copytree(HERE / "descriptions", descriptions, dirs_exist_ok=True)
        self.copy_examples(descriptions.parent / "hub")
        self.copy_outposts_example(descriptions.parent / "outpost")
        for credential in CREDENTIALS:
            shutil.copytree(REPOSITORY / "userhome_skel/demo", self.folder / "skel" / credential)
        homes = self.homes
        mapped = [credential for credential in CREDENTIALS if credential not in ("hub", *OUTPOSTS)]
        config = {
            "services": {
                "base": str(self.folder / "services"),
                "descriptions": str(descriptions.parent),
                # The tests find their processes by this variable and nobody else's.
                "env": {"TEST_INSTALLATION": self.mark},
                "credential_mapping": {**dict.fromkeys(mapped, "demo"), **dict.fromkeys(OUTPOSTS, "outpost")},
                "replace": {
                    "credential": {
                        **dict.fromkeys(("hub", *OUTPOSTS), {"userhomes_claim": "userhomes"}),
                        **{name: {"homes": str(homes / name), "venv": sys.prefix} for name in mapped},
                    }
                },
                # An image that cannot be pulled is waited for so long.
                "status_information": {"fatal_grace_seconds": 2},
            },
            "outpost": {
                credential: {"default_service": "JupyterLab/Default", "allow_override": dict.fromkeys(OVERRIDES, True)}
                for credential in OUTPOSTS
            },
            "flavors_file": str(self.folder / "flavors.yaml"),
            "userhomes": {"base": str(homes), "skel": str(self.folder / "skel")},
            "startup": {"create_user": {credential: ["access_to_webservice"] for credential in CREDENTIALS}},
            # The others are told where they ask for it.
            "hubs": {
                credential: {
                    "api_url": f"https://127.0.0.1:{self.ports[credential]}/hub/api",
                    "certificate_path": self.authority.file,
                }
                for credential in BEHIND_TLS
            },
        }
        (self.folder / "config.json").write_text(json.dumps(config, indent=2))

    def copy_examples(self, to):
        """The examples for a cluster: all but the image's entrypoint, and a port that is free, since all pods share this machine's."""
        shutil.copytree(REPOSITORY / "service_descriptions/hub", to)
        entrypoint = f'command: [/usr/bin/env, "PATH={sys.prefix}/bin:/usr/bin:/bin"]\n      '
        for template in to.rglob("service.yaml.hbs"):
            text = template.read_text().replace("      args: [", f"      {entrypoint}args: [").replace("8888", str(self.example_port))
            template.write_text(text)

    def copy_outposts_example(self, to):
        """As it is, but for the image's entrypoint."""
        shutil.copytree(REPOSITORY / "service_descriptions/outpost", to)
        [template] = to.rglob("service.yaml.hbs")
        text = template.read_text()
        assert text.count("      args:\n") == 1, "the example has changed"
        entrypoint = f'      command: [/usr/bin/env, "PATH={sys.prefix}/bin:/usr/bin:/bin"]\n'
        template.write_text(text.replace("      args:\n", f"{entrypoint}      args:\n"))

    def run(self, name, command, environment):
        process = Process(name, command, environment, self.folder)
        self.processes.append(process)
        return process

    def host_paths(self):
        """What pods see of this machine beside /usr."""
        return {sys.prefix, sys.base_prefix} - {"/usr"}

    def log_of_k8smgr(self):
        return self.k8smgr.output()

    def is_healthy(self):
        try:
            return requests.get(f"{self.url}/api/health/", timeout=5).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    # --- what the tests look at --------------------------------------------------------------------------------------

    def service(self, credential, name):
        """K8s Manager's own answer about one server."""
        login = (credential, self.passwords[credential])
        return requests.get(f"{self.url}/api/services/{name}/", auth=login, timeout=20)

    def services(self, credential):
        login = (credential, self.passwords[credential])
        return requests.get(f"{self.url}/api/services/", auth=login, timeout=20).json()

    def outposts(self, credential):
        """The starts of a hub with OutpostSpawner."""
        login = (credential, self.passwords[credential])
        return requests.get(f"{self.url}/services/", auth=login, timeout=20).json()

    def poll_outpost(self, credential, name, start_id, **query):
        login = (credential, self.passwords[credential])
        path = f"{quote(name, safe='')}/{start_id}"
        return requests.get(f"{self.url}/services/{path}", params=query, auth=login, timeout=20)

    @contextlib.contextmanager
    def flavors(self, flavors):
        """Meanwhile every start of a hub with OutpostSpawner needs one of these."""
        file = self.folder / "flavors.yaml"
        login = (OUTPOSTS[0], self.passwords[OUTPOSTS[0]])

        def known():
            return set(requests.get(f"{self.url}/flavors/", auth=login, timeout=20).json())

        try:
            file.write_text(json.dumps({"flavors": flavors}))  # JSON is YAML
            wait_until(lambda: known() == set(flavors), "the flavors are read")
            yield
        finally:
            file.unlink(missing_ok=True)
            wait_until(lambda: not known(), "the flavors are gone")

    def server_processes(self, **environment):
        return processes_with({"TEST_INSTALLATION": self.mark, **environment})

    def kubectl(self, *arguments, stdin=""):
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)

    def kubectl_succeeds(self):
        return self.kubectl("get", "namespaces").returncode == 0

    def objects(self):
        """Kind, namespace and name of everything in the cluster that can be listed, but for events."""
        kinds = self.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
        kinds = [kind for kind in kinds if not kind.startswith("events")]
        answer = self.kubectl("get", ",".join(kinds), "--all-namespaces", "-o", "json")
        assert answer.returncode == 0, answer.stderr
        items = json.loads(answer.stdout)["items"]
        return {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in items}

    def describe(self):
        """For people who look at a failed test."""
        pods = self.kubectl("get", "pods", "-o", "json")
        names = [pod["metadata"]["name"] for pod in json.loads(pods.stdout)["items"]] if pods.returncode == 0 else []
        questions = [("get", "pods", "-o", "wide"), ("get", "events")] + [("logs", name) for name in names]
        answers = [self.kubectl(*question) for question in questions]
        return "\n".join(answer.stdout + answer.stderr for answer in answers)

    def rendered_files(self):
        return sorted(map(str, (self.folder / "services").rglob("*")))

    def left_behind(self):
        """Objects, processes, records and rendered files that no running server explains."""
        return {
            "objects": sorted(map(str, self.objects() - self.objects_before)),
            "processes": self.server_processes(),
            "services": [service for credential in CREDENTIALS for service in self.services(credential)],
            "outposts": [service for credential in OUTPOSTS for service in self.outposts(credential)],
            "files": self.rendered_files(),
        }

    def assert_nothing_is_left(self, seconds=60):
        """Stops are carried out in the background, so this waits for them."""
        left = {}

        def is_clean():
            left.clear()
            left.update(self.left_behind())
            return not any(left.values())

        try:
            wait_until(is_clean, "nothing is left behind", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(left, indent=2)}") from None

    def end(self):
        problems = []
        for process in reversed(self.processes):
            try:
                process.end()
            except AssertionError as problem:
                problems.append(str(problem))
        problems += [f"still running: {command}" for command in self.server_processes().values()]
        assert not problems, problems
