//! A database of JupyterHub Outpost, with the servers that its KubeSpawner has started in the cluster.

use std::path::PathBuf;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use diesel::connection::SimpleConnection;
use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query, sql_types};
use ring::hmac;
use serde_json::{Value, json};

use crate::commands::{Ended, k8smgr_with};
use crate::support::app::TestApp;

pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub const OTHER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
pub const ADDRESS: &str = "http://jupyter-alice--lab.golden.svc.cluster.local:8888";
pub const START_DATE: &str = "2026-11-20 11:36:30.415840";

/// As the Outpost seals it.
fn fernet(key: &str, value: &Value) -> Vec<u8> {
    let key = BASE64_URL_SAFE.decode(key).unwrap();
    let iv = [7; 16];
    let cipher = cbc::Encryptor::<aes::Aes128>::new_from_slices(&key[16..], &iv).unwrap();
    let text = value.to_string();
    let mut buffer = vec![0; text.len() + 16];
    buffer[..text.len()].copy_from_slice(text.as_bytes());
    let message = cipher.encrypt_padded::<Pkcs7>(&mut buffer, text.len()).unwrap();
    let mut token = [&[0x80][..], &[0; 8], &iv, message].concat();
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key[..16]), &token);
    token.extend_from_slice(signature.as_ref());
    BASE64_URL_SAFE.encode(token).into_bytes()
}

/// A start, with what the Outpost keeps of it.
pub struct Start {
    pub name: &'static str,
    pub start_id: &'static str,
    pub hub: &'static str,
    /// What KubeSpawner's state says; `None` where it says nothing.
    pub pod: Option<&'static str>,
    pub state_stored: bool,
    pub stop_pending: bool,
    pub flavor: Option<&'static str>,
    pub end_date: &'static str,
    pub key: &'static str,
}

impl Start {
    pub fn new(name: &'static str, start_id: &'static str, pod: &'static str) -> Self {
        Self {
            name,
            start_id,
            hub: "hub1",
            pod: Some(pod),
            state_stored: true,
            stop_pending: false,
            flavor: None,
            end_date: "9999-12-31 23:59:59.999999",
            key: KEY,
        }
    }
}

pub fn canary(start: &Start) -> String {
    format!("canary-{}", start.start_id)
}

/// The tables as the Outpost made them, with these starts.
pub fn database(app: &TestApp, starts: &[Start]) -> PathBuf {
    let path = app.path("outpost.sqlite3");
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection.batch_execute(include_str!("outpost.sqlite.sql")).unwrap();
    connection.batch_execute("DELETE FROM service").unwrap();
    for start in starts {
        let env = json!({
            "JUPYTERHUB_USER": "alice", "JUPYTERHUB_USER_ID": "7", "JUPYTERHUB_API_TOKEN": canary(start), "NUMBER": 5,
        });
        let options = json!({ "profile": "p", "secret": canary(start) });
        let body = fernet(start.key, &json!({ "env": env, "misc": { "port": 8888 }, "user_options": options }));
        let state = match start.pod {
            Some(pod) => json!({"kubespawner_version": "7.0.0", "pod_name": pod, "namespace": app.cluster.namespace}),
            None => json!({}),
        };
        sql_query(
            "INSERT INTO service (name, start_id, jupyterhub_username, last_update, start_date, end_date, state_stored, \
             start_pending, stop_pending, body, state, start_response, jupyterhub_user_id, flavor) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 7, ?)",
        )
        .bind::<sql_types::Text, _>(start.name)
        .bind::<sql_types::Text, _>(start.start_id)
        .bind::<sql_types::Text, _>(start.hub)
        .bind::<sql_types::Text, _>(START_DATE)
        .bind::<sql_types::Text, _>(START_DATE)
        .bind::<sql_types::Text, _>(start.end_date)
        .bind::<sql_types::Bool, _>(start.state_stored)
        .bind::<sql_types::Bool, _>(!start.state_stored)
        .bind::<sql_types::Bool, _>(start.stop_pending)
        .bind::<sql_types::Binary, _>(body)
        .bind::<sql_types::Binary, _>(fernet(start.key, &state))
        .bind::<sql_types::Binary, _>(fernet(start.key, &json!({ "service": ADDRESS })))
        .bind::<sql_types::Nullable<sql_types::Text>, _>(start.flavor)
        .execute(&mut connection)
        .unwrap();
    }
    path
}

/// What KubeSpawner makes for a server: a bare pod, and a Service and the Secret of its certificates that belong to it.
pub async fn put_server(app: &TestApp, server: &str, pod: &str) {
    put_pod(app, pod, json!({"hub.jupyter.org/username": "alice", "hub.jupyter.org/servername": server})).await;
    let there = app.cluster.get("Pod", pod).await.unwrap();
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": there["metadata"]["uid"],
        "blockOwnerDeletion": true, "controller": false});
    let metadata = json!({"name": pod, "namespace": app.cluster.namespace, "ownerReferences": [owner]});
    let ports = json!([{"port": 8888, "targetPort": 8888, "name": "http"}]);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"ports": ports, "selector": {"hub.jupyter.org/servername": "x"}}});
    app.cluster.create("Service", service).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"ssl.key": "K"}});
    app.cluster.create("Secret", secret).await;
    app.cluster.pod_in_phase(pod, "Running").await;
}

pub async fn put_pod(app: &TestApp, pod: &str, annotations: Value) {
    let metadata = json!({
        "name": pod, "namespace": app.cluster.namespace, "annotations": annotations,
        "labels": {"app.kubernetes.io/managed-by": "kubespawner", "component": "singleuser-server"},
    });
    let container = json!({"name": "notebook", "image": "x/run:1", "imagePullPolicy": "IfNotPresent"});
    let spec = json!({"restartPolicy": "OnFailure", "containers": [container]});
    app.cluster.create("Pod", json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})).await;
}

pub async fn import(app: &TestApp, more: &[&str], variables: &[(&str, &str)]) -> Ended {
    let from = app.path("outpost.sqlite3").display().to_string();
    k8smgr_with(app, &[&["import", "--from", &from], more].concat(), variables).await
}
