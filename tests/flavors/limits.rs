//! No race passes a limit, and a refused start leaves nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use k8smgr::app::App;

use crate::support::app::basic;
use crate::support::postgres_server::PostgresServer;
use crate::*;

const FIFTY: &str = "flavors:\n  small: {max: 50}\n  other: {}\n";
const STARTS: usize = 200;
/// For all of them together.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts as many at once, at these processes by turns, and gives how many were taken.
async fn start_at_once(addresses: &[SocketAddr]) -> usize {
    let starts = (0..STARTS).map(|number| {
        let address = addresses[number % addresses.len()];
        let request = post(&body(&format!("lab{number}"), Some("small"), number as i64));
        let request = request.header("execution-type", "async").header("Authorization", &basic(HUB1));
        tokio::spawn(async move { (number, request.send_within(PATIENCE, address).await) })
    });
    let starts: Vec<_> = starts.collect();
    let mut outcomes = BTreeMap::new();
    for start in starts {
        let (number, answer) = start.await.unwrap();
        if answer.status == 202 {
            answer.assert(202, r#"{"service":""}"#);
        } else {
            let refused = format!("lab{number} - Start with small for hub1 not allowed. Maximum (50) already reached.");
            assert_eq!(refusal(&answer), refused);
        }
        *outcomes.entry(answer.status).or_insert(0) += 1;
    }
    outcomes.get(&202).copied().unwrap_or_default()
}

/// All rows, homes and objects are of those that were taken, and these run.
async fn only_fifty_are_there(app: &TestApp) {
    let rows = app.app().store.services_after(i64::MIN, 1000).await.unwrap().0;
    assert_eq!(rows.len(), 50);
    eventually("the fifty run", async || {
        let pods = app.cluster.pods("pod-").await;
        (pods.len() == 50).then_some(())
    })
    .await;
    let objects = app.cluster.names().await;
    let ids: Vec<_> = rows.iter().map(|it| it.object_id.as_str()).collect();
    let strangers: Vec<_> =
        objects.iter().filter(|name| name.contains("lab") && !ids.iter().any(|id| name.contains(id))).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    assert_eq!(app.names_in("services").len(), 50);
    let figures = ask(app, HUB1, "/flavors").await;
    figures.assert(200, r#"{"small":{"max":50,"current":50},"other":{"current":0}}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_starts_at_once_50_run_on_sqlite() {
    let app = start(hubs(), Some(FIFTY)).await;
    assert_eq!(start_at_once(&[app.address()]).await, 50);
    only_fifty_are_there(&app).await;
    // What is stopped makes room for one more.
    let rows = app.app().store.services_after(i64::MIN, 1000).await.unwrap().0;
    let name = rows[0].server_name.outpost_name().unwrap();
    app.send_as(HUB1, Request::new("DELETE", &format!("/services/{name}/s"))).await.assert(200, r#"{"logs":[]}"#);
    assert_eq!(start_server(&app, HUB1, "next", "small", 1).await.status, 200);
    let refused = start_server(&app, HUB1, "one-more", "small", 1).await;
    assert!(refusal(&refused).contains("Maximum (50) already reached."));
    // The same start again is answered from its record, though all is full.
    assert_eq!(start_server(&app, HUB1, "next", "small", 1).await.status, 200);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_starts_at_once_50_run_on_three_processes_with_postgresql() {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    let builder = hubs().database(&url).edit(|config: &mut Value| {
        config["leader_election"] = json!({"lease_seconds": 2});
        config["http"]["shutdown_delay_seconds"] = json!(0);
    });
    let app = start(builder, Some(FIFTY)).await;
    let others = [App::start(app.settings()).await.unwrap(), App::start(app.settings()).await.unwrap()];
    let addresses = [app.address(), others[0].address(), others[1].address()];
    assert_eq!(start_at_once(&addresses).await, 50);
    only_fifty_are_there(&app).await;
    for other in others {
        other.shut_down().await.unwrap();
    }
    app.end().await;
}

#[tokio::test]
async fn a_user_may_have_so_many_of_all_flavors() {
    let flavors = "flavors: {a: {maxPerUser: 2}, b: {}}";
    let app = start(hubs().edit(|config| config["global_max_per_user"] = json!(2)), Some(flavors)).await;
    for name in ["m1", "m2"] {
        assert_eq!(start_server(&app, HUB1, name, "a", 7).await.status, 200);
    }
    let refused = refusal(&start_server(&app, HUB1, "m3", "a", 7).await);
    assert_eq!(refused, "m3 - Start with flavor a not allowed. Each user may only start 2 of a");
    let refused = refusal(&start_server(&app, HUB1, "m3", "b", 7).await);
    assert_eq!(refused, "m3 - User with user id 7 of hub1 has reached the maximum limit of services (2)");
    // Another user, and a user of another hub with the same number.
    assert_eq!(start_server(&app, HUB1, "m3", "b", 8).await.status, 200);
    assert_eq!(start_server(&app, HUB2, "m3", "b", 7).await.status, 200);
    // Without flavors the limit does not apply.
    stop_all(&app).await;
    assert!(set_flavors(&app, ""));
    for name in ["m1", "m2", "m3"] {
        assert_eq!(start_server(&app, HUB1, name, "a", 7).await.status, 200);
    }
    stop_all(&app).await;
    app.end().await;
}

#[tokio::test]
async fn templates_see_the_flavor_and_its_resources() {
    let app = start(hubs(), Some("flavors: {small: {resources: {mem_limit: 2G}}, plain: {}}")).await;
    for (flavor, memory) in [("small", "2G"), ("plain", "1G")] {
        assert_eq!(start_server(&app, HUB1, flavor, flavor, 7).await.status, 200);
        let pod = app.cluster.pods(&format!("pod-{flavor}")).await.remove(0);
        let pod = app.cluster.get("Pod", &pod).await.unwrap();
        assert_eq!(pod["metadata"]["annotations"]["flavor"], flavor);
        assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"]["memory"], memory);
    }
    stop_all(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_hub_that_says_who_its_users_are_is_refused_where_it_does_not() {
    let flavors = "flavors: {a: {}}\nusers: {banned: {authentication: {name: mallory}, forbidden: true}}";
    let app = start(hubs(), Some(flavors)).await;
    assert_eq!(start_server(&app, HUB1, "lab", "a", 7).await.status, 200);
    app.edit_config(|config| config["outpost"]["hub1"]["sends_authentication"] = json!(true));
    app.app().reloader.reload();
    let refused = refusal(&start_server(&app, HUB1, "lab2", "a", 7).await);
    assert_eq!(refused, "lab2 - Start with flavor a not allowed. Allowed values for user: []");
    let mut with = body("lab2", Some("a"), 7);
    for (user, status) in [("mallory", 419), ("ann", 200)] {
        with["authentication"] = json!({"name": user, "access_token": "canary"});
        assert_eq!(app.send_as(HUB1, post(&with)).await.status, status, "{user}");
    }
    with["authentication"] = json!("ann");
    assert_eq!(app.send_as(HUB1, post(&with)).await.status, 422);
    stop_all(&app).await;
    app.end().await;
}
