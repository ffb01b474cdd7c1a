//! The words of the field as types: names, JSON values, the service record, the status rule.
//!
//! Pure data and pure functions. Nothing here knows a client, a disk or a database.

pub mod clock;
pub mod flavor;
pub mod group;
pub mod json;
pub mod mark;
pub mod names;
pub mod news;
pub mod object_id;
pub mod outpost;
pub mod pod_state;
pub mod record;
pub mod service_json;
pub mod status;
pub mod target;
pub mod user_job;

pub use clock::{Clock, Moment};
pub use flavor::{Claim, LimitReached, Limits, Refusal};
pub use json::Json;
pub use mark::Mark;
pub use names::{Credential, NameError, OutpostName, ServerName, ServiceName, StartId};
pub use object_id::ObjectId;
pub use record::{AppliedObject, NewService, ServiceRecord, ServiceState};
pub use target::{AllowedTarget, METADATA_ADDRESSES};
pub use user_job::{ForwardedPort, NewUserJob, UserJob, UserJobState};
