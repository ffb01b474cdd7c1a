#!/bin/sh
# Lays out what the final image adds to its base: assemble.sh PROGRAM FOLDER
# Modes and times are given ones, so that the same program makes the same layer.
set -eu
program=$1
root=$2
sources=$(cd "$(dirname "$0")/../.." && pwd)
rm -rf "$root"
umask 022
mkdir -p "$root/usr/bin" "$root/usr/share/doc/k8smgr" "$root/var/lib/k8smgr"
cp "$program" "$root/usr/bin/k8smgr"
cp "$sources/LICENSE-MIT" "$sources/LICENSE-APACHE" "$root/usr/share/doc/k8smgr/"
find "$root" -type d -exec chmod 0755 {} +
find "$root" -type f -exec chmod 0644 {} +
chmod 0755 "$root/usr/bin/k8smgr"
# Where SQLite's file is, if no volume is mounted there.
if [ "$(id -u)" -eq 0 ]; then
    chown -R 0:0 "$root"
    chown 1000:1000 "$root/var/lib/k8smgr"
fi
find "$root" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
