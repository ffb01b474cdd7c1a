"""Values that the documentation shows are values of the chart, over those of the example that it begins with."""

import re

import pytest
import yaml

from cluster import REPOSITORY
from helm import Release

EXAMPLE = yaml.safe_load((REPOSITORY / "deploy/examples/k8smgr.yaml").read_text())
BLOCK = re.compile(r"<!-- values: k8smgr -->\n```yaml\n(.*?)```", re.DOTALL)
SHOWN = {
    f"{page.stem}-{number}": yaml.safe_load(block)
    for page in sorted((REPOSITORY / "docs").glob("*.md"))
    for number, block in enumerate(BLOCK.findall(page.read_text()), 1)
}


def test_blocks_are_found():
    assert {name.rpartition("-")[0] for name in SHOWN} >= {"cluster", "user-jobs"}


@pytest.mark.parametrize("name", ["example", *SHOWN])
def test_values_that_are_shown_are_taken(cluster, name):
    release = Release(cluster, "k8smgr", f"shown-{name}")
    release.install({**EXAMPLE, **SHOWN.get(name, {})}, wait=False)
    # Not by Helm, which keeps namespaces that other examples make, too.
    cluster.delete(release.objects(1))
