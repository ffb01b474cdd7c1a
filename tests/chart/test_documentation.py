"""docs/helm.md: its table is values.yaml, and its examples are installed."""

import functools
import json
import os
import re

import pytest
import yaml

from cluster import REPOSITORY
from helm import CHART, Release
from test_kubernetes_schemas import assert_valid

PAGE = REPOSITORY / "docs/helm.md"
MARK = "<!-- values -->\n"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_table_lists_every_value_with_its_default():
    text, _, _ = PAGE.read_text().partition(MARK)
    expected = f"{text}{MARK}\n{table()}"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(expected)
    assert PAGE.read_text() == expected, "UPDATE_DOCS=1 writes it anew"


def test_every_value_is_described():
    described = {name for name, _ in comments()}
    undescribed = [name for name in leaves(defaults()) if not any(name == it or name.startswith(f"{it}.") for it in described)]
    assert undescribed == []


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_installed(cluster, number):
    release = Release(cluster, "k8smgr", f"example-{number}")
    release.install(yaml.safe_load(EXAMPLES[number]), wait=False)
    assert_valid(release.objects(1))
    cluster.delete(release.objects(1))


def test_what_waits_for_a_restart_is_what_the_chart_restarts_pods_for():
    """The list in _config.tpl is the one of docs/configuration.md, which is generated."""
    rows = re.findall(r"^\| `([a-z_.\[\]]+)` .* \| at the next start \|$", (REPOSITORY / "docs/configuration.md").read_text(), re.MULTILINE)
    template = (CHART / "templates/_config.tpl").read_text()
    define = template.partition('{{- define "k8smgr.restartConfig" -}}')[2].partition("{{- toJson $found }}")[0]
    listed = set(re.findall(r'"([a-z_.]+)"', define)) - {"k8smgr.config", ".", ""}
    covered = {it for it in rows if it in listed or it.partition(".")[0].removesuffix("[]") in listed}
    assert set(rows) - covered == set()
    assert "startup.create_user" in listed and len(rows) > 10


@functools.cache
def defaults():
    return yaml.safe_load((CHART / "values.yaml").read_text())


def comments():
    """Each value with a comment that begins with `# --`, in the file's order: its name and the text."""
    path, text = [], None
    for line in (CHART / "values.yaml").read_text().splitlines():
        indent = (len(line) - len(line.lstrip())) // 2
        words = line.strip()
        if words.startswith("# -- "):
            text = words.removeprefix("# -- ")
        elif words.startswith("#") and text is not None:
            text += " " + words.lstrip("# ")
        elif match := re.match(r"([A-Za-z]+):", words):
            path = [*path[:indent], match[1]]
            if text is not None:
                yield ".".join(path), text
            text = None


def table():
    rows = ["| Value | Default | Meaning |", "| --- | --- | --- |"]
    for name, text in comments():
        value = defaults()
        for part in name.split("."):
            value = value[part]
        rows.append(f"| `{name}` | `{json.dumps(value)}` | {text.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
