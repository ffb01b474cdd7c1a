//! Which user a container's process is, from the security contexts of pod and container. Pure.
//!
//! Where this process is root, a container without `runAsUser` runs as `nobody`: an image's user is not known here, and
//! root is nothing to give away unasked. Where it is not, every container runs as its user and sees the uid asked for
//! inside its user namespace only.

use serde_json::Value;

/// `nobody` and `nogroup`.
pub const NOBODY: u32 = 65534;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups: `fsGroup` and `supplementalGroups`.
    pub groups: Vec<u32>,
}

/// What a security context asks for that cannot be given, as a kubelet words it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("container has runAsNonRoot and image will run as root")]
pub struct RootRefused;

/// The user of one container; its own security context goes before the pod's.
pub fn identity(pod: &Value, container: &Value) -> Result<Identity, RootRefused> {
    let context = &pod["spec"]["securityContext"];
    let own = &container["securityContext"];
    let number = |value: &Value| value.as_u64().and_then(|it| u32::try_from(it).ok());
    let asked = |field: &str| number(&own[field]).or_else(|| number(&context[field]));
    let fs_group = number(&context["fsGroup"]);
    let uid = asked("runAsUser").unwrap_or(NOBODY);
    let gid = asked("runAsGroup").or(fs_group).unwrap_or(uid);
    let no_root = own["runAsNonRoot"].as_bool().or(context["runAsNonRoot"].as_bool()).unwrap_or(false);
    if no_root && uid == 0 {
        return Err(RootRefused);
    }
    let mut groups: Vec<u32> = fs_group.into_iter().collect();
    groups.extend(context["supplementalGroups"].as_array().into_iter().flatten().filter_map(number));
    groups.sort_unstable();
    groups.dedup();
    Ok(Identity { uid, gid, groups })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_container_goes_before_the_pod_and_nobody_is_the_default() {
        let pod = json!({"spec": {"securityContext": {"runAsUser": 1000, "runAsGroup": 100, "fsGroup": 200}}});
        let table = [
            (json!({}), json!({}), Identity { uid: NOBODY, gid: NOBODY, groups: vec![] }),
            (pod.clone(), json!({}), Identity { uid: 1000, gid: 100, groups: vec![200] }),
            (pod, json!({"securityContext": {"runAsUser": 7}}), Identity { uid: 7, gid: 100, groups: vec![200] }),
            (json!({}), json!({"securityContext": {"runAsUser": 7}}), Identity { uid: 7, gid: 7, groups: vec![] }),
        ];
        for (pod, container, expected) in table {
            assert_eq!(identity(&pod, &container), Ok(expected));
        }
    }

    #[test]
    fn root_is_refused_where_run_as_non_root_says_so() {
        let pod = json!({"spec": {"securityContext": {"runAsNonRoot": true, "runAsUser": 0}}});
        assert_eq!(identity(&pod, &json!({})), Err(RootRefused));
    }
}
