//! A workload, trimmed to how many pods it wants.

use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;

use super::trimmed::{TrimmedWorkload, WorkloadSpec};
use crate::domain::mark::{MAIN_ROLE, ROLE_LABEL};
use crate::domain::status::WorkloadObservation;

/// `None` for a workload whose pods do not decide about the service.
pub fn observe(workload: &TrimmedWorkload, _before: Option<&WorkloadObservation>) -> Option<WorkloadObservation> {
    let is_adopted = workload.labels().get(ROLE_LABEL).is_some_and(|role| role == MAIN_ROLE);
    observe_spec(workload.spec.as_ref()?, is_adopted)
}

/// The same from plain JSON, as a direct read gives it.
pub fn observe_value(object: &Value) -> Option<WorkloadObservation> {
    let spec = WorkloadSpec::deserialize(object.get("spec")?).ok()?;
    observe_spec(&spec, is_adopted(object))
}

/// Whether a workload's pods decide though its template does not say so: K8s Manager found it and must not change the
/// template, which would restart the pods. So its own labels say it.
pub fn is_adopted(object: &Value) -> bool {
    object.get("metadata").and_then(|it| it.get("labels")?.get(ROLE_LABEL)).is_some_and(|role| role == MAIN_ROLE)
}

fn observe_spec(spec: &WorkloadSpec, is_adopted: bool) -> Option<WorkloadObservation> {
    let of_jobs = || spec.job_template.as_ref()?.spec.as_ref()?.template.as_ref();
    let template = spec.template.as_ref().or_else(of_jobs)?;
    let role = template.metadata.as_ref().and_then(|it| it.labels.as_ref()?.get(ROLE_LABEL));
    let desired = spec.replicas.as_ref().or(spec.parallelism.as_ref()).and_then(Value::as_i64);
    (is_adopted || role.is_some_and(|role| role == MAIN_ROLE)).then_some(WorkloadObservation { desired })
}

/// The label selector by which a workload finds its pods, as a query takes it.
pub fn pod_selector(object: &Value) -> Option<String> {
    let selector = object.get("spec")?.get("selector")?;
    // A ReplicationController's selector is the labels themselves.
    let is_plain = selector.as_object()?.values().all(Value::is_string);
    let labels = if is_plain { Some(selector) } else { selector.get("matchLabels") };
    let equal = labels.and_then(Value::as_object).into_iter().flatten();
    let mut parts: Vec<String> =
        equal.filter_map(|(label, value)| Some(format!("{label}={}", value.as_str()?))).collect();
    for rule in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let key = rule.get("key")?.as_str()?;
        let values = rule.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let values = values.collect::<Vec<_>>().join(",");
        parts.push(match rule.get("operator")?.as_str()? {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_is_written_as_a_query_takes_it() {
        let selector = |selector: Value| pod_selector(&json!({ "spec": { "selector": selector } }));
        assert_eq!(selector(json!({"matchLabels": {"name": "a"}})).as_deref(), Some("name=a"));
        assert_eq!(selector(json!({"name": "a", "tier": "x"})).as_deref(), Some("name=a,tier=x"));
        let rules = json!([
            {"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "b", "operator": "NotIn", "values": ["z"]},
            {"key": "c", "operator": "Exists"}, {"key": "d", "operator": "DoesNotExist"},
        ]);
        let all = selector(json!({"matchLabels": {"name": "a"}, "matchExpressions": rules}));
        assert_eq!(all.as_deref(), Some("name=a,a in (x,y),b notin (z),c,!d"));
        // Nothing selected is not everything.
        for empty in [json!({}), json!({"matchLabels": {}}), json!(null)] {
            assert_eq!(selector(empty), None);
        }
    }

    #[test]
    fn a_workload_decides_by_its_template_or_where_it_was_adopted() {
        let workload = |own: &str, template: &str| {
            let role = |role: &str| json!({ "labels": { ROLE_LABEL: role } });
            observe_value(
                &json!({ "metadata": role(own), "spec": { "replicas": 2, "template": { "metadata": role(template) } } }),
            )
        };
        let decides = Some(WorkloadObservation { desired: Some(2) });
        assert_eq!(workload("", MAIN_ROLE), decides);
        assert_eq!(workload(MAIN_ROLE, ""), decides);
        assert_eq!(workload("", ""), None);
    }
}
