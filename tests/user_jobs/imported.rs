//! Jobs that were taken over from the Python K8s Manager work after the start.

use k8smgr::domain::{Credential, ForwardedPort, NewUserJob, UserJobState};
use k8smgr::store::Store;
use serde_json::json;

use crate::support::ports::ReservedPort;
use crate::support::ssh_server::{SshServer, echo_server};
use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_job_is_forwarded_on_its_port_and_its_service_becomes_ours() {
    let ssh = SshServer::start().await;
    let mut app = builder(&ssh.config_file()).prepare().await;
    let one = echo_server("one").await;
    let reserved = ReservedPort::take();
    let free = reserved.number();
    let store = Store::connect(&app.database_url()).await.unwrap();
    let imported = |service: &str, hostname: &str| NewUserJob {
        credential: Credential::parse("jupyterhub").unwrap(),
        service: service.to_owned(),
        hostname: hostname.to_owned(),
        target_node: "127.0.0.1".to_owned(),
        ports: vec![ForwardedPort { wanted: 8080, local: Some(free), remote: one }],
        state: UserJobState::Running,
        owner: None,
        token: String::new(),
    };
    // One of them leads to a host that the configuration does not name any more; the other's name is a stranger's.
    for job in [imported("uj1", "login01"), imported("uj2", "old"), imported("theirs", "login02")] {
        store.insert_user_job(&job).await.unwrap().unwrap();
    }
    drop(store);
    let service = |name: &str, labels: Value| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels},
            "spec": {"ports": [{"port": 8080, "targetPort": free}], "selector": {"name": "k8smgr"}}})
    };
    app.cluster.create("Service", service("uj1", json!({"userjobs_servername": "uj1"}))).await;
    app.cluster.create("Service", service("theirs", json!({"userjobs_servername": "another"}))).await;
    let stranger = app.cluster.get("Service", "theirs").await.unwrap();
    app.start_process().await;
    answers(free, "one: hello").await;
    assert_eq!(local_ports(&app, "uj1").await, [free]);
    let object = app.cluster.get("Service", "uj1").await.unwrap();
    assert!(object["metadata"]["labels"]["k8smgr.io/installation"].is_string());
    assert_eq!(get(&app, "uj2").await.status, 200, "it is kept");
    let told = eventually("the others are told", async || {
        let told = app.send(&Request::get("/readyz?verbose")).await.body;
        (told.contains("[!]user-jobs failed: ") && told.contains("2 do not work; the log says why")).then_some(told)
    })
    .await;
    assert!(told.contains("readyz check passed"), "{told}");
    for name in ["uj1", "uj2", "theirs"] {
        delete(&app, name).await.assert(204, "");
    }
    assert!(app.cluster.get("Service", "uj1").await.is_none());
    assert_eq!(app.cluster.get("Service", "theirs").await.unwrap(), stranger);
    assert!(app.app().store.user_jobs().await.unwrap().is_empty());
    app.end().await;
}
