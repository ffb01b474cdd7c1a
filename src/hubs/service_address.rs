//! Under which address a server is reached: the Service that its start made, as the API server holds it.

use serde_json::Value;

use crate::cluster::{Cluster, ClusterError, Deadline};
use crate::domain::ServiceRecord;

/// `http://<name>.<namespace>.svc.cluster.local:<port>` of the first Service; `https` where its port is called so. `None`: there
/// is no Service, or it has no port.
pub async fn service_address(
    cluster: &Cluster,
    record: &ServiceRecord,
    deadline: Deadline,
) -> Result<Option<String>, ClusterError> {
    let is_service = |kind: &str, version: &str| kind == "Service" && version == "v1";
    let Some(target) = record.objects.iter().find(|it| is_service(&it.kind, &it.api_version)) else { return Ok(None) };
    let Some(service) = cluster.read(target, deadline).await? else { return Ok(None) };
    Ok(address_of(&service))
}

fn address_of(service: &Value) -> Option<String> {
    let (name, namespace) = (service["metadata"]["name"].as_str()?, service["metadata"]["namespace"].as_str()?);
    let port = &service["spec"]["ports"][0];
    let scheme = if port["name"].as_str().is_some_and(|it| it.starts_with("https")) { "https" } else { "http" };
    Some(format!("{scheme}://{name}.{namespace}.svc.cluster.local:{}", port["port"].as_u64()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_address_is_that_of_the_service_s_first_port() {
        let service = |ports: Value| {
            address_of(&json!({"metadata": {"name": "lab", "namespace": "labs"}, "spec": {"ports": ports}}))
        };
        assert_eq!(service(json!([{"port": 8888}])).unwrap(), "http://lab.labs.svc.cluster.local:8888");
        let tls = json!([{"name": "https", "port": 443}, {"port": 80}]);
        assert_eq!(service(tls).unwrap(), "https://lab.labs.svc.cluster.local:443");
        assert_eq!(service(json!([])), None);
    }
}
