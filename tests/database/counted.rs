//! What a poll of a running service asks: nobody.

use std::sync::atomic::{AtomicU64, Ordering};

use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use k8smgr::domain::{
    AppliedObject, Credential, Json as StoredJson, Mark, NewService, ObjectId, ServerName, ServiceName, StartId, mark,
};
use k8smgr::store::{FoundService, Inserted};
use serde_json::json;

use crate::support::app::{JUPYTERHUB, TOKEN, TestApp};
use crate::support::turns::alone;
use crate::support::wait::eventually;
use crate::support::wire::Request;
use crate::{RUN, running};

const SERVICES: usize = 1_000;

/// Queries about one name: what a poll might ask. What runs in the background asks otherwise.
static QUERIES: AtomicU64 = AtomicU64::new(0);
/// Queries about one login, which is remembered for a while.
static LOGINS: AtomicU64 = AtomicU64::new(0);

fn count_queries() {
    set_default_instrumentation(|| {
        Some(Box::new(|event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                let text = query.to_string();
                if text.contains("`server_name` = ?") {
                    QUERIES.fetch_add(1, Ordering::SeqCst);
                } else if ["`token_hash` = ?", "`users`.`name` = ?"].iter().any(|it| text.contains(it)) {
                    LOGINS.fetch_add(1, Ordering::SeqCst);
                }
            }
        }))
    })
    .unwrap();
}

/// A service whose pod runs, without the work of a start.
async fn add_service(app: &TestApp, installation: &str, name: &str) {
    let (server_name, start_id) = (ServerName::parse(name).unwrap(), StartId::parse("s1").unwrap());
    let credential = Credential::parse("jupyterhub").unwrap();
    let start_date = Timestamp::now();
    let mark = Mark::new(installation, &credential, &server_name, &start_id, start_date);
    let pod = AppliedObject {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: Some(app.cluster.namespace.clone()),
        name: format!("pod-{name}"),
        uid: None,
        is_workload: true,
        is_kept: false,
        address: None,
    };
    let new = NewService {
        credential,
        object_id: ObjectId::new(&server_name, &start_id),
        server_name,
        start_id,
        service: ServiceName::parse(RUN).unwrap(),
        user_options: StoredJson::parse(br#"{"service": "JupyterLab/Run"}"#).unwrap(),
        jhub_user_id: 7,
        start_date,
        namespace: app.cluster.namespace.clone(),
        objects: vec![pod.clone()],
        update_manifest: None,
        flavor: None,
        ends_at: None,
    };
    let labels: serde_json::Map<_, _> =
        mark.labels().into_iter().map(|(label, value)| (label.to_owned(), json!(value))).collect();
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod.name, "labels": labels, "annotations": {mark::MAIN_CONTAINER_ANNOTATION: "main"}},
        "spec": {"containers": [{"name": "main", "image": "x/run:1"}]},
    });
    object["metadata"]["labels"][mark::ROLE_LABEL] = json!(mark::MAIN_ROLE);
    app.cluster.create("Pod", object).await;
    // Running from the first: recovery rolls back what is starting and was begun by nobody.
    let found = FoundService { new, is_stopping: false, is_adopted: false };
    let inserted = app.app().store.insert_found_service(&found).await.unwrap();
    assert!(matches!(inserted, Inserted::New(_)), "{name} is new");
}

async fn poll_all(app: &TestApp) {
    let polls = stream::iter(0..SERVICES).map(|number| async move {
        let request = Request::get(&format!("/api/services/lab{number}/"));
        let by_token = request.clone().header("Authorization", &format!("token {TOKEN}"));
        let answer = match number % 2 {
            0 => app.send(&by_token).await,
            _ => app.send_as(JUPYTERHUB, request).await,
        };
        assert!(running(&answer), "{}", answer.body);
        assert!(answer.body.ends_with(r#","running":true}"#), "{}", answer.body);
    });
    polls.buffer_unordered(32).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_asks_neither_the_cluster_nor_the_database() {
    let _alone = alone();
    count_queries();
    let app = TestApp::start().await;
    let Some(_) = app.cluster.calls() else { return app.end().await };
    let installation = app.app().store.installation_id().await.unwrap();
    let names: Vec<_> = (0..SERVICES).map(|number| format!("lab{number}")).collect();
    let adding = stream::iter(&names).map(|name| add_service(&app, &installation, name));
    adding.buffer_unordered(16).collect::<Vec<()>>().await;
    eventually("all pods were seen to run", async || {
        let before = (app.cluster.calls(), QUERIES.load(Ordering::SeqCst));
        poll_all(&app).await;
        (before == (app.cluster.calls(), QUERIES.load(Ordering::SeqCst))).then_some(())
    })
    .await;

    let before = (app.cluster.calls(), QUERIES.load(Ordering::SeqCst));
    let logins = LOGINS.load(Ordering::SeqCst);
    for _ in 0..3 {
        poll_all(&app).await;
    }
    assert_eq!((app.cluster.calls(), QUERIES.load(Ordering::SeqCst)), before);
    // A login that was forgotten is looked up once, whoever polls.
    let looked_up = LOGINS.load(Ordering::SeqCst) - logins;
    assert!(looked_up < SERVICES as u64 / 2, "{looked_up} look-ups of logins");
    // Both would have been counted.
    app.get(JUPYTERHUB, "nobody").await.assert(404, r#"{"detail":"Not found."}"#);
    assert_eq!(QUERIES.load(Ordering::SeqCst), before.1 + 1);
    app.cluster.delete("Pod", "pod-lab0").await;
    crate::ends(&app, "lab0").await;
    assert!(app.cluster.calls() > before.0.map(|calls| calls + 1));
    app.end().await;
}
