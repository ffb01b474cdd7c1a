# code-server behind jupyterhub-singleuser on Docker Stacks, where the image in service_descriptions/hub/CodeServer does not fit.
# The page is /vscode/ here: set JUPYTERHUB_DEFAULT_URL so in the description.
#   docker build -t registry.example.org/code-server:2026-10-05 - < deploy/examples/code-server.Dockerfile
FROM quay.io/jupyter/minimal-notebook:2026-10-05
RUN mamba install --yes code-server \
 && mamba clean --all --force-pkgs-dirs --yes \
 && pip install --no-cache-dir jupyter-vscode-proxy==0.7 \
 && fix-permissions "${CONDA_DIR}" \
 && fix-permissions "/home/${NB_USER}"
# Through a socket file, which no other user's pod can reach.
ENV JUPYTER_VSCODE_PROXY_USE_SOCKET=yes
