//! The database is lost or old: the records come back from the cluster.

use serde_json::{Value, json};

use crate::commands::{k8smgr, lose_database, stop};
use crate::reference::{import, new_installation, put_in_place};
use crate::support::app::{JUPYTERHUB, OTHERHUB, TestApp, start_body};
use crate::support::folders::describe;
use crate::support::json::Json;
use crate::support::wait::eventually;

const RUN: &str = "JupyterLab/Run";

/// The whole answer of a poll that tells no details, once the cluster was seen.
async fn seen(app: &TestApp, user: &str, name: &str) -> String {
    eventually(&format!("{name} is seen"), async || {
        let answer = app.get(user, name).await;
        assert_eq!((answer.status, answer.json().member("running")), (200, &Json::Bool(true)), "{}", answer.body);
        answer.json().get("details").is_none().then_some(answer.body)
    })
    .await
}

/// As an operator does who has only the cluster left. Users have no passwords there, so they are made first.
async fn rebuild_from_nothing(app: &mut TestApp) -> String {
    stop(app).await;
    lose_database(app);
    let text = k8smgr(app, &["rebuild"]).await.succeeded();
    // The passwords of the test's users are in the environment of the service, which made them at its start.
    for user in [JUPYTERHUB, OTHERHUB] {
        let (name, password) = user.split_once(':').unwrap();
        let hash = k8smgr::auth::hash_password(password.into()).await.unwrap();
        let store = k8smgr::store::Store::connect(&app.settings().database_url).await.unwrap();
        store.set_password(name, &hash).await.unwrap();
    }
    app.start_process().await;
    text
}

