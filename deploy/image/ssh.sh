#!/bin/sh
# What user jobs need of Debian: an ssh client, and a user for it to be (ssh refuses a uid without a name).
set -eu
export DEBIAN_FRONTEND=noninteractive
if [ -n "${DEBIAN_SNAPSHOT:-}" ]; then
    # Snapshots are signed as they were, and old by intention.
    rm -f /etc/apt/sources.list.d/*
    url=http://snapshot.debian.org/archive
    {
        echo "deb [check-valid-until=no] $url/debian/$DEBIAN_SNAPSHOT bookworm main"
        echo "deb [check-valid-until=no] $url/debian-security/$DEBIAN_SNAPSHOT bookworm-security main"
    } >/etc/apt/sources.list
fi
apt-get update
apt-get install --yes --no-install-recommends ca-certificates openssh-client
groupadd --gid 1000 k8smgr
useradd --uid 1000 --gid 1000 --home-dir /var/lib/k8smgr --shell /usr/sbin/nologin --no-create-home k8smgr
# What differs from build to build.
rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/ldconfig /var/cache/debconf /var/log/* /tmp/* /etc/*-
