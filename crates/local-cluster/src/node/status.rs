//! From the records of a pod's containers to its status, as a kubelet writes it. Pure.

use serde_json::{Value, json};

use super::records::{Record, Role, State};
use crate::events::set_condition;

/// All that is known about a pod when its status is written.
#[derive(Clone, Debug)]
pub struct PodView<'a> {
    pub pod: &'a Value,
    pub records: &'a [Record],
    pub start_time: &'a str,
    /// Set when the node itself gives the pod up: reason and message, such as `DeadlineExceeded`. It counts when
    /// nothing runs any more.
    pub failed: Option<(&'a str, &'a str)>,
    /// Every container has ended for good: the pod is deleted or given up.
    pub over: bool,
    pub volumes_ready: bool,
}

/// Whether a container that ended is started again.
pub fn restarts(policy: &str, role: Role, exit_code: i32) -> bool {
    match (role, policy) {
        (Role::Sidecar, _) => true,
        (Role::Init, "Never") => false,
        (Role::Main, "Always") => true,
        (Role::Main, "Never") => false,
        (Role::Init | Role::Main, _) => exit_code != 0,
    }
}

pub fn restart_policy(pod: &Value) -> &str {
    pod["spec"]["restartPolicy"].as_str().unwrap_or("Always")
}

fn given_up<'a>(view: &PodView<'a>) -> Option<(&'a str, &'a str)> {
    view.failed.filter(|_| !view.records.iter().any(Record::running))
}