#[tokio::test]
async fn services_are_polled_listed_updated_and_stopped_after_the_database_was_lost() {
    let mut app = TestApp::start().await;
    let mut options = start_body("JupyterLab/Slow", "s2");
    options["user_options"] =
        json!({"service": "JupyterLab/Slow", "z": [1.0, null], "a": {"ü": 12345678901234567890_u64}});
    let mut started = vec![app.start_service(JUPYTERHUB, "My Lab", "s1", RUN).await];
    started.push(app.post(JUPYTERHUB, "slow", &options).await);
    started.push(app.start_service(OTHERHUB, "lab", "s3", RUN).await);
    started.push(app.start_service(JUPYTERHUB, "crash", "s4", "JupyterLab/Crash").await);
    for answer in &started {
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    let lists = [app.list(JUPYTERHUB).await.body, app.list(OTHERHUB).await.body];
    // The new process finds out that `crash` is over, and takes its workload away.
    let others = async |app: &TestApp| {
        let mut all = app.cluster.snapshot().await;
        all.retain(|it| !it["metadata"].to_string().contains("crash"));
        all
    };
    let before = others(&app).await;

    let text = rebuild_from_nothing(&mut app).await;
    assert!(text.contains("\n6 taken, 0 there already, 0 not taken\n"), "{text}");
    assert!(text.contains("without a password: set one with `k8smgr user passwd jupyterhub`"), "{text}");
    assert_eq!(others(&app).await, before, "the cluster is only read");
    assert_eq!([app.list(JUPYTERHUB).await.body, app.list(OTHERHUB).await.body], lists);
    seen(&app, JUPYTERHUB, "My%20Lab").await;
    seen(&app, JUPYTERHUB, "slow").await;
    seen(&app, OTHERHUB, "lab").await;
    let explained = eventually("crash says running: false", async || {
        let answer = app.get(JUPYTERHUB, "crash").await;
        (answer.json().member("running") == &Json::Bool(false)).then_some(answer)
    })
    .await;
    assert_eq!(explained.json().member("details").member("error").text(), "Service status is Failed");
    let updated = app.put(OTHERHUB, "lab").await;
    assert_eq!(updated.status, 200, "{}", updated.body);

    // What the update made is known after another loss, too.
    let text = rebuild_from_nothing(&mut app).await;
    assert!(text.contains("otherhub lab (s3)"), "{text}");
    for (user, name) in [(JUPYTERHUB, "My%20Lab"), (JUPYTERHUB, "slow"), (OTHERHUB, "lab"), (JUPYTERHUB, "crash")] {
        app.delete(user, name).await.assert(204, "");
    }
    app.cluster.nothing_of("").await;
    assert!(app.names_in("services").is_empty());
    app.end().await;
}

#[tokio::test]
async fn adopted_services_are_rebuilt_as_well() {
    let mut app = new_installation().await;
    put_in_place(&app).await;
    import(&app, &[]).await.succeeded();
    rebuild_from_nothing(&mut app).await;
    for name in ["imp01", "imp02", "imp03"] {
        seen(&app, JUPYTERHUB, name).await;
    }
    // The fourth crashes and may have ended meanwhile.
    let adopted = app.app().store.adopted_services().await.unwrap();
    let names: Vec<_> = adopted.iter().map(|it| it.server_name.as_str()).collect();
    assert!(["imp01", "imp02", "imp03"].iter().all(|it| names.contains(it)), "{names:?}");
    for (user, name) in [(JUPYTERHUB, "imp01"), (JUPYTERHUB, "imp02"), (JUPYTERHUB, "imp03"), (OTHERHUB, "imp04")] {
        app.delete(user, name).await.assert(204, "");
    }
    app.cluster.nothing_of("").await;
    app.end().await;
}

#[tokio::test]
async fn after_a_restore_what_is_missing_is_added_and_nothing_else_changes() {
    let mut app = TestApp::start().await;
    for (name, start_id) in [("old", "s1"), ("again", "s2")] {
        assert_eq!(app.start_service(JUPYTERHUB, name, start_id, RUN).await.status, 201);
    }
    let backup = app.path("backup.sqlite3").display().to_string();
    k8smgr(&app, &["backup", &backup]).await.succeeded();
    for (name, start_id) in [("again", "s3"), ("new", "s4")] {
        assert_eq!(app.start_service(JUPYTERHUB, name, start_id, RUN).await.status, 201);
    }
    let listed = app.list(JUPYTERHUB).await.body;
    stop(&mut app).await;
    let restored = k8smgr(&app, &["restore", &backup]).await.succeeded();
    assert!(restored.contains("The database before it is kept as"), "{restored}");
    let text = k8smgr(&app, &["rebuild"]).await.succeeded();
    assert!(text.contains("\n2 taken, 2 there already, 0 not taken\n"), "{text}");
    app.start_process().await;
    assert_eq!(app.list(JUPYTERHUB).await.body, listed);
    // The newest start of a name wins, also after this.
    let polled = seen(&app, JUPYTERHUB, "again").await;
    assert!(polled.contains(r#""start_id":"s3""#), "{polled}");
    app.cluster.nothing_of("again-s2").await;
    for name in ["old", "again", "new"] {
        app.delete(JUPYTERHUB, name).await.assert(204, "");
    }
    app.cluster.nothing_of("").await;
    app.end().await;
}

#[tokio::test]
async fn an_older_start_that_only_the_cluster_knows_is_stopped() {
    let mut app = TestApp::start().await;
    for (name, start_id) in [("lab", "s1"), ("lab", "s2")] {
        assert_eq!(app.start_service(JUPYTERHUB, name, start_id, RUN).await.status, 201);
    }
    let sequence = |list: &[k8smgr::domain::ServiceRecord]| list[0].sequence;
    let records = app.app().store.services_of(&k8smgr::domain::Credential::parse("jupyterhub").unwrap()).await.unwrap();
    app.app().store.remove_service(sequence(&records)).await.unwrap();
    stop(&mut app).await;
    let text = k8smgr(&app, &["rebuild"]).await.succeeded();
    assert!(text.contains("it is stopped: there is a later start"), "{text}");
    app.start_process().await;
    app.cluster.nothing_of("lab-s1").await;
    assert!(seen(&app, JUPYTERHUB, "lab").await.contains(r#""start_id":"s2""#));
    app.end().await;
}

#[tokio::test]
async fn which_installation_is_meant_must_be_clear() {
    let mut app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "one", "s1", RUN).await.status, 201);
    let first = app.app().store.installation_id().await.unwrap();
    stop(&mut app).await;
    std::fs::rename(app.path("k8smgr.sqlite3"), app.path("first.sqlite3")).unwrap();
    lose_what_is_left(&app);
    app.start_process().await;
    assert_eq!(app.start_service(JUPYTERHUB, "two", "s2", RUN).await.status, 201);
    let second = app.app().store.installation_id().await.unwrap();
    stop(&mut app).await;

    // This database has services of its own.
    let (_, error) = k8smgr(&app, &["rebuild", "--installation", &first]).await.failed();
    let wanted =
        format!("this database is of the installation `{second}` and has services; it cannot become that of `{first}`");
    assert!(error.contains(&wanted), "{error}");
    let own = k8smgr(&app, &["rebuild"]).await.succeeded();
    assert!(
        own.contains(&format!("1 there already, 0 not taken\nThis database is of the installation {second}")),
        "{own}"
    );

    lose_database(&app);
    let (_, error) = k8smgr(&app, &["rebuild"]).await.failed();
    assert!(error.contains("there are several installations in the namespace"), "{error}");
    let (_, error) = k8smgr(&app, &["rebuild", "--installation", "x"]).await.failed();
    assert!(error.contains("there is nothing of the installation `x` in the namespace"), "{error}");
    let text = k8smgr(&app, &["rebuild", "--installation", &first]).await.succeeded();
    assert!(text.contains("jupyterhub one (s1)") && !text.contains("jupyterhub two"), "{text}");
    let again = k8smgr(&app, &["rebuild"]).await.succeeded();
    assert!(again.contains(&format!("This database is of the installation {first}")), "{again}");
    app.end().await;
}

fn lose_what_is_left(app: &TestApp) {
    for part in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(app.path(format!("k8smgr.sqlite3{part}")));
    }
}

#[tokio::test]
async fn an_owner_that_somebody_changed_is_told_and_the_others_are_rebuilt() {
    let mut app = TestApp::start().await;
    for name in ["good", "bad"] {
        assert_eq!(app.start_service(JUPYTERHUB, name, "s1", RUN).await.status, 201);
    }
    let patch = kube::api::Patch::Merge(json!({"metadata": {"annotations": {"k8smgr.io/server-name": "other"}}}));
    app.cluster.api("Secret").patch("secret-bad-s1-k8smgr", &Default::default(), &patch).await.unwrap();
    stop(&mut app).await;
    lose_database(&app);
    let (table, _) = k8smgr(&app, &["rebuild"]).await.failed();
    assert!(table.contains("secret-bad-s1-k8smgr"), "{table}");
    assert!(table.contains("somebody changed them") && table.contains("jupyterhub good (s1)"), "{table}");
    app.end().await;
}

#[tokio::test]
async fn what_rebuild_needs_stands_on_the_owner_alone_and_holds_no_secret() {
    let app = TestApp::start().await;
    let secret_update =
        "{apiVersion: v1, kind: Secret, metadata: {name: extra-<id>}, stringData: {key: marker-update}}\n";
    let service = std::fs::read_to_string(app.path("descriptions/jupyterhub/JupyterLab/Run/service.yaml")).unwrap();
    let files = [("service.yaml", service.as_str()), ("update.yaml", secret_update)];
    describe(&app.path("descriptions"), "jupyterhub/Mine", &files);
    let mut body = start_body("Mine", "s1");
    body["env"]["JUPYTERHUB_API_TOKEN"] = json!("marker-token");
    body["certs"] = json!({"keyfile": "marker-key", "certfile": "marker-cert", "cafile": "marker-ca"});
    body["auth_state"] = json!({"access_token": "marker-state"});
    body["user_options"]["option"] = json!("of-the-user");
    let answer = app.post(JUPYTERHUB, "lab", &body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let mut owners = 0;
    for object in app.cluster.objects().await {
        let metadata = object["metadata"].to_string();
        assert!(!metadata.contains("marker-"), "{metadata}");
        let is_owner = object["metadata"]["name"] == "secret-lab-s1-k8smgr";
        assert_eq!(metadata.contains("of-the-user"), is_owner, "{metadata}");
        owners += usize::from(is_owner);
    }
    assert_eq!(owners, 1);
    let annotations: Value =
        app.cluster.get("Secret", "secret-lab-s1-k8smgr").await.unwrap()["metadata"]["annotations"].take();
    assert_eq!(annotations.get("k8smgr.io/update-manifest"), None);
    app.end().await;
}
