"""service_descriptions/hub and deploy/examples/jupyterhub_config.py with a real hub: the form, the sizes, the homes."""

import json
import runpy
import types

import pytest
import requests

from installation import REPOSITORY
from kernel import execute
from processes import wait_until

USER = "alice"
SERVICES = ("JupyterLab/Default", "CodeServer/Default", "Desktop/Default")


@pytest.fixture(scope="session")
def example():
    """The names that the configuration defines."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"K8SMGR_URL": "https://k8smgr/", "K8SMGR_PASSWORD": "x:y", "POD_NAMESPACE": "hubs", "SERVERS_NAMESPACE": "labs"}.items():
            patch.setenv(name, value)
        config = Config()
        names = runpy.run_path(str(REPOSITORY / "deploy/examples/jupyterhub_config.py"), {"c": config})
    return types.SimpleNamespace(**names)


class Config(dict):
    """As traitlets' Config: what is not there is made."""

    def __getattr__(self, name):
        return self.setdefault(name, Config())

    def __setattr__(self, name, value):
        self[name] = value


def test_the_form_gives_a_service_and_a_size_and_refuses_all_else(example):
    assert example.options_from_form({"service": ["Desktop/Default"], "size": ["large"]}) == {"service": "Desktop/Default", "size": "large"}
    assert example.options_from_form({}) == {"service": "JupyterLab/Default", "size": "small"}
    # /hub/spawn with a query, and fields of nobody's form.
    assert example.options_from_form({"size": ["medium"], "username": ["root"], "image": ["x"]}) == {"service": "JupyterLab/Default", "size": "medium"}
    for size in ("huge", "", "small\n", "<script>"):
        with pytest.raises(ValueError, match="size must be one of small, medium, large"):
            example.options_from_form({"size": [size]})


def test_what_the_api_was_sent_is_checked_like_the_form(example):
    for options in ({"size": ["small"]}, {"size": {}}, {"size": None}, {"service": "../x"}, {"service": 1}):
        with pytest.raises(ValueError, match="must be one of"):
            example.checked(options)


def test_the_form_shows_every_choice_and_the_last_one_chosen(example):
    spawner = types.SimpleNamespace(user_options={"service": "CodeServer/Default", "size": "<odd>"})
    form = example.options_form(spawner)
    for name, offered in example.CHOICES.items():
        assert f'name="{name}"' in form
        assert all(f'<option value="{value}"' in form for value in offered)
    assert form.count(" selected") == 1 and '<option value="CodeServer/Default" selected>' in form
    assert "odd" not in form


def test_every_choice_of_the_form_is_a_description(example):
    for service in example.CHOICES["service"]:
        assert (REPOSITORY / "service_descriptions/hub" / service / "service.yaml.hbs").is_file()


def test_servers_in_another_namespace_reach_the_hub_by_its_full_name(example):
    assert example.c.JupyterHub.hub_connect_url == "http://hub.hubs.svc:8081"
    user = types.SimpleNamespace(orm_user=types.SimpleNamespace(id=7))
    assert example.service_address(types.SimpleNamespace(user=user, name="lab", start_id="1a2b")) == "lab-u7-lab-1a2b.labs.svc"
    assert example.c.BackendSpawner.request_kwargs["validate_cert"] is True


def test_a_server_chosen_in_the_form_runs_with_its_size_and_keeps_its_home(installation, hub_of_examples):
    session = hub_of_examples.logged_in(USER)
    page = session.get(f"{hub_of_examples.url}/hub/spawn/{USER}", timeout=30)
    assert page.status_code == 200 and '<select class="form-control form-select" id="size"' in page.text, page.text

    refused = submit(session, hub_of_examples, size="huge")
    assert "size must be one of small, medium, large" in refused.text
    assert installation.services("hub") == []

    submit(session, hub_of_examples, service="JupyterLab/Default", size="medium")
    assert hub_of_examples.progress(USER, "")[-1].get("ready")
    [pod] = pods(installation)
    assert pod["metadata"]["annotations"]["hub.jupyter.org/username"] == USER
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    wait_until(lambda: pods(installation)[0]["status"]["containerStatuses"][0]["ready"], "the probes find the server beneath its prefix")
    look = "import os, pathlib; print(sorted(it.name for it in pathlib.Path.home().iterdir())); pathlib.Path.home().joinpath('note').touch()"
    assert "Welcome.ipynb" in execute(hub_of_examples, USER, "", look)
    hub_of_examples.stop_server(USER, "")
    installation.assert_nothing_is_left()
    assert list(installation.homes.glob("hub/*/note")), "the claim's folder is the home that K8s Manager made"


@pytest.mark.parametrize(("service", "lands_on"), [("CodeServer/Default", "/code-server/"), ("Desktop/Default", "/desktop/")])
def test_what_is_no_notebook_is_behind_the_hubs_login_at_its_own_page(installation, hub_of_examples, service, lands_on):
    assert hub_of_examples.start_server(USER, "", service=service)[-1].get("ready")
    server = f"{hub_of_examples.url}/user/{USER}/"
    without_login = requests.get(f"{server}api/status", timeout=30, allow_redirects=False)
    assert without_login.status_code == 403, without_login.text
    landed = requests.get(server, headers=hub_of_examples.authorization(), timeout=30, allow_redirects=False)
    assert landed.headers["Location"].split("?")[0] == f"/user/{USER}{lands_on}"
    hub_of_examples.stop_server(USER, "")
    installation.assert_nothing_is_left()


def test_the_hubs_api_starts_nothing_that_the_form_does_not_offer(installation, hub_of_examples):
    starts = hub_of_examples.process.output().count("Communicated start")
    for options in ({"size": "huge"}, {"size": ["small"]}, {"service": "JupyterLab/Unknown"}):
        # Which status it is depends on how far the hub is with the start when it answers.
        answer = hub_of_examples.api("POST", f"/users/{USER}/server", json=options)
        assert answer.status_code in (201, 202, 400), answer.text
        hub_of_examples.wait_until_stopped(USER, "")
    output = hub_of_examples.process.output()
    assert output.count("Communicated start") == starts
    assert "HTTP 400: Bad Request (size must be one of small, medium, large)" in output
    assert installation.services("hub") == []


def test_k8s_manager_refuses_a_size_that_got_past_the_hub(installation):
    for size in ("huge", "small\n      privileged: true", ["small"]):
        body = {
            "env": {"JUPYTERHUB_STATUS_URL": "x", "JUPYTERHUB_API_TOKEN": "x", "JUPYTERHUB_USER_ID": 1},
            "user_options": {"service": "JupyterLab/Default", "size": size},
            "start_id": "s1",
        }
        login = ("hub", installation.passwords["hub"])
        answer = requests.post(f"{installation.url}/api/services/", json=body, headers={"uuidcode": "past"}, auth=login, timeout=30)
        assert answer.status_code == 500, answer.text
        assert "size must be small, medium or large" in answer.json()["detailed_error"]
    installation.assert_nothing_is_left()


def submit(session, hub, **choices):
    """Sends the form of the spawn page."""
    page = f"{hub.url}/hub/spawn/{USER}"
    form = {**choices, "_xsrf": session.cookies.get("_xsrf", path="/hub/")}
    return session.post(page, data=form, headers={"Referer": page}, timeout=60, allow_redirects=False)


def pods(installation):
    answer = installation.kubectl("get", "pods", "-l", "app.kubernetes.io/component=singleuser-server", "-o", "json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)["items"]
