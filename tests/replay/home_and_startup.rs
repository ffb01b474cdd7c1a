//! What a first start makes of homes and users, and what a later one keeps: `userhome.*`, `startup.users*`.

use jiff::Timestamp;
use k8smgr::auth::hash_password;
use k8smgr::domain::{Credential, Json as StoredJson, NewService, ObjectId, ServerName, ServiceName, StartId};
use k8smgr::store::Inserted;
use secrecy::SecretString;

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::records::Claims;

pub const CLAIMS: Claims = &["userhome.jupyterhub", "startup.users", "startup.users.oldpw", "startup.rows.kept"];

#[tokio::test]
async fn users_homes_and_services_survive_a_restart() {
    let mut app = TestApp::start().await;
    let records = scenario("home_and_startup");

    let started = app.start_service(JUPYTERHUB, "slow", "s0000001", "JupyterLab/Slow").await;
    assert_eq!(started.status, 201, "{}", started.body);
    app.assert_folder(records.record("userhome.jupyterhub"), "disk");
    app.delete(JUPYTERHUB, "slow").await.assert(204, "");

    users(&app, records.record("startup.users").get("users").unwrap().items()).await;

    // A password that was changed stays, whatever the environment says at the next start.
    let hash = hash_password(SecretString::from("another")).await.unwrap();
    app.app().store.set_password("jupyterhub", &hash).await.unwrap();
    keep(&app).await;
    app.restart().await;
    app.same(records.record("startup.users.oldpw")).await;
    assert_eq!(app.list("jupyterhub:another").await.status, 200);
    app.same(records.record("startup.rows.kept")).await;
    drop(records);
    app.end().await;
}

/// Name, superuser or not, active or not, groups. Staff, mail address and kind of hash are the reference's own.
async fn users(app: &TestApp, recorded: &[crate::support::json::Json]) {
    let recorded: Vec<_> = recorded
        .iter()
        .map(|user| {
            let column = |index: usize| user.items()[index].to_value();
            let groups = column(6).as_str().unwrap_or_default().to_owned();
            (column(0).as_str().unwrap().to_owned(), column(2) == 1, column(3) == 1, groups)
        })
        .collect();
    let mut users: Vec<_> = app
        .app()
        .store
        .users()
        .await
        .unwrap()
        .into_iter()
        .map(|user| {
            let mut groups: Vec<_> = user.groups.iter().map(|it| it.as_str()).collect();
            groups.sort_unstable();
            (user.name.as_str().to_owned(), user.is_superuser, user.is_active, groups.join(","))
        })
        .collect();
    let place = |name: &str| recorded.iter().position(|it| it.0 == name);
    users.sort_by_key(|it| place(&it.0));
    assert_eq!(users, recorded);
}

/// A service of an earlier process, as the record has it.
async fn keep(app: &TestApp) {
    let (server_name, start_id) = (ServerName::parse("kept").unwrap(), StartId::parse("k0000001").unwrap());
    let new = NewService {
        credential: Credential::parse("webonly").unwrap(),
        object_id: ObjectId::new(&server_name, &start_id),
        server_name,
        start_id,
        service: ServiceName::parse("x").unwrap(),
        user_options: StoredJson::parse(br#"{"service": "x"}"#).unwrap(),
        jhub_user_id: 1,
        start_date: "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap(),
        namespace: app.cluster.namespace.clone(),
        objects: Vec::new(),
        update_manifest: None,
        flavor: None,
        ends_at: None,
    };
    let store = &app.app().store;
    let Inserted::New(record) = store.insert_service(&new).await.unwrap() else { panic!("the name is free") };
    assert!(store.mark_running(record.sequence, &record.objects).await.unwrap());
}
