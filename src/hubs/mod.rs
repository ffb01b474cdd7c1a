//! What we tell hubs: that K8s Manager was started again, how their users' starts are going, what of their flavors is in use.
//! And what we ask them: which servers they still know.
//!
//! Nobody ever waits for a hub: all of this happens in the background, is bounded in memory and given up where a hub
//! refuses. Knows no use case: `services` announces what happens to a start (`domain::news`), `app` brings it here.

mod address;
mod cleanup;
mod client;
mod destination;
mod flavor_update;
mod flavor_updates;
mod notices;
mod notified_hub;
mod pause;
mod progress;
mod resume;
mod secret;
mod server_list;
mod steps;
mod story;
mod told_start;
mod tunnels;
mod warnings;

pub use cleanup::{CleanupParts, StopService, clean_up_forever};
pub use flavor_update::{FlavorsError, FlavorsOf};
pub use flavor_updates::{FlavorParts, tell_flavors_forever};
pub use notices::Notices;
pub use progress::{Parts, tell_progress_forever};
pub use tunnels::{Serves, TunnelParts, Tunnels};
pub use warnings::{WarningParts, warn_forever};
