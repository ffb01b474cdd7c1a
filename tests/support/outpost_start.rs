//! Starts of a hub with Outpost's protocol, as its front door takes them.

use std::collections::BTreeMap;

use k8smgr::domain::{Credential, ServiceRecord, ServiceState};
use serde_json::{Value, json};

use super::app::{JUPYTERHUB, OTHERHUB, TestApp};
use super::hub_receiver::HubReceiver;
use super::wait::eventually;
use super::wire::{Answer, Request};

/// A start, as its hub asks for it.
pub struct OutpostStart<'a> {
    pub credential: &'a str,
    pub name: &'a str,
    pub start_id: &'a str,
    pub service: &'a str,
    pub env: BTreeMap<String, String>,
    pub is_awaited: bool,
    pub flavor: Option<&'a str>,
}

impl<'a> OutpostStart<'a> {
    /// Of the hub `jupyterhub`; with the variables that OutpostSpawner sets, and a token of its own.
    pub fn new(hub: &HubReceiver, name: &'a str, token: &str) -> Self {
        let api = hub.url("/hub/api");
        let it = Self {
            credential: "jupyterhub",
            name,
            start_id: "s1",
            service: "JupyterLab/Run",
            env: BTreeMap::new(),
            is_awaited: false,
            flavor: None,
        };
        it.with("JUPYTERHUB_EVENTS_URL", &format!("{api}/users/progress/events/alice/{name}"))
            .with("JUPYTERHUB_API_URL", &api)
            .with("JUPYTERHUB_API_TOKEN", token)
            .with("JUPYTERHUB_USER_ID", "7")
    }

    pub fn of(mut self, credential: &'a str) -> Self {
        self.credential = credential;
        self
    }

    pub fn service(mut self, service: &'a str) -> Self {
        self.service = service;
        self
    }

    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.env.insert(variable.to_owned(), value.to_owned());
        self
    }

    pub fn flavor(mut self, flavor: &'a str) -> Self {
        self.flavor = Some(flavor);
        self
    }

    pub fn awaited(mut self, is_awaited: bool) -> Self {
        self.is_awaited = is_awaited;
        self
    }

    /// Where nobody waits for it, it need not be up yet.
    pub async fn start(&self, app: &TestApp) -> ServiceRecord {
        let answer = self.post(app).await;
        assert_eq!(answer.status, if self.is_awaited { 200 } else { 202 }, "{}", answer.body);
        let credential = Credential::parse(self.credential).unwrap();
        let named = format!("{}/{}", self.name, self.start_id);
        let services = app.app().store.services_of(&credential).await.unwrap();
        services.into_iter().find(|it| it.server_name.as_str() == named).unwrap()
    }

    pub async fn post(&self, app: &TestApp) -> Answer {
        let user = if self.credential == "otherhub" { OTHERHUB } else { JUPYTERHUB };
        let mut body = json!({
            "name": self.name,
            "env": self.env,
            "user_options": {"service": self.service, "start_id": self.start_id},
        });
        if let Some(flavor) = self.flavor {
            body["user_options"]["flavor"] = json!(flavor);
        }
        let request = Request::new("POST", "/services").json(&body);
        let request = if self.is_awaited { request } else { request.header("execution-type", "async") };
        app.send_as(user, request).await
    }
}

/// Stops it as a DELETE does, and waits until it is gone.
pub async fn stop(app: &TestApp, record: &ServiceRecord) {
    app.app().services.stop(&record.credential, &record.server_name).await.unwrap();
    is_gone(app, record).await;
}

pub async fn is_gone(app: &TestApp, record: &ServiceRecord) {
    eventually("the service is gone", async || {
        app.app().store.service(record.sequence).await.ok()?.is_none().then_some(())
    })
    .await;
}

pub async fn runs(app: &TestApp, record: &ServiceRecord) -> bool {
    let current = app.app().store.service(record.sequence).await.unwrap();
    current.is_some_and(|it| it.state == ServiceState::Running)
}

/// Waits until a pod of it serves.
pub async fn serves(app: &TestApp, record: &ServiceRecord) {
    eventually("its pod serves", async || app.app().services.serves(record).then_some(())).await;
}

/// A counter of /metrics with these labels; 0 while it is not there.
pub async fn counter(app: &TestApp, labelled: &str) -> u64 {
    counted(&app.send(&super::wire::Request::get("/metrics")).await.body, labelled)
}

/// The same before there is an app: other tests of this process may have counted.
pub fn counted_before(labelled: &str) -> u64 {
    counted(&k8smgr::metrics::page(), labelled)
}

fn counted(page: &str, labelled: &str) -> u64 {
    page.lines().find_map(|it| it.strip_prefix(labelled)?.trim().parse().ok()).unwrap_or(0)
}

pub fn member<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}
