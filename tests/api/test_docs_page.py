"""A browser shows /docs and sends an authorised request from it. Nothing is loaded from elsewhere."""

import json
import os
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from conftest import LOGINS

PATIENCE = 60
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,1400",
]


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = os.environ.get("CHROMIUM") or shutil.which("chromium")
    for flag in [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        yield browser
    finally:
        browser.quit()


def appears(browser, selector, count=1):
    def look(browser):
        found = [it for it in browser.find_elements(By.CSS_SELECTOR, selector) if it.is_displayed()]
        return found if len(found) >= count else None

    return WebDriverWait(browser, PATIENCE).until(look, f"{count} of {selector}")


def requests_of(browser):
    """Address, status and headers of what the browser asked for, as it tells."""
    messages = [json.loads(it["message"])["message"] for it in browser.get_log("performance")]
    return [it["params"]["request"] for it in messages if it["method"] == "Network.requestWillBeSent"]


def log_in(browser, user, password):
    appears(browser, ".auth-wrapper .authorize")[0].click()
    name, secret = appears(browser, ".modal-ux input", 3)[:2]
    name.send_keys(user)
    secret.send_keys(password)
    appears(browser, ".modal-ux .auth-container button.authorize")[0].click()
    appears(browser, ".modal-ux .btn-done")[0].click()


def send(browser, operation):
    block = f"[id$='{operation}']"
    appears(browser, f"{block} .opblock-summary-control")[0].click()
    appears(browser, f"{block} .execute")[0].click()
    answer = f"{block} .live-responses-table .response"
    status = appears(browser, f"{answer} .response-col_status")[0].text.split()[0]
    return status, appears(browser, f"{answer} pre")[0].text


def test_the_page_sends_authorised_requests(server, browser):
    browser.get(f"{server.url}/docs")
    assert "K8s Manager" in appears(browser, ".info .title")[0].text
    operations = appears(browser, ".opblock", 20)
    texts = [it.text for it in operations]
    assert any("/api/services/{name}/" in it for it in texts), texts
    assert any("/api/users/{name}/tokens/" in it for it in texts), texts
    browser.save_screenshot(str(server.folder / "docs.png"))

    status, body = send(browser, "listServices")
    assert (status, json.loads(body)) == ("401", {"detail": "Authentication credentials were not provided."})
    log_in(browser, "admin", LOGINS["admin"])
    status, body = send(browser, "listUsers")
    assert (status, [it["name"] for it in json.loads(body)]) == ("200", ["admin", "tester"])
    browser.save_screenshot(str(server.folder / "docs-request.png"))

    sent = requests_of(browser)
    [users] = [it for it in sent if it["url"] == f"{server.url}/api/users/"]
    assert users["headers"]["Authorization"].startswith("Basic ")
    # The browser's own pages (chrome:) and what is in the page itself (data:) go nowhere.
    elsewhere = [it["url"] for it in sent if not it["url"].startswith((server.url, "chrome:", "data:"))]
    assert elsewhere == []
    # What the policy forbade would be here too. The 401 is expected.
    errors = [it for it in browser.get_log("browser") if it["level"] in ("WARNING", "SEVERE")]
    assert ["/api/services/ - Failed to load resource" in it["message"] for it in errors] == [True], errors
