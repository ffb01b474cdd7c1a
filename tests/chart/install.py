"""Installs the chart and waits until its pods are ready, for tests that have no Helm of their own (tests/hub).

    .venv/chart/bin/python tests/chart/install.py --kubeconfig FILE --namespace NAME --values FILE.json
"""

import argparse
import json
import pathlib
import types

from helm import Release


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", type=pathlib.Path, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--values", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    cluster = types.SimpleNamespace(kubeconfig=arguments.kubeconfig)
    Release(cluster, "k8smgr", arguments.namespace).install(json.loads(arguments.values.read_text()))


if __name__ == "__main__":
    main()
