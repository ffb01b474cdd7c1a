"""A real JupyterHub with its proxy, driven over its REST API as its own pages drive it."""

import json
import secrets
import sys
from urllib.parse import quote

import requests

from free_ports import free_port
from installation import BEHIND_TLS, HERE
from processes import wait_until

USERS = ("alice", "bob", "carol")


class Hub:
    def __init__(self, installation, credential, config="jupyterhub_config.py", environment=None):
        self.installation = installation
        self.credential = credential
        self.config = config
        self.environment = environment or {}
        self.password = secrets.token_urlsafe(16)
        self.port = installation.ports[credential]
        self.authority = installation.authority if credential in BEHIND_TLS else None
        self.url = f"{'https' if self.authority else 'http'}://127.0.0.1:{self.port}"
        self.token = secrets.token_hex(16)
        self.cookie_secret = secrets.token_hex(32)
        self.api_port = free_port()
        self.state = installation.folder / credential
        self.state.mkdir()
        self.runs = 0

    def start(self):
        self.run()
        # In the same order in each hub: so the same user has the same number in all of them.
        answer = self.api("POST", "/users", json={"usernames": list(USERS)})
        assert answer.status_code == 201, answer.text

    def restart(self):
        """With the database that it has; users' servers go on, where `cleanup_servers` is off."""
        self.process.end()
        self.run()

    def run(self):
        self.runs += 1
        command = [sys.executable, "-m", "jupyterhub", "-f", HERE / self.config]
        environment = {
            "K8SMGR_URL": self.installation.url,
            "K8SMGR_CREDENTIAL": self.credential,
            "K8SMGR_PASSWORD": self.installation.passwords[self.credential],
            "HUB_STATE": str(self.state),
            "HUB_PORT": str(self.port),
            "HUB_API_PORT": str(self.api_port),
            "HUB_PASSWORD": self.password,
            "JPY_COOKIE_SECRET": self.cookie_secret,
            "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32),
            "TESTER_TOKEN": self.token,
            **self.environment,
        }
        if self.authority:
            environment |= {"HUB_TLS_KEY": self.authority.key, "HUB_TLS_CERT": self.authority.certificate}
        name = self.credential if self.runs == 1 else f"{self.credential}-{self.runs}"
        self.process = self.installation.run(name, command, environment)
        self.process.wait_until(self.is_healthy, "/hub/health answers through the proxy")

    def is_healthy(self):
        try:
            return requests.get(f"{self.url}/hub/health", timeout=5, verify=self.verify()).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def api(self, method, path, **arguments):
        arguments.setdefault("timeout", 30)
        arguments.setdefault("verify", self.verify())
        return requests.request(method, f"{self.url}/hub/api{path}", headers=self.authorization(), **arguments)

    def verify(self):
        return self.authority.file if self.authority else True

    def authorization(self):
        return {"Authorization": f"token {self.token}"}

    def add_user(self, name):
        answer = self.api("POST", f"/users/{quote(name, safe='')}")
        assert answer.status_code in (201, 409), answer.text

    def logged_in(self, user):
        """A session of the user's browser."""
        session = requests.Session()
        session.get(f"{self.url}/hub/login", timeout=30)
        form = {"username": user, "password": self.password, "_xsrf": session.cookies.get("_xsrf", path="/hub/")}
        answer = session.post(f"{self.url}/hub/login", data=form, timeout=30, allow_redirects=False)
        assert answer.status_code == 302, answer.text
        return session

    # --- users' servers ----------------------------------------------------------------------------------------------

    def start_server(self, user, server, **user_options):
        """Asks for the start and returns all events of the progress page, up to the one that ends it."""
        answer = self.api("POST", server_path(user, server), json=user_options)
        assert answer.status_code in (201, 202), answer.text
        return self.progress(user, server)

    def progress(self, user, server):
        with self.api("GET", f"{server_path(user, server)}/progress", stream=True, timeout=180) as stream:
            assert stream.status_code == 200, stream.text
            lines = stream.iter_lines(decode_unicode=True)
            return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]

    def events(self, user, server):
        """What the spawner keeps for the user to look at after a start."""
        answer = self.api("GET", f"/users/progress/status/{user}/{quote(server, safe='')}".rstrip("/"))
        assert answer.status_code == 200, answer.text
        return answer.json()["events"]

    def server(self, user, server):
        """The hub's view of a server that it takes as active, else None."""
        answer = self.api("GET", f"/users/{quote(user, safe='')}")
        assert answer.status_code == 200, answer.text
        return answer.json()["servers"].get(server)

    def stop_server(self, user, server):
        answer = self.api("DELETE", server_path(user, server))
        assert answer.status_code in (202, 204), answer.text
        self.wait_until_stopped(user, server)

    def wait_until_stopped(self, user, server):
        wait_until(lambda: self.server(user, server) is None, f"{self.credential}: {user}'s {server} is stopped")

    def wait_until_unrouted(self, user, server):
        """The last that a hub with OutpostSpawner does where a poll finds a server stopped. One that is asked to end before
        that ends its proxy and then asks it for 30 s to remove the route."""
        wait_until(lambda: not self.has_route(user, server), f"{self.credential}: no route leads to {user}'s {server}")

    def has_route(self, user, server):
        answer = self.api("GET", "/proxy")
        assert answer.status_code == 200, answer.text
        servers = [(route["data"].get("user"), route["data"].get("server_name")) for route in answer.json().values()]
        return (user, server) in servers

    def polls(self, name):
        """How often this hub has polled the service of this name so far."""
        return self.process.output().count(f"Communicated poll with backend service ( {self.installation.url}/api/services/{name}/ )")


def server_path(user, server):
    user = quote(user, safe="")
    return f"/users/{user}/servers/{quote(server, safe='')}" if server else f"/users/{user}/server"
