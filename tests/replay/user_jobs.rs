//! User jobs: `uj.*`, over a real sshd; the host that cannot be reached and the forward that fails by stand-ins.

use k8smgr::domain::{Credential, ForwardedPort, NewUserJob, UserJobState};
use serde_json::{Value, json};

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::records::{Claims, Record};
use crate::support::ssh_server::{SshServer, fake_ssh};
use crate::support::wire::Request;

pub const CLAIMS: Claims = &["uj.*", "startup.userjobs", "route.options.userjobs"];
const NOT_FOUND: &str = r#"{"detail":"Not found."}"#;

/// The recorded Service is ours but for the local port, which is any.
async fn assert_service(app: &TestApp, record: &Record, name: &str) {
    let recorded: Value = serde_json::from_str(&record.get("services").unwrap().to_text()).unwrap();
    let recorded = recorded.as_array().unwrap().iter().find(|it| it["metadata"]["name"] == name).unwrap();
    let any_port = |object: &Value| {
        let text = crate::support::cluster::comparable(object).to_string().replace("golden", &app.cluster.namespace);
        let mut object: Value = serde_json::from_str(&text).unwrap();
        assert!(object["spec"]["ports"][0]["targetPort"].as_u64().is_some_and(|it| it > 1023), "{object}");
        object["spec"]["ports"][0]["targetPort"] = json!("any");
        object
    };
    let ours = app.cluster.get("Service", name).await.unwrap();
    let mut recorded = any_port(recorded);
    let mut ours = any_port(&ours);
    for object in [&mut recorded, &mut ours] {
        crate::support::cluster::remove(object, &["apiVersion", "kind"]);
    }
    assert_eq!(ours, recorded, "{}", record.id);
}

fn post(service: &str) -> Request {
    Request::new("POST", "/api/userjobs/").json(&json!({
        "service": service, "ports": {"8080": "59998"}, "hostname": "login01", "target_node": "node0050",
    }))
}

async fn nothing_of(app: &TestApp, service: &str) {
    assert!(app.cluster.get("Service", service).await.is_none());
    assert!(!app.app().store.user_jobs().await.unwrap().iter().any(|it| it.service == service));
}

