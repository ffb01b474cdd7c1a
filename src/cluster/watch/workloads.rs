//! A workload, trimmed to how many pods it wants.

use kube::api::DynamicObject;
use serde_json::Value;

use crate::domain::mark::{MAIN_ROLE, ROLE_LABEL};
use crate::domain::status::WorkloadObservation;

/// `None` for a workload whose pods do not decide about the service.
pub fn observe(workload: &DynamicObject, _before: Option<&WorkloadObservation>) -> Option<WorkloadObservation> {
    observe_value(&workload.data)
}

/// The same from plain JSON, as a direct read gives it.
pub fn observe_value(object: &Value) -> Option<WorkloadObservation> {
    let spec = object.get("spec")?;
    let template = spec.get("template").or_else(|| spec.pointer("/jobTemplate/spec/template"))?;
    let role = template.get("metadata")?.get("labels")?.get(ROLE_LABEL)?;
    let desired = spec.get("replicas").or_else(|| spec.get("parallelism")).and_then(Value::as_i64);
    (role == MAIN_ROLE).then_some(WorkloadObservation { desired })
}
