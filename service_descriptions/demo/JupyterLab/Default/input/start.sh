#!/bin/sh
# Runs in the user's pod and becomes the user's server. The hub's settings are in the environment; jupyterhub-singleuser
# reads them by itself (JUPYTERHUB_SERVICE_URL: address and port, JUPYTERHUB_API_URL and _TOKEN: the hub).
set -eu

# On the embedded cluster JupyterLab comes from the machine's venv; a real cluster's image has its own.
if [ -x "${LOCAL_VENV:-}/bin/jupyterhub-singleuser" ]; then
    PATH="$LOCAL_VENV/bin:${PATH:-/usr/bin:/bin}"
    export PATH
fi

# One line on the user's progress page, beside those of K8s Manager. It is only news: a hub that does not take it must not end
# the start.
tell() {
    python3 - "$@" <<'PYTHON' || echo "the hub did not take the progress event"
import json, os, sys, urllib.parse, urllib.request
path = urllib.parse.quote(os.environ["JUPYTERHUB_STATUS_URL"], safe="/%@")
url = os.environ["JUPYTERHUB_API_URL"].rstrip("/") + "/" + path
body = {"progress": int(sys.argv[1]), "failed": False, "html_message": sys.argv[2]}
headers = {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"], "Content-Type": "application/json"}
urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST"), timeout=10)
PYTHON
}

tell 85 "The pod is running; JupyterLab starts now."

cd "$HOME"
exec jupyterhub-singleuser --ServerApp.root_dir="$HOME"
