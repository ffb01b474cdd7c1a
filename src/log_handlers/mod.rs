//! Log handlers that are changed while the service runs: stream, file, smtp, syslog, in the reference's formats.
//!
//! tracing feeds them; each writes from a bounded queue on a thread of its own, so that no request waits for a log.
//! Knows nothing of HTTP or of the database: it is given what is stored and makes it so.

mod bounds;
mod configuration;
mod format;
mod handlers;
mod layer;
mod level;
mod record;
mod redact;
mod rotation;
mod sinks;
mod worker;

use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use bounds::{Bounds, SmtpLogin};
pub use configuration::{Configuration, HandlerKind};
pub use format::Formatter;
pub use handlers::{LogHandlers, StoredHandler, look_at, try_out};
pub use layer::HandlerLayer;
pub use level::Level;
pub use record::Record;
pub use worker::HandlerStatus;

/// The handlers of this process, fed with all that it logs. The first call makes the default stream handler active,
/// so that nothing is missed before it is known what is stored.
pub fn of_this_process() -> LogHandlers {
    static HANDLERS: OnceLock<LogHandlers> = OnceLock::new();
    let make = || {
        let handlers = LogHandlers::default();
        handlers.apply_default();
        // Another subscriber was there first (a test's): then it gets what is logged.
        let _ = tracing_subscriber::registry().with(handlers.layer()).try_init();
        handlers
    };
    HANDLERS.get_or_init(make).clone()
}
