#!/bin/sh
# Packs the program for whoever runs it without a container: archive.sh PROGRAM VERSION FOLDER
set -eu
program=$1
version=$2
folder=$3
sources=$(cd "$(dirname "$0")/../.." && pwd)
name=k8smgr-$version-$(uname -m)-linux-gnu
mkdir -p "$folder"
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
umask 022
mkdir "$staged/$name"
cp "$program" "$staged/$name/k8smgr"
cp "$sources/LICENSE-MIT" "$sources/LICENSE-APACHE" "$staged/$name/"
chmod 0755 "$staged/$name/k8smgr"
tar --create --directory "$staged" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" "$name" |
    gzip --no-name -9 >"$folder/$name.tar.gz"
