//! Coming from somewhere else: from the reference implementation (`import`), from JupyterHub Outpost (`outpost`), or from the
//! cluster alone after the database was lost (`rebuild`).
//!
//! Each thing is taken or told with the reason; one that cannot be taken does not stop the others, and what is there
//! already is never changed. So both may be run again until nothing is left to tell.

mod fernet;
mod import;
mod outpost;
mod rebuild;
mod report;

pub use import::{Import, import};
pub use outpost::{OutpostImport, OutpostImportError, import_outpost};
pub use rebuild::{RebuildError, rebuild};
pub use report::{Outcome, Report};