/// The pod's phase.
pub fn phase(view: &PodView<'_>) -> &'static str {
    if given_up(view).is_some() {
        return "Failed";
    }
    let policy = restart_policy(view.pod);
    let of = |role| view.records.iter().filter(move |it| it.role == role);
    let ended_well = |it: &Record| matches!(&it.state, State::Terminated(ended) if ended.exit_code == 0);
    let init_failed = |it: &Record| {
        matches!(&it.state, State::Terminated(ended)
            if ended.exit_code != 0 && (view.over || !restarts(policy, Role::Init, ended.exit_code)))
    };
    if of(Role::Init).any(init_failed) {
        return "Failed";
    }
    if !of(Role::Init).all(ended_well) {
        return "Pending";
    }
    let main: Vec<&Record> = of(Role::Main).collect();
    if main.iter().any(|it| !it.running() && it.ended().is_none()) {
        return if view.over { "Failed" } else { "Pending" };
    }
    let code = |it: &Record| it.ended().map(|ended| ended.exit_code);
    if main.iter().any(|it| it.running()) {
        return "Running";
    }
    match policy {
        _ if main.iter().all(|it| code(it) == Some(0)) && (view.over || policy != "Always") => "Succeeded",
        _ if view.over => "Failed",
        "Never" => "Failed",
        _ => "Running",
    }
}

/// Writes everything a kubelet knows into a pod's status; conditions of others stay.
pub fn write(view: &PodView<'_>, status: &mut Value) {
    if !status.is_object() {
        *status = json!({});
    }
    let phase = phase(view);
    status["phase"] = json!(phase);
    for (field, value) in [("hostIP", "127.0.0.1"), ("podIP", "127.0.0.1"), ("startTime", view.start_time)] {
        status[field] = json!(value);
    }
    status["hostIPs"] = json!([{"ip": "127.0.0.1"}]);
    status["podIPs"] = json!([{"ip": "127.0.0.1"}]);
    status["qosClass"] = json!(qos_class(view.pod));
    if let Some((reason, message)) = given_up(view) {
        status["reason"] = json!(reason);
        status["message"] = json!(message);
    }
    let list = |wanted: &[Role]| -> Vec<Value> {
        view.records.iter().filter(|it| wanted.contains(&it.role)).map(Record::to_value).collect()
    };
    let init = list(&[Role::Init, Role::Sidecar]);
    if !init.is_empty() {
        status["initContainerStatuses"] = json!(init);
    }
    status["containerStatuses"] = json!(list(&[Role::Main]));
    conditions(view, phase, status);
}

fn conditions(view: &PodView<'_>, phase: &str, status: &mut Value) {
    set_condition(status, "PodReadyToStartContainers", view.volumes_ready && !view.over, None, None);
    let names = |records: Vec<&Record>| records.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(" ");
    let incomplete = view.records.iter().filter(|it| match it.role {
        Role::Init => !matches!(&it.state, State::Terminated(ended) if ended.exit_code == 0),
        Role::Sidecar => !it.started && !view.over,
        Role::Main => false,
    });
    let incomplete = names(incomplete.collect());
    let completed = (phase == "Succeeded").then_some("PodCompleted");
    if incomplete.is_empty() {
        set_condition(status, "Initialized", true, completed, None);
    } else {
        let message = format!("containers with incomplete status: [{incomplete}]");
        set_condition(status, "Initialized", false, Some("ContainersNotInitialized"), Some(&message));
    }
    let unready = names(view.records.iter().filter(|it| it.role == Role::Main && !it.ready).collect());
    for kind in ["Ready", "ContainersReady"] {
        match phase {
            "Succeeded" => set_condition(status, kind, false, Some("PodCompleted"), None),
            "Failed" => set_condition(status, kind, false, Some("PodFailed"), None),
            _ if unready.is_empty() && incomplete.is_empty() => set_condition(status, kind, true, None, None),
            _ => {
                let message = format!("containers with unready status: [{unready}]");
                set_condition(status, kind, false, Some("ContainersNotReady"), Some(&message));
            }
        }
    }
    set_condition(status, "PodScheduled", true, None, None);
}

/// Guaranteed, Burstable or BestEffort, by requests and limits of CPU and memory.
pub fn qos_class(pod: &Value) -> &'static str {
    let containers =
        ["containers", "initContainers"].iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        let resources = &container["resources"];
        for what in ["cpu", "memory"] {
            let (limit, request) = (&resources["limits"][what], &resources["requests"][what]);
            any |= !limit.is_null() || !request.is_null();
            guaranteed &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::Ended;
    use super::*;

    fn ended(exit_code: i32) -> State {
        State::Terminated(Ended {
            exit_code,
            reason: "Error".into(),
            message: None,
            started_at: String::new(),
            finished_at: String::new(),
            container_id: String::new(),
        })
    }

    fn record(role: Role, state: State) -> Record {
        let mut record = Record::new(&json!({"name": "c", "image": "i"}), role);
        record.state = state;
        record
    }

    fn backing_off() -> Record {
        let mut record = record(Role::Main, State::waiting("CrashLoopBackOff", None));
        let State::Terminated(last) = ended(1) else { unreachable!() };
        record.last = Some(last);
        record
    }

    fn running() -> State {
        State::Running { started_at: String::new() }
    }

    #[test]
    fn the_phase_follows_from_containers_and_policy() {
        use Role::{Init, Main, Sidecar};
        let creating = || State::waiting("ContainerCreating", None);
        let table = [
            ("Always", vec![record(Main, creating())], false, "Pending"),
            ("Always", vec![record(Main, running())], false, "Running"),
            ("Always", vec![record(Main, running()), record(Main, creating())], false, "Pending"),
            ("Always", vec![record(Main, ended(0))], false, "Running"),
            ("Always", vec![backing_off()], false, "Running"),
            ("Always", vec![record(Main, ended(0))], true, "Succeeded"),
            ("Always", vec![record(Main, ended(143))], true, "Failed"),
            ("OnFailure", vec![record(Main, ended(0))], false, "Succeeded"),
            ("OnFailure", vec![record(Main, ended(1))], false, "Running"),
            ("Never", vec![record(Main, ended(1))], false, "Failed"),
            ("Never", vec![record(Main, ended(1)), record(Main, running())], false, "Running"),
            ("Never", vec![record(Main, ended(1)), record(Main, ended(0))], false, "Failed"),
            ("Never", vec![record(Init, ended(1)), record(Main, creating())], false, "Failed"),
            ("Always", vec![record(Init, ended(1)), record(Main, creating())], false, "Pending"),
            ("Always", vec![record(Init, running()), record(Main, creating())], false, "Pending"),
            ("Always", vec![record(Init, ended(0)), record(Main, running())], false, "Running"),
            ("Never", vec![record(Sidecar, running()), record(Main, ended(0))], false, "Succeeded"),
        ];
        for (policy, records, over, expected) in table {
            let pod = json!({"spec": {"restartPolicy": policy}});
            let view =
                PodView { pod: &pod, records: &records, start_time: "", failed: None, over, volumes_ready: true };
            assert_eq!(phase(&view), expected, "{policy} {records:?}");
        }
    }

    #[test]
    fn conditions_name_the_containers_that_are_not_ready() {
        let pod = json!({"spec": {}});
        let mut records = [record(Role::Main, running())];
        let mut status = json!({"conditions": [{"type": "mine", "status": "True"}]});
        let condition = |status: &Value, kind: &str| -> Value {
            status["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|it| it["type"] == kind)
                .cloned()
                .unwrap_or_default()
        };
        for ready in [false, true] {
            records[0].ready = ready;
            let view = PodView {
                pod: &pod,
                records: &records,
                start_time: "t",
                failed: None,
                over: false,
                volumes_ready: true,
            };
            write(&view, &mut status);
            let expected = if ready { "True" } else { "False" };
            assert_eq!(condition(&status, "Ready")["status"], expected);
            assert_eq!(condition(&status, "ContainersReady")["status"], expected);
            assert_eq!(condition(&status, "Initialized")["status"], "True");
            assert_eq!(condition(&status, "mine")["status"], "True");
            if !ready {
                assert_eq!(condition(&status, "Ready")["message"], "containers with unready status: [c]");
            }
        }
        assert_eq!(status["qosClass"], "BestEffort");
        assert_eq!(status["podIP"], "127.0.0.1");
    }

    #[test]
    fn quality_of_service_is_by_requests_and_limits() {
        let of = |resources: Value| qos_class(&json!({"spec": {"containers": [{"resources": resources}]}}));
        assert_eq!(of(json!({})), "BestEffort");
        assert_eq!(of(json!({"limits": {"cpu": "1"}})), "Burstable");
        assert_eq!(of(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
        assert_eq!(of(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}})), "Burstable");
    }
}
