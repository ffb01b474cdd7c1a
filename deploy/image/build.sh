#!/bin/sh
# Builds the program to ship: build.sh WHERE_TO_PUT_IT
# Paths of this machine are not in it, and nothing of the moment: the same sources and compiler give the same bytes.
# BUILT_PROGRAM names one that is built already, for tests of all that comes after.
set -eu
cd "$(dirname "$0")/../.."
out=$1
cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)
export CARGO_INCREMENTAL=0
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"
export RUSTFLAGS="--remap-path-prefix=$PWD=/k8smgr --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sysroot=/rust"
# SQLite and ring are C.
export CFLAGS="-ffile-prefix-map=$PWD=/k8smgr -ffile-prefix-map=$cargo_home=/cargo"
target=${CARGO_TARGET_DIR:-target/image}
built=${BUILT_PROGRAM:-}
if [ -z "$built" ]; then
    cargo build --release --locked --package k8smgr --bin k8smgr --target-dir "$target"
    built=$target/release/k8smgr
fi
mkdir -p "$(dirname "$out")"
strip --strip-debug -o "$out" "$built"