#[tokio::test(flavor = "multi_thread")]
async fn user_jobs_answer_as_recorded() {
    let ssh = SshServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    // Where these files are, a connection and a forward fail.
    let at = folder.path().display();
    let script = format!(
        "case \"$*\" in\n*-O\\ forward*) [ -e {at}/no-forward ] && {{ echo 'Port forwarding failed' >&2; exit 255; }};;\n\
         *ControlMaster=yes*) [ -e {at}/no-connection ] && {{ echo 'Connection refused' >&2; exit 255; }};;\nesac\nexec ssh \"$@\""
    );
    let program = fake_ssh(folder.path(), &script);
    let app = TestApp::builder()
        .variable("SSHCONFIGFILE", ssh.config_file().to_str().unwrap())
        .edit(move |config| {
            config["userjobs"] = json!({"bind_address": "127.0.0.1", "ssh_program": program.to_str().unwrap()});
        })
        .start()
        .await;
    let records = scenario("user_jobs");

    app.differs_with(records.record("uj.noslash"), 200, "[]").await;
    for id in ["uj.options", "route.options.userjobs"] {
        let allow = app.differs(records.record(id), 200).await.header("allow").map(str::to_owned);
        let item = "GET, DELETE, HEAD, OPTIONS";
        assert!(allow.as_deref() == Some(item) || allow.as_deref() == Some("GET, POST, HEAD, OPTIONS"), "{id}");
    }
    // Written as it was, or refused as today's rules for names are: nothing is made before a Service.
    let five = app.send(&records.record("uj.post.type.service.5").request()).await;
    assert!(matches!(five.status, 201 | 400), "{}", five.body);
    app.send_as(JUPYTERHUB, Request::new("DELETE", "/api/userjobs/5/")).await;
    for id in [
        "uj.post.list",
        "uj.post.type.ports.list",
        "uj.post.type.ports.null",
        "uj.post.ports.empty",
        "uj.post.ports.badkey",
        "uj.post.badname",
    ] {
        app.refused(records.record(id)).await;
    }
    let broken = app.differs(records.record("uj.post.json"), 400).await;
    assert!(broken.body.starts_with(r#"{"detail":"JSON parse error - "#), "{}", broken.body);
    let two = app.differs(records.record("uj.post.two"), 201).await;
    two.assert(201, r#"{"service":"uj9","hostname":"login01","target_node":"node0050"}"#);
    let ports = app.cluster.get("Service", "uj9").await.unwrap()["spec"]["ports"].clone();
    assert_eq!((&ports[0]["port"], &ports[1]["port"]), (&json!(8080), &json!(8081)));
    let delete = Request::new("DELETE", "/api/userjobs/uj9/");
    assert_eq!(app.send_as(JUPYTERHUB, delete).await.status, 204);

    app.same(records.record("uj.list.empty")).await;
    // The job `5` of the records, which lists hold from here on.
    let five = NewUserJob {
        credential: Credential::parse("jupyterhub").unwrap(),
        service: "5".to_owned(),
        hostname: "login01".to_owned(),
        target_node: "node0050".to_owned(),
        ports: vec![ForwardedPort { wanted: 8080, local: Some(52381), remote: 59998 }],
        state: UserJobState::Running,
        owner: None,
        token: String::new(),
    };
    app.app().store.insert_user_job(&five).await.unwrap().unwrap();
    let ok = records.record("uj.post.ok");
    app.same(ok).await;
    assert_service(&app, ok, "uj1").await;
    app.same(records.record("uj.get")).await;
    app.same(records.record("uj.list")).await;
    for id in ["uj.put", "uj.patch"] {
        app.same(records.record(id)).await;
    }
    let before = app.cluster.get("Service", "uj1").await;
    let twice = app.differs(records.record("uj.post.dup"), 400).await;
    twice.assert(400, r#"{"service":["user jobs model with this service already exists."]}"#);
    assert_eq!(app.cluster.get("Service", "uj1").await, before, "the first one is untouched");
    app.same(records.record("uj.delete")).await;
    nothing_of(&app, "uj1").await;
    app.same(records.record("uj.delete.twice")).await.assert(404, NOT_FOUND);

    let connect = records.record("uj.post.connect");
    app.same(connect).await;
    assert_service(&app, connect, "uj2").await;
    app.same(records.record("uj.delete2")).await;

    // Other jobs' connection is there already: it has to go for the next one to be made.
    app.app().store.remove_user_job(app.app().store.user_jobs().await.unwrap()[0].sequence).await.unwrap();
    std::fs::write(folder.path().join("no-connection"), "").unwrap();
    crate::support::wait::eventually("no connection is left", async || {
        let store = &app.app().store;
        let installation = store.installation_id().await.unwrap();
        crate::support::ssh_server::processes_with(&format!("/k8smgr-{installation}/")).is_empty().then_some(())
    })
    .await;
    let failed = app.differs(records.record("uj.post.connect.fails"), 500).await;
    assert!(failed.body.contains("Connection refused"), "{}", failed.body);
    nothing_of(&app, "uj3").await;
    std::fs::remove_file(folder.path().join("no-connection")).unwrap();
    std::fs::write(folder.path().join("no-forward"), "").unwrap();
    let failed = app.differs(records.record("uj.post.forward.fails"), 500).await;
    assert!(failed.body.contains("Port forwarding failed"), "{}", failed.body);
    nothing_of(&app, "uj4").await;
    std::fs::remove_file(folder.path().join("no-forward")).unwrap();

    let restart = records.record("uj.post.restart");
    app.same(restart).await;
    assert_service(&app, restart, "uj5").await;
    started_again(app, records.record("startup.userjobs"), records.record("uj.delete5")).await;

    // What is refused, and what is not there.
    let app = TestApp::start().await;
    for record in records.rest() {
        app.same(record).await;
    }
    assert_eq!(app.send_as(JUPYTERHUB, post("uj1")).await.status, 500);
    app.end().await;
}

/// The forwards are made again on the same port, where the reference made garbage.
async fn started_again(mut app: TestApp, _startup: &Record, delete: &Record) {
    let port = async |app: &TestApp| app.cluster.get("Service", "uj5").await.unwrap()["spec"]["ports"].clone();
    let before = port(&app).await;
    app.restart().await;
    let local = u16::try_from(before[0]["targetPort"].as_u64().unwrap()).unwrap();
    crate::support::wait::eventually("the forward is there again", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", local)).await.ok()
    })
    .await;
    assert_eq!(port(&app).await, before);
    app.same(delete).await;
    nothing_of(&app, "uj5").await;
    app.end().await;
}
