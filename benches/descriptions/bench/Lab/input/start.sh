#!/bin/sh
exec jupyterhub-singleuser --ip=0.0.0.0 --port=8080
