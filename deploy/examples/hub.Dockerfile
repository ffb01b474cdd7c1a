# The hub of zero-to-jupyterhub with what jupyterhub_config.py imports. The tag is that of the chart that is installed:
#   docker build -t registry.example.org/k8s-hub:4.4.2 - < deploy/examples/hub.Dockerfile
ARG VERSION=4.4.2
FROM quay.io/jupyterhub/k8s-hub:${VERSION}
USER root
# jupyterhub-backendspawner 0.4.0 imports async_generator without requiring it.
RUN python3 -m pip install --no-cache-dir jupyterhub-backendspawner==0.4.0 async_generator==1.10
USER 1000
