//! What we tell hubs: that K8s Manager was started again, and how their users' starts are going.
//!
//! Nobody ever waits for a hub: all of this happens in the background, is bounded in memory and given up where a hub
//! refuses. Knows no use case: `services` announces what happens to a start (`domain::news`), `app` brings it here.

pub mod address;
pub mod client;
mod notified_hub;
mod notices;

pub use notices::Notices;
