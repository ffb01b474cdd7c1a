//! The pure parts of K8s Manager as things to measure: used by the figures and by `benches/pure.rs`.

pub mod pure;
