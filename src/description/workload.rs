//! Which objects of a description run the service: those whose pods have the main container, or belong to the main
//! Deployment.

use serde_json::{Map, Value};

use super::Manifest;

/// Where a pod template may stand.
const TEMPLATES: [&str; 2] = ["/spec/template", "/spec/jobTemplate/spec/template"];

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    #[error("no workload: the service description holds nothing that runs a container")]
    NoWorkload,
    #[error("no container named `{0}` in the service description")]
    NoMainContainer(String),
}

/// Says which manifests count.
pub(super) fn mark(manifests: &mut [Manifest], main_name: &str, main_container: &str) -> Result<(), WorkloadError> {
    if !manifests.iter().any(|it| is_workload(&it.object)) {
        return Err(WorkloadError::NoWorkload);
    }
    mark_update(manifests, main_container);
    if !manifests.iter().any(|it| it.counts) {
        return Err(WorkloadError::NoMainContainer(main_container.to_owned()));
    }
    if let Some(selector) = main_selector(manifests, main_name) {
        for manifest in manifests.iter_mut() {
            manifest.counts |= pods(&manifest.object).is_some_and(|pod| matches(pod, &selector));
        }
    }
    Ok(())
}

/// Says which manifests of an update count: those that run the main container.
pub fn mark_update(manifests: &mut [Manifest], main_container: &str) {
    for manifest in manifests.iter_mut() {
        manifest.counts = has_container(&manifest.object, main_container);
    }
}

pub(super) fn is_workload(object: &Value) -> bool {
    pods(object).is_some()
}

/// The path of the pod (its `metadata` and `spec`) within an object: nothing for a Pod itself.
pub fn pod_path(object: &Value) -> Option<&'static str> {
    let runs = |path: &str| object.pointer(&format!("{path}/spec/containers")).is_some_and(Value::is_array);
    if object["kind"] == "Pod" {
        return runs("").then_some("");
    }
    TEMPLATES.into_iter().find(|path| runs(path))
}

fn pods(object: &Value) -> Option<&Value> {
    object.pointer(pod_path(object)?)
}

fn has_container(object: &Value, name: &str) -> bool {
    let containers = pods(object).and_then(|pod| pod.pointer("/spec/containers")).and_then(Value::as_array);
    containers.is_some_and(|containers| containers.iter().any(|container| container["name"] == name))
}

/// The labels that the main Deployment selects by: of those with the main container the one of that name, else the
/// only one.
fn main_selector(manifests: &[Manifest], main_name: &str) -> Option<Map<String, Value>> {
    let mut deployments = manifests.iter().filter(|it| it.kind == "Deployment" && it.counts);
    let main = match deployments.clone().find(|it| it.name == main_name) {
        Some(main) => main,
        None => deployments.next().filter(|_| deployments.next().is_none())?,
    };
    let labels = main.object.pointer("/spec/selector/matchLabels")?.as_object()?;
    (!labels.is_empty()).then(|| labels.clone())
}

fn matches(pod: &Value, selector: &Map<String, Value>) -> bool {
    selector.iter().all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::super::manifest::parse;
    use super::*;

    fn deployment(name: &str, container: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  \
             template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: {container}}}]}}}}\n---\n"
        )
    }

    fn pod(name: &str, label: &str, container: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {label}}}}}\nspec: {{containers: [{{name: {container}}}]}}\n---\n"
        )
    }

    fn counting(text: &str) -> Result<Vec<String>, WorkloadError> {
        let mut manifests = parse(text, "x").unwrap();
        mark(&mut manifests, "depl-1", "main")?;
        Ok(manifests.into_iter().filter(|it| it.counts).map(|it| it.name).collect())
    }

    #[test]
    fn any_kind_with_the_main_container_counts() {
        let job = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: cron}\n\
                   spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: main}]}}}}}\n---\n";
        let own = "apiVersion: x.org/v1\nkind: Own\nmetadata: {name: own}\nspec: {template: {spec: {containers: [{name: main}]}}}\n---\n";
        let text = format!("{job}{own}{}{}", pod("pod", "x", "main"), deployment("side", "other"));
        assert_eq!(counting(&text).unwrap(), ["cron", "own", "pod"]);
    }

    #[test]
    fn a_pod_of_the_main_deployment_counts_whatever_its_containers() {
        let two = format!("{}{}", deployment("depl-1", "main"), deployment("depl-2", "main"));
        assert_eq!(counting(&format!("{two}{}", pod("pod", "depl-1", "x"))).unwrap(), ["depl-1", "depl-2", "pod"]);
        assert_eq!(counting(&format!("{two}{}", pod("pod", "depl-2", "x"))).unwrap(), ["depl-1", "depl-2"]);
        let only = format!("{}{}", deployment("other", "main"), pod("pod", "other", "x"));
        assert_eq!(counting(&only).unwrap(), ["other", "pod"]);
    }

    #[test]
    fn a_description_that_runs_nothing_is_refused() {
        let service = "{apiVersion: v1, kind: Service, metadata: {name: a}}";
        assert_eq!(counting(service).unwrap_err().to_string().split(':').next(), Some("no workload"));
        assert_eq!(counting(""), Err(WorkloadError::NoWorkload));
        let error = counting(&deployment("depl-1", "other")).unwrap_err();
        assert_eq!(error.to_string(), "no container named `main` in the service description");
    }
}
