//! What the cluster says to what would be made: kinds that it does not serve, objects that it refuses, rights that lack.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::core::{ApiResource, GroupVersionKind};

use super::codes::Code;
use super::finding::Finding;
use super::kubernetes_names::is_cluster_scoped;
use super::rights::{Right, Rights};
use super::{Checked, Planned, manifests};
use crate::cluster::{Cluster, ClusterError, Deadline, ResourceName};
use crate::description::{manifest, workload};

const CALL_TIME: Duration = Duration::from_secs(20);

/// Asks the cluster about all that was planned. Gives the rights that lack. An error says that it cannot be asked.
pub async fn check(cluster: &Cluster, checked: &mut Checked) -> Result<Rights, ClusterError> {
    locate(cluster, checked).await?;
    let missing = missing(cluster, &rights(Some(cluster), checked).await?).await?;
    for right in missing.each() {
        let Right { namespace, group, resource, verb } = &right;
        let place = namespace.as_ref().map_or("at the cluster's scope".to_owned(), |it| format!("in namespace {it}"));
        let group = if group.is_empty() { String::new() } else { format!(" of {group}") };
        checked.findings.add(Finding::new(Code::RightMissing, format!("may not {verb} {resource}{group} {place}")));
    }
    dry_run(cluster, checked, &missing).await?;
    Ok(missing)
}

/// What K8s Manager needs for what was planned; without a cluster, kinds are guessed from their names.
pub async fn rights(cluster: Option<&Cluster>, checked: &Checked) -> Result<Rights, ClusterError> {
    let default = &checked.site.namespace;
    let mut rights = Rights::of_k8s_manager(default);
    if checked.has_user_jobs {
        rights.add_user_jobs(default);
    }
    let mut seen = BTreeSet::new();
    for planned in &checked.planned {
        let update = planned.plan.new.update_manifest.as_deref().unwrap_or_default();
        let update = manifest::parse(update, "update.yaml").unwrap_or_default();
        let of_update = update.iter().map(|it| (&it.api_version, &it.kind, &it.namespace, &it.object));
        let objects = planned.plan.objects.iter();
        let objects =
            objects.map(|it| (&it.target.api_version, &it.target.kind, &it.target.namespace, &it.manifest.object));
        for (api_version, kind, namespace, object) in objects.chain(of_update) {
            let is_workload = workload::pod_path(object).is_some();
            if !seen.insert((api_version.clone(), kind.clone(), namespace.clone(), is_workload)) {
                continue;
            }
            let resource = match cluster {
                None => guess(api_version, kind),
                Some(cluster) => match cluster.resource_name(api_version, kind, Deadline::after(CALL_TIME)).await {
                    Ok(resource) => resource,
                    // Told with the object.
                    Err(ClusterError::UnknownKind { .. }) => continue,
                    Err(error) => return Err(error),
                },
            };
            let namespace = namespace.as_deref().unwrap_or(default);
            rights.add_object(&resource, kind, Some(namespace), is_workload);
        }
    }
    Ok(rights)
}

fn guess(api_version: &str, kind: &str) -> ResourceName {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let plural = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)).plural;
    ResourceName { group: group.to_owned(), plural, is_namespaced: !is_cluster_scoped(api_version, kind) }
}

async fn missing(cluster: &Cluster, rights: &Rights) -> Result<Rights, ClusterError> {
    let mut missing = Rights::default();
    for right in rights.each() {
        let Right { namespace, group, resource, verb } = &right;
        let deadline = Deadline::after(CALL_TIME);
        if !cluster.may(verb, group, resource, namespace.as_deref(), deadline).await? {
            missing.insert(right);
        }
    }
    Ok(missing)
}

/// Gives the objects their namespaces, and tells of kinds that are not served.
async fn locate(cluster: &Cluster, checked: &mut Checked) -> Result<(), ClusterError> {
    for planned in &mut checked.planned {
        let mut told = Vec::new();
        for object in &mut planned.plan.objects {
            match object.locate(cluster, &checked.site.namespace, Deadline::after(CALL_TIME)).await {
                Ok(()) => {}
                Err(error @ ClusterError::UnknownKind { .. }) => {
                    told.push((object.target.kind.clone(), object.target.name.clone(), error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        for (kind, name, message) in told {
            checked.findings.add(planned.finding(Code::KindUnknown, &kind, &name, message));
        }
    }
    Ok(())
}

async fn dry_run(cluster: &Cluster, checked: &mut Checked, missing: &Rights) -> Result<(), ClusterError> {
    let may_not_create: Vec<Right> = missing.each().filter(|it| it.verb == "create").collect();
    for planned in &checked.planned {
        for object in &planned.plan.objects {
            let target = &object.target;
            let deadline = Deadline::after(CALL_TIME);
            let resource = match cluster.resource_name(&target.api_version, &target.kind, deadline).await {
                Ok(resource) => resource,
                Err(ClusterError::UnknownKind { .. }) => continue,
                Err(error) => return Err(error),
            };
            let is_it = |it: &Right| {
                (&it.group, &it.resource, &it.namespace) == (&resource.group, &resource.plural, &target.namespace)
            };
            if may_not_create.iter().any(is_it) {
                continue;
            }
            match cluster.dry_run(target, &object.manifest.object, deadline).await {
                Ok(_) => {}
                // A start finds it and uses it.
                Err(error) if error.is_already_there() && target.is_kept => {}
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => {
                    let finding = planned.finding(Code::ClusterRefuses, &target.kind, &target.name, error.to_string());
                    checked.findings.add(finding);
                }
            }
        }
    }
    Ok(())
}

impl Planned {
    /// A finding about an object, where it stands in the description.
    fn finding(&self, code: Code, kind: &str, name: &str, message: String) -> Finding {
        let message = message.replace(self.plan.new.object_id.as_str(), "<id>");
        let mut finding = Finding::new(code, message);
        for origin in &self.origins {
            let read = manifests::of(origin);
            // A name that is made up ends in letters of chance.
            let is_it = |it: &crate::description::Manifest| {
                it.kind == kind && (it.name == name || it.is_name_generated && name.starts_with(&it.name))
            };
            if let Some((_, place)) = read.iter().find(|(it, _)| is_it(it)) {
                finding = finding.at(&origin.path, origin.value_line(place, ""));
                break;
            }
        }
        finding.audiences.insert(self.audience.clone());
        finding
    }
}
