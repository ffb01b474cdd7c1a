# A desktop in the browser behind jupyterhub-singleuser, for service_descriptions/hub/Desktop:
#   docker build -t registry.example.org/desktop:2026-10-05 - < deploy/examples/desktop.Dockerfile
FROM quay.io/jupyter/base-notebook:2026-10-05
USER root
# The packages that jupyter-remote-desktop-proxy is tested with, and a terminal. No screen lock: nobody has a password for it.
# hadolint ignore=DL3008,DL3015
RUN apt-get update \
 && apt-get install --yes \
    dbus-x11 fonts-dejavu tigervnc-standalone-server xfce4 xfce4-panel xfce4-session xfce4-settings xfce4-terminal xorg \
    xubuntu-icon-theme \
 && apt-get remove --yes xfce4-screensaver \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* \
 && fix-permissions "/home/${NB_USER}"
USER ${NB_UID}
RUN pip install --no-cache-dir jupyter-remote-desktop-proxy==3.0.1
