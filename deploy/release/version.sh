#!/bin/sh
# Prints what a release needs to know, for a tag that says the version of Cargo.toml: version.sh vX.Y.Z
set -eu
cd "$(dirname "$0")/../.."
tag=$1
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
if [ "$tag" != "v$version" ]; then
    echo "the tag is $tag, and the version in Cargo.toml $version" >&2
    exit 1
fi
echo "version=$version"
echo "epoch=$(git log -1 --format=%ct)"
