#!/bin/sh
# Fails where the program needs a library that the final image does not have: libraries.sh PROGRAM
set -eu
program=$1
known=$(dirname "$0")/libraries.txt
needed=$(ldd "$program" | awk '{ print $1 }' | sed 's|.*/||' | sort -u)
status=0
for library in $needed; do
    if ! grep -v '^#' "$known" | grep -qxF "$library"; then
        echo "$program needs $library, which is not in the final image (deploy/image/libraries.txt)" >&2
        status=1
    fi
done
exit $status
