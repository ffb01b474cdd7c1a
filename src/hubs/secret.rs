//! What a start's environment says of its hub, read from where it is kept: the Secret that owns the start. Tokens live here
//! and in nobody's database.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::cluster::{Cluster, ClusterError, Deadline};
use crate::domain::AppliedObject;
use crate::domain::news::HubAddress;

/// The environment as a Secret of the API server holds it.
pub fn of_secret(secret: &Value, is_of_outpost: bool) -> HubAddress {
    HubAddress::of_environment(is_of_outpost, |name| variable(secret, name))
}

pub fn variable(secret: &Value, name: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(secret["data"][name].as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

/// `None`: there is no such Secret.
pub async fn read_address(
    cluster: &Cluster,
    owner: &AppliedObject,
    deadline: Deadline,
) -> Result<Option<HubAddress>, ClusterError> {
    Ok(cluster.read(owner, deadline).await?.map(|secret| of_secret(&secret, true)))
}
