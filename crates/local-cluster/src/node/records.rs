//! What a node knows about the containers of one pod. Pure data, with the way into and out of `containerStatuses`.

use serde_json::{Value, json};

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub exit_code: i32,
    pub reason: String,
    pub message: Option<String>,
    pub started_at: String,
    pub finished_at: String,
    pub container_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Waiting { reason: String, message: Option<String> },
    Running { started_at: String },
    Terminated(Ended),
}

impl State {
    pub fn waiting(reason: &str, message: Option<String>) -> Self {
        Self::Waiting { reason: reason.to_owned(), message }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Init,
    /// An init container with `restartPolicy: Always`: runs beside the others.
    Sidecar,
    Main,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub image: String,
    pub role: Role,
    pub state: State,
    pub last: Option<Ended>,
    pub restart_count: u32,
    pub ready: bool,
    pub started: bool,
    pub container_id: String,
}

impl Record {
    pub fn new(container: &Value, role: Role) -> Self {
        let text = |field: &str| container[field].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            image: text("image"),
            role,
            state: State::waiting("ContainerCreating", None),
            last: None,
            restart_count: 0,
            ready: false,
            started: false,
            container_id: String::new(),
        }
    }

    /// Waits from now on; the run that ended becomes the last one.
    pub fn wait(&mut self, reason: &str, message: Option<String>) {
        if let State::Terminated(ended) = &self.state {
            self.last = Some(ended.clone());
        }
        self.state = State::waiting(reason, message);
    }

    pub fn running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Ended, or about to be started again after it ended.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.state {
            State::Terminated(ended) => Some(ended),
            State::Waiting { .. } => self.last.as_ref(),
            State::Running { .. } => None,
        }
    }

    /// The entry of `containerStatuses`.
    pub fn to_value(&self) -> Value {
        let state = match &self.state {
            State::Waiting { reason, message } => {
                let mut waiting = json!({"reason": reason});
                if let Some(message) = message {
                    waiting["message"] = json!(message);
                }
                json!({"waiting": waiting})
            }
            State::Running { started_at } => json!({"running": {"startedAt": started_at}}),
            State::Terminated(ended) => json!({"terminated": ended.to_value()}),
        };
        let last = self.last.as_ref().map_or_else(|| json!({}), |it| json!({"terminated": it.to_value()}));
        let mut value = json!({
            "name": self.name, "state": state, "lastState": last, "ready": self.ready, "started": self.started,
            "restartCount": self.restart_count, "image": self.image,
            "imageID": if self.container_id.is_empty() { "" } else { &self.image },
        });
        if !self.container_id.is_empty() {
            value["containerID"] = json!(self.container_id);
        }
        value
    }

    /// Takes over what an earlier run of this node wrote. What ran then is gone now.
    pub fn adopt(&mut self, status: &Value, now: &str) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.restart_count = status["restartCount"].as_u64().and_then(|it| u32::try_from(it).ok()).unwrap_or(0);
        self.container_id = text(&status["containerID"]);
        self.last = Ended::from_value(&status["lastState"]["terminated"]);
        if let Some(ended) = Ended::from_value(&status["state"]["terminated"]) {
            self.state = State::Terminated(ended);
        } else if status["state"]["running"].is_object() {
            self.state = State::Terminated(Ended {
                exit_code: 137,
                reason: "ContainerStatusUnknown".to_owned(),
                message: Some("The container could not be located when the pod was terminated".to_owned()),
                started_at: text(&status["state"]["running"]["startedAt"]),
                finished_at: now.to_owned(),
                container_id: self.container_id.clone(),
            });
        }
    }
}

impl Ended {
    fn to_value(&self) -> Value {
        let mut value = json!({
            "exitCode": self.exit_code, "reason": self.reason, "startedAt": self.started_at,
            "finishedAt": self.finished_at, "containerID": self.container_id,
        });
        if let Some(message) = &self.message {
            value["message"] = json!(message);
        }
        value
    }

    fn from_value(value: &Value) -> Option<Self> {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        Some(Self {
            exit_code: i32::try_from(value["exitCode"].as_i64()?).ok()?,
            reason: text("reason"),
            message: value["message"].as_str().map(str::to_owned),
            started_at: text("startedAt"),
            finished_at: text("finishedAt"),
            container_id: text("containerID"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_before_a_restart_is_dead_and_the_rest_is_kept() {
        let container = json!({"name": "main", "image": "i"});
        let mut before = Record::new(&container, Role::Main);
        before.state = State::Running { started_at: "t0".into() };
        before.restart_count = 3;
        before.container_id = "bwrap://1".into();
        let mut after = Record::new(&container, Role::Main);
        after.adopt(&before.to_value(), "t1");
        assert_eq!(after.restart_count, 3);
        let State::Terminated(ended) = &after.state else { unreachable!("{after:?}") };
        assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "ContainerStatusUnknown"));
        assert_eq!((ended.started_at.as_str(), ended.finished_at.as_str()), ("t0", "t1"));
        let mut again = Record::new(&container, Role::Main);
        again.adopt(&after.to_value(), "t2");
        assert_eq!(again, after);
    }
}
