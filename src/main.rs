//! The command `k8smgr`.

fn main() {}
