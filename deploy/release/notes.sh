#!/bin/sh
# Prints what CHANGELOG.md says of a version: notes.sh X.Y.Z
set -eu
awk -v version="$1" '
    /^## / { is_wanted = index($0, version) > 0; next }
    is_wanted
' "$(dirname "$0")/../../CHANGELOG.md"
