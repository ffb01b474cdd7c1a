#!/bin/sh
# Builds the program to ship: build.sh WHERE_TO_PUT_IT
# Paths of this machine are not in it, and nothing of the moment: the same sources and compiler give the same bytes.
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
cargo build --release --locked --package k8smgr --bin k8smgr --target-dir "$target"
mkdir -p "$(dirname "$out")"
strip --strip-debug -o "$out" "$target/release/k8smgr"
