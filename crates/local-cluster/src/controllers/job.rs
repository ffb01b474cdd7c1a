//! Jobs: pods until enough have succeeded or too many have failed.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Controllers, pods};
use crate::deletion::{self, DeleteOptions};
use crate::events::{self, EventText, Source};
use crate::storage::{Key, now};

const COMPONENT: &str = "job-controller";
const SOURCE: Source<'static> = Source { component: COMPONENT, host: "" };

pub fn reconcile(controllers: &mut Controllers, key: &Key, job: &Value) {
    let uid = job["metadata"]["uid"].as_str().unwrap_or_default();
    if finished(job) {
        clean_up_later(controllers, key, job);
        return;
    }
    let owned = pods::controlled_by(controllers, uid);
    let count = |is: &dyn Fn(&Value) -> bool| owned.iter().filter(|it| is(it)).count();
    let succeeded = count(&|pod| pod["status"]["phase"] == "Succeeded");
    let failed = count(&|pod| pod["status"]["phase"] == "Failed");
    let active: Vec<_> = owned.iter().filter(|it| !pods::is_terminal(it) && !pods::is_going(it)).collect();
    let number = |field: &str| job["spec"][field].as_u64().and_then(|it| usize::try_from(it).ok());
    let (completions, parallelism) = (number("completions"), number("parallelism").unwrap_or(1));
    let deadline = deadline(controllers, key, job);
    let mut conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|it| it["type"] != "Suspended");
    let suspended = job["spec"]["suspend"] == true;
    let mut wanted = match completions {
        Some(all) => parallelism.min(all.saturating_sub(succeeded)),
        // Without a number, one success is enough and no pod is added after it.
        None if succeeded > 0 => active.len(),
        None => parallelism,
    };
    let complete = completions.map_or(succeeded > 0 && active.is_empty(), |all| succeeded >= all);
    let too_many = failed > number("backoffLimit").unwrap_or(6);
    if complete || too_many || deadline || suspended {
        wanted = 0;
    }
    for pod in active.iter().skip(wanted) {
        pods::delete(controllers, COMPONENT, job, pod);
    }
    let mut running = active.len().min(wanted);
    while running < wanted {
        let made = pods::create(controllers, COMPONENT, job, &job["spec"]["template"], None, |_| {});
        if made.is_none() {
            break;
        }
        running += 1;
    }
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastProbeTime": now(),
            "lastTransitionTime": now()})
    };
    let mut add = |kind: [&str; 2], reason: &str, message: &str| {
        conditions.extend(kind.iter().map(|it| condition(it, reason, message)));
    };
    if complete {
        add(["SuccessCriteriaMet", "Complete"], "CompletionsReached", "Reached expected number of succeeded pods");
        events::emit(&controllers.storage, SOURCE, job, &EventText::normal("Completed", "Job completed"));
    } else if too_many {
        let text = "Job has reached the specified backoff limit";
        add(["FailureTarget", "Failed"], "BackoffLimitExceeded", text);
        events::emit(&controllers.storage, SOURCE, job, &EventText::warning("BackoffLimitExceeded", text));
    } else if deadline {
        let text = "Job was active longer than specified deadline";
        add(["FailureTarget", "Failed"], "DeadlineExceeded", text);
        events::emit(&controllers.storage, SOURCE, job, &EventText::warning("DeadlineExceeded", text));
    } else if suspended {
        conditions.push(condition("Suspended", "JobSuspended", "Job suspended"));
    }
    let start = job["status"].get("startTime").cloned().unwrap_or_else(|| json!(now()));
    let ready = active.iter().take(wanted).filter(|it| pods::is_ready(it)).count();
    let mut status = json!({"startTime": start, "ready": ready, "terminating": 0, "uncountedTerminatedPods": {}});
    for (field, value) in [("active", running), ("succeeded", succeeded), ("failed", failed)] {
        if value > 0 {
            status[field] = json!(value);
        }
    }
    if complete {
        status["completionTime"] = json!(now());
    }
    if !conditions.is_empty() {
        status["conditions"] = json!(conditions);
    }
    if job["status"] != status {
        // A job that is gone needs no status.
        let _ = controllers.storage.update::<()>(key, |object| {
            object["status"] = status;
            Ok(())
        });
    }
}

fn finished(job: &Value) -> bool {
    let mut conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|it| matches!(it["type"].as_str(), Some("Complete" | "Failed")) && it["status"] == "True")
}

fn seconds_until(time: &Value, seconds: i64) -> Option<Duration> {
    let due = time.as_str()?.parse::<jiff::Timestamp>().ok()?;
    let due = due.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()?;
    let left = due.duration_since(jiff::Timestamp::now());
    (left.as_millis() > 0).then(|| left.unsigned_abs())
}

/// Whether the job has been active for too long; else it is looked at again when it will have been.
fn deadline(controllers: &mut Controllers, key: &Key, job: &Value) -> bool {
    let Some(seconds) = job["spec"]["activeDeadlineSeconds"].as_i64() else { return false };
    if !job["status"]["startTime"].is_string() {
        controllers.enqueue_after(key.clone(), Duration::from_secs(seconds.unsigned_abs()));
        return false;
    }
    match seconds_until(&job["status"]["startTime"], seconds) {
        Some(left) => {
            controllers.enqueue_after(key.clone(), left);
            false
        }
        None => true,
    }
}

fn clean_up_later(controllers: &mut Controllers, key: &Key, job: &Value) {
    let Some(seconds) = job["spec"]["ttlSecondsAfterFinished"].as_i64() else { return };
    let ended = job["status"]["conditions"].as_array().and_then(|all| all.last());
    let Some(ended) = ended.map(|it| it["lastTransitionTime"].clone()) else { return };
    match seconds_until(&ended, seconds) {
        Some(left) => controllers.enqueue_after(key.clone(), left),
        None => {
            deletion::delete(&controllers.storage, key, &DeleteOptions::default());
        }
    }
}
