//! What we tell hubs: that K8s Manager was started again, and how their users' starts are going.
//!
//! Nobody ever waits for a hub: all of this happens in the background, is bounded in memory and given up where a hub
//! refuses. Knows no use case: `services` announces what happens to a start (`domain::news`), `app` brings it here.

mod address;
mod cleanup;
mod client;
mod destination;
mod notices;
mod notified_hub;
mod progress;
mod resume;
mod secret;
mod server_list;
mod steps;
mod story;
mod told_start;

pub use cleanup::{CleanupParts, StopService, clean_up_forever};
pub use notices::Notices;
pub use progress::{Parts, tell_progress_forever};
