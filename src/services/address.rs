//! Where a hub of Outpost's protocol reaches the server: through a Service of the description. Pure.

use serde_json::Value;

use super::plan::Planned;
use crate::domain::outpost::OutpostStart;

/// Notes the address on the Service by which the server is reached; false where there is none. Objects have their namespaces.
///
/// The Service with the name that the hub expects, else the one with the port that it expects, else the first.
pub fn note(objects: &mut [Planned], start: &OutpostStart) -> bool {
    let services: Vec<usize> = (0..objects.len()).filter(|it| is_service(&objects[*it])).collect();
    let named = |it: &&usize| objects[**it].target.name == start.pod_name;
    let has_port = |it: &&usize| ports(&objects[**it].manifest.object).any(|port| port == u64::from(start.port));
    let Some(chosen) = services.iter().find(named).or_else(|| services.iter().find(has_port)).or(services.first())
    else {
        return false;
    };
    let Planned { target, manifest } = &mut objects[*chosen];
    let expected = ports(&manifest.object).find(|it| *it == u64::from(start.port));
    let Some(port) = expected.or_else(|| ports(&manifest.object).next()) else { return false };
    let host = start.host(&target.name, target.namespace.as_deref().unwrap_or_default());
    target.address = Some(format!("{}://{host}:{port}", start.scheme()));
    true
}

fn is_service(planned: &Planned) -> bool {
    planned.target.api_version == "v1" && planned.target.kind == "Service"
}

fn ports(service: &Value) -> impl Iterator<Item = u64> + '_ {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports.filter_map(|it| it["port"].as_u64())
}
