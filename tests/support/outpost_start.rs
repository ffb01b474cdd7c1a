//! Starts of a hub with Outpost's protocol, made where its front door makes them.

use std::collections::BTreeMap;

use k8smgr::domain::{
    Credential, Json, ObjectId, OutpostName, ServerName, ServiceName, ServiceRecord, ServiceState, StartId,
};
use k8smgr::services::{StartError, StartRequest};
use serde_json::Value;

use super::app::TestApp;
use super::hub_receiver::HubReceiver;
use super::wait::eventually;

/// A start, as its hub asks for it.
pub struct OutpostStart<'a> {
    pub credential: &'a str,
    pub name: &'a str,
    pub start_id: &'a str,
    pub service: &'a str,
    pub env: BTreeMap<String, String>,
    pub is_awaited: bool,
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

    pub fn awaited(mut self, is_awaited: bool) -> Self {
        self.is_awaited = is_awaited;
        self
    }

    pub async fn start(&self, app: &TestApp) -> ServiceRecord {
        self.try_start(app).await.unwrap()
    }

    pub async fn try_start(&self, app: &TestApp) -> Result<ServiceRecord, StartError> {
        let (name, start_id) = (OutpostName::parse(self.name).unwrap(), StartId::parse(self.start_id).unwrap());
        let (credential, service) =
            (Credential::parse(self.credential).unwrap(), ServiceName::parse(self.service).unwrap());
        let services = &app.app().services;
        let request = StartRequest {
            server_name: ServerName::of_outpost(&name, &start_id),
            object_id: ObjectId::of_outpost(&credential, &name, &start_id),
            start_id,
            jhub_user_id: 7,
            user_options: Json::parse(b"{}").unwrap(),
            env: self.env.clone(),
            certs: None,
            chosen: services.choose(&credential, &service),
            is_awaited: self.is_awaited,
            credential,
            service,
        };
        services.start(request).await
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
    let page = app.send(&super::wire::Request::get("/metrics")).await.body;
    let value = page.lines().find_map(|it| it.strip_prefix(labelled)?.trim().parse().ok());
    value.unwrap_or(0)
}

pub fn member<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}
