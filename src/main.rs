//! k8smgr
fn main() {}
