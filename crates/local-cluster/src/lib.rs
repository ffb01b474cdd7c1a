//! A Kubernetes cluster in one process, for one machine and for tests.

pub mod events;
pub mod kubelet;
pub mod node;
pub mod storage;

pub use storage::Storage;
