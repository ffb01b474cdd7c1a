//! What stands in the cells of tables.

use serde_json::{Value, json};

pub fn text(value: &Value) -> Value {
    json!(value.as_str().unwrap_or_default())
}

pub fn or_none(value: &Value) -> Value {
    json!(value.as_str().filter(|it| !it.is_empty()).unwrap_or("<none>"))
}

pub fn number(value: &Value) -> Value {
    json!(value.as_i64().unwrap_or(0))
}

pub fn go_bool(value: &Value) -> &'static str {
    if value == true { "True" } else { "False" }
}

pub fn entries(value: &Value) -> usize {
    value.as_object().map_or(0, serde_json::Map::len)
}

pub fn labels(map: &Value) -> Value {
    let pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { json!("<none>") } else { json!(pairs.join(",")) }
}

pub fn selector(object: &Value) -> Value {
    labels(&object["spec"]["selector"]["matchLabels"])
}

pub fn age(object: &Value) -> Value {
    since(&object["metadata"]["creationTimestamp"], "<unknown>")
}

/// How long ago a time is, as kubectl writes it.
pub fn since(time: &Value, otherwise: &str) -> Value {
    match time.as_str().and_then(|it| it.parse::<jiff::Timestamp>().ok()) {
        Some(time) => json!(duration(jiff::Timestamp::now().duration_since(time).as_secs().max(0))),
        None => json!(otherwise),
    }
}

fn duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let with = |first: String, rest: i64, unit: char| if rest == 0 { first } else { format!("{first}{rest}{unit}") };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        with(format!("{minutes}m"), seconds % 60, 's')
    } else if hours < 3 {
        format!("{minutes}m")
    } else if hours < 8 {
        with(format!("{hours}h"), minutes % 60, 'm')
    } else if hours < 48 {
        format!("{hours}h")
    } else if days < 8 {
        with(format!("{days}d"), hours % 24, 'h')
    } else {
        format!("{days}d")
    }
}

fn statuses(pod: &Value) -> &[Value] {
    pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub fn pod_ready(pod: &Value) -> Value {
    let ready = statuses(pod).iter().filter(|it| it["ready"] == true).count();
    json!(format!("{ready}/{}", pod["spec"]["containers"].as_array().map_or(0, Vec::len)))
}

pub fn pod_restarts(pod: &Value) -> Value {
    let count: i64 = statuses(pod).iter().filter_map(|it| it["restartCount"].as_i64()).sum();
    let last = statuses(pod)
        .iter()
        .filter_map(|it| it["lastState"]["terminated"]["finishedAt"].as_str())
        .max()
        .map(|it| since(&json!(it), ""));
    match last.as_ref().and_then(Value::as_str).filter(|_| count > 0) {
        Some(last) => json!(format!("{count} ({last} ago)")),
        None => json!(count.to_string()),
    }
}

pub fn pod_status(pod: &Value) -> Value {
    let status = &pod["status"];
    let mut told = status["reason"].as_str().or_else(|| status["phase"].as_str()).unwrap_or("Unknown").to_owned();
    let initial = status["initContainerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let pending = initial.iter().enumerate().find(|(_, it)| it["state"]["terminated"]["exitCode"] != 0);
    if let Some((index, waiting)) = pending {
        let reason = waiting["state"]["waiting"]["reason"]
            .as_str()
            .or_else(|| waiting["state"]["terminated"]["reason"].as_str());
        told = match reason {
            Some(reason) if reason != "PodInitializing" => format!("Init:{reason}"),
            _ => format!("Init:{index}/{}", initial.len()),
        };
    } else {
        for container in statuses(pod).iter().rev() {
            let state = &container["state"];
            if let Some(reason) = state["waiting"]["reason"].as_str() {
                told = reason.to_owned();
            } else if state["terminated"].is_object() {
                let code = &state["terminated"]["exitCode"];
                told = state["terminated"]["reason"].as_str().map_or_else(|| format!("ExitCode:{code}"), str::to_owned);
            }
        }
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        told = "Terminating".to_owned();
    }
    json!(told)
}

pub fn ready_of_wanted(object: &Value) -> Value {
    let ready = object["status"]["readyReplicas"].as_i64().unwrap_or(0);
    json!(format!("{ready}/{}", object["spec"]["replicas"].as_i64().unwrap_or(0)))
}

fn of_template(object: &Value, field: &str) -> Value {
    let containers = object["spec"]["template"]["spec"]["containers"].as_array();
    let listed: Vec<&str> = containers.into_iter().flatten().filter_map(|it| it[field].as_str()).collect();
    json!(listed.join(","))
}

pub fn template_containers(object: &Value) -> Value {
    of_template(object, "name")
}

pub fn template_images(object: &Value) -> Value {
    of_template(object, "image")
}

fn has_condition(object: &Value, kind: &str) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|it| it["type"] == kind && it["status"] == "True")
}

