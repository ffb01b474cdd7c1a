//! A Kubernetes cluster in one process, for one machine and for tests.

pub mod storage;
