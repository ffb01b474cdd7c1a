"""The smtp log handler of the real binary against aiosmtpd: plain, and over TLS with a login.

    python -m pytest tests/mail        (needs aiosmtpd and pytest, and target/debug/k8smgr)

No cluster is needed: log handlers work without.
"""

import base64
import contextlib
import email
import email.policy
import json
import os
import pathlib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(REPOSITORY / "tests/support"))

from free_ports import free_port  # noqa: E402

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
K8SMGR = os.environ.get("K8SMGR_BIN", str(TARGET / "debug/k8smgr"))
LOGIN = LoginPassword(b"k8smgr", b"mail-5ecret")
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: none, user: {}}]
"""


def wait_until(look, what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds} s: {what}")


class Mailbox:
    """Keeps what it gets, and who logged in."""

    def __init__(self):
        self.mails, self.logins = [], []

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, message, session.ssl is not None))
        return "250 taken"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append(data)
        return AuthResult(success=data == LOGIN)


@contextlib.contextmanager
def server(mailbox, **options):
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@contextlib.contextmanager
def k8smgr(folder, targets, **environment):
    (folder / "kubeconfig").write_text(KUBECONFIG)
    (folder / "config.json").write_text(json.dumps({"logs": {"targets": targets, "directories": []}}))
    url = f"http://127.0.0.1:{free_port()}"
    command = [K8SMGR, "serve", "--listen", url.removeprefix("http://"), "--config", folder / "config.json"]
    command += ["--database-url", f"sqlite://{folder}/k8smgr.sqlite3"]
    environment = os.environ | {"SUPERUSER_PASS": "superpw", "KUBECONFIG": str(folder / "kubeconfig")} | environment
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: call(url, "GET", "/api/health/", ok=(200, None)) == 200, "/api/health/ answers")
        yield url
    finally:
        process.terminate()
        assert process.wait(30) == 0
        assert "5ecret" not in (folder / "log").read_text()


def call(url, method, path, body=None, ok=(200, 201)):
    headers = {"Authorization": "Basic " + base64.b64encode(b"admin:superpw").decode(), "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    except OSError:
        status, text = None, b""
    assert status in ok, (status, text)
    return json.loads(text) if text else status


def add_smtp(url, mailhost, port, **more):
    configuration = {"mailhost": mailhost, "port": port, "fromaddr": "k8smgr@example.org", "level": "CRITICAL",
                     "toaddrs": ["a@example.org", "b@example.org"], "subject": "K8sMgr ü", **more}
    call(url, "POST", "/api/logs/handler/", {"handler": "smtp", "configuration": configuration})


@pytest.fixture
def certificate(tmp_path):
    """For localhost, signed by itself."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


def test_a_record_is_a_mail(tmp_path):
    mailbox = Mailbox()
    with server(mailbox) as port, k8smgr(tmp_path, ["127.0.0.1"], LOG_SMTP_USER="k8smgr", LOG_SMTP_PASSWORD="mail-5ecret") as url:
        add_smtp(url, "127.0.0.1", port)
        call(url, "GET", "/api/logs/logtest/")
        [(sender, recipients, message, is_tls)] = wait_until(lambda: mailbox.mails, "a mail")
    assert (sender, recipients, is_tls) == ("k8smgr@example.org", ["a@example.org", "b@example.org"], False)
    assert (message["From"], message["To"]) == ("k8smgr@example.org", "a@example.org, b@example.org")
    assert (message["Subject"], message.get_content_type()) == ("K8sMgr ü", "text/plain")
    assert message["Date"].datetime is not None
    assert " levelname=CRITICAL " in message.get_content()
    assert message.get_content().rstrip().endswith(" : Critical --- Extra1=message1 --- mesg=msg1 --- filename_extra=forbidden")
    assert mailbox.logins == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_the_login_goes_over_tls(tmp_path, certificate, security):
    cert, context = certificate
    mailbox = Mailbox()
    options = {"authenticator": mailbox.authenticate, "auth_required": True}
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    else:
        options |= {"ssl_context": context, "auth_require_tls": False}
    environment = {"SSL_CERT_FILE": str(cert), "LOG_SMTP_USER": "k8smgr", "LOG_SMTP_PASSWORD": "mail-5ecret"}
    with server(mailbox, **options) as port, k8smgr(tmp_path, [f"localhost:{port}"], **environment) as url:
        add_smtp(url, "localhost", port, security=security)
        call(url, "GET", "/api/logs/logtest/")
        [(_, _, message, _)] = wait_until(lambda: mailbox.mails, "a mail")
    assert " : Critical --- " in message.get_content()
    assert mailbox.logins == [LOGIN]


def test_a_server_that_cannot_prove_its_name_gets_nothing(tmp_path, certificate):
    _, context = certificate
    mailbox = Mailbox()
    options = {"tls_context": context, "require_starttls": True, "authenticator": mailbox.authenticate}
    environment = {"LOG_SMTP_USER": "k8smgr", "LOG_SMTP_PASSWORD": "mail-5ecret"}
    with server(mailbox, **options) as port, k8smgr(tmp_path, ["localhost"], **environment) as url:
        add_smtp(url, "localhost", port, security="starttls")
        call(url, "GET", "/api/logs/logtest/")
        told = wait_until(lambda: call(url, "GET", "/api/logs/handler/smtp/").get("failing"), "told as failing")
    assert "certificate" in told.lower()
    assert (mailbox.mails, mailbox.logins) == ([], [])
