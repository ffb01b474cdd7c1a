//! A Lease: read, and written only as it was read.

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;

use super::calls::{Deadline, call};
use super::{Cluster, ClusterError, FIELD_MANAGER};

impl Cluster {
    pub async fn lease(&self, namespace: &str, name: &str, deadline: Deadline) -> Result<Option<Lease>, ClusterError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        call(deadline, || api.get_opt(name)).await
    }

    /// False: it is not what was read any more.
    pub async fn write_lease(&self, namespace: &str, lease: &Lease, deadline: Deadline) -> Result<bool, ClusterError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let name = lease.metadata.name.as_deref().unwrap_or_default();
        let written = match lease.metadata.resource_version {
            Some(_) => call(deadline, || api.replace(name, &parameters, lease)).await,
            None => call(deadline, || api.create(&parameters, lease)).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            // It was deleted since.
            Err(error) if error.is_not_found() && lease.metadata.resource_version.is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