pub fn job_status(job: &Value) -> Value {
    let told = ["Complete", "Failed", "Suspended"].into_iter().find(|it| has_condition(job, it));
    json!(told.unwrap_or(if job["metadata"]["deletionTimestamp"].is_string() { "Terminating" } else { "Running" }))
}

pub fn job_completions(job: &Value) -> Value {
    let done = job["status"]["succeeded"].as_i64().unwrap_or(0);
    json!(format!("{done}/{}", job["spec"]["completions"].as_i64().unwrap_or(1)))
}

pub fn job_duration(job: &Value) -> Value {
    let time = |field: &str| job["status"][field].as_str().and_then(|it| it.parse::<jiff::Timestamp>().ok());
    match (time("startTime"), time("completionTime")) {
        (None, _) => json!(""),
        (Some(start), end) => {
            let end = end.unwrap_or_else(jiff::Timestamp::now);
            json!(duration(end.duration_since(start).as_secs().max(0)))
        }
    }
}

pub fn service_ports(service: &Value) -> Value {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let listed: Vec<String> = ports
        .map(|port| match port["nodePort"].as_i64().filter(|it| *it > 0) {
            Some(node) => format!("{}:{node}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP")),
            None => format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP")),
        })
        .collect();
    if listed.is_empty() { json!("<none>") } else { json!(listed.join(",")) }
}

pub fn event_seen(event: &Value) -> Value {
    let last = event.get("lastTimestamp").unwrap_or(&event["deprecatedLastTimestamp"]);
    since(if last.is_string() { last } else { &event["eventTime"] }, "<unknown>")
}

pub fn event_object(event: &Value) -> Value {
    let object = event.get("involvedObject").unwrap_or(&event["regarding"]);
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    json!(format!("{kind}/{}", object["name"].as_str().unwrap_or_default()))
}

pub fn node_status(node: &Value) -> Value {
    let ready = if has_condition(node, "Ready") { "Ready" } else { "NotReady" };
    let closed = if node["spec"]["unschedulable"] == true { ",SchedulingDisabled" } else { "" };
    json!(format!("{ready}{closed}"))
}

pub fn access_modes(claim: &Value) -> Value {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "?",
    };
    let modes = claim["status"]["accessModes"].as_array().into_iter().flatten();
    let listed: Vec<&str> = modes.filter_map(|it| it.as_str().map(short)).collect();
    json!(listed.join(","))
}

pub fn endpoints(object: &Value) -> Value {
    let mut listed = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        for address in subset["addresses"].as_array().into_iter().flatten() {
            for port in subset["ports"].as_array().into_iter().flatten() {
                listed.push(format!("{}:{}", address["ip"].as_str().unwrap_or_default(), port["port"]));
            }
        }
    }
    if listed.is_empty() { json!("<none>") } else { json!(listed.join(",")) }
}

pub fn ingress_hosts(ingress: &Value) -> Value {
    let rules = ingress["spec"]["rules"].as_array().into_iter().flatten();
    let hosts: Vec<&str> = rules.filter_map(|it| it["host"].as_str()).collect();
    if hosts.is_empty() { json!("*") } else { json!(hosts.join(",")) }
}

pub fn role(binding: &Value) -> Value {
    let text = |field: &str| binding["roleRef"][field].as_str().unwrap_or_default();
    json!(format!("{}/{}", text("kind"), text("name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_kubectl_writes_them() {
        for (seconds, expected) in
            [(5, "5s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (3600, "60m"), (14_400, "4h"), (200_000, "2d7h")]
        {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn a_pods_status_is_the_reason_it_does_not_run() {
        let waiting = json!({"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}});
        assert_eq!(pod_status(&waiting), "ErrImagePull");
        assert_eq!(pod_status(&json!({"status": {"phase": "Running"}})), "Running");
        assert_eq!(
            pod_status(&json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}})),
            "Terminating"
        );
    }
}
