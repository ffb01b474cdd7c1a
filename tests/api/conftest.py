"""The real binary with an embedded cluster of its own, for whoever asks it over HTTP.

    python -m pytest tests/api        (needs tests/api/requirements.txt, and target/debug/k8smgr)
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(REPOSITORY / "tests/support"))

from free_ports import free_port  # noqa: E402

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
K8SMGR = os.environ.get("K8SMGR_BIN", str(TARGET / "debug/k8smgr"))
LOGINS = {"admin": "superpw", "tester": "testerpw"}
SERVICE = """
apiVersion: v1
kind: Pod
metadata:
  name: lab-<id>
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: example.org/none:1
      command: ["sleep", "3600"]
      envFrom:
        - secretRef:
            name: <secret_name>
"""
UPDATE = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: note-<id>
data:
  note: updated
"""


class Server:
    def __init__(self, folder):
        self.folder, self.log = folder, folder / "k8smgr.log"
        self.url = f"http://127.0.0.1:{free_port()}"

    def start(self):
        service = self.folder / "descriptions/tester/JupyterLab/Default"
        service.mkdir(parents=True)
        (service / "service.yaml").write_text(SERVICE)
        (service / "update.yaml").write_text(UPDATE)
        (self.folder / "skel/tester").mkdir(parents=True)
        config = {
            "services": {
                "base": str(self.folder / "services"),
                "descriptions": str(self.folder / "descriptions"),
                "credential_mapping": {"admin": "tester"},
            },
            "userhomes": {
                "base": str(self.folder / "homes"),
                "skel": str(self.folder / "skel"),
                "credential_mapping": {"admin": "tester"},
            },
            "logs": {"directories": [str(self.folder)], "targets": ["127.0.0.1"]},
            "startup": {"create_user": {"tester": ["access_to_webservice", "access_to_logging"]}},
        }
        (self.folder / "config.json").write_text(json.dumps(config))
        command = [K8SMGR, "serve", "--local", "--data-dir", self.folder / "cluster"]
        command += ["--listen", self.url.removeprefix("http://"), "--config", self.folder / "config.json"]
        command += ["--database-url", f"sqlite://{self.folder}/k8smgr.sqlite3"]
        environment = os.environ | {"SUPERUSER_PASS": LOGINS["admin"], "TESTER_USER_PASS": LOGINS["tester"]}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def answers(self):
        try:
            return urllib.request.urlopen(f"{self.url}/api/health/", timeout=5).status == 200
        except OSError:
            return False

    def get(self, path, user):
        """Status and body of a GET as this user."""
        login = base64.b64encode(f"{user}:{LOGINS[user]}".encode()).decode()
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Basic {login}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0, self.log.read_text()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.stop()
