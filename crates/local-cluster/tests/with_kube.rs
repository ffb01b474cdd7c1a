//! The kube client against the embedded cluster, as the service uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Config};
use local_cluster::{ClusterConfig, Fault, FaultRule, LocalCluster};
use serde_json::{Value, json};

async fn cluster() -> (LocalCluster, Client) {
    let cluster = LocalCluster::start(ClusterConfig::default()).await.unwrap();
    let config = Config::new(cluster.url().parse().unwrap());
    let client = Client::try_from(config).unwrap();
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "test"}})).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    (cluster, client)
}

fn deployment(name: &str, image: &str, replicas: u32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"name": name}},
            "template": {"metadata": {"labels": {"name": name}},
                "spec": {"containers": [{"name": "main", "image": image}]}}}
    }))
    .unwrap()
}

/// Waits until an object that matches is seen.
async fn until<K>(api: Api<K>, parameters: &ListParams, seen: impl Fn(&K) -> bool) -> K
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config {
        label_selector: parameters.label_selector.clone(),
        field_selector: parameters.field_selector.clone(),
        ..watcher::Config::default()
    };
    let mut changes = watcher(api, config).default_backoff().applied_objects().boxed();
    while let Some(object) = changes.try_next().await.unwrap() {
        if seen(&object) {
            return object;
        }
    }
    panic!("the watch ended");
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|it| it.phase.as_deref()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_becomes_a_running_pod_and_goes_with_it() {
    let (cluster, client) = cluster().await;
    let deployments = Api::<Deployment>::namespaced(client.clone(), "test");
    let pods = Api::<Pod>::namespaced(client.clone(), "test");
    deployments.create(&PostParams::default(), &deployment("web", "x/run:1", 1)).await.unwrap();
    let pod = until(pods.clone(), &ListParams::default().labels("name=web"), |it| phase(it) == "Running").await;
    let name = pod.metadata.name.unwrap();
    let parameters = LogParams { tail_lines: Some(2), ..LogParams::default() };
    let logs = pods.logs(&name, &parameters).await.unwrap();
    assert_eq!(logs, "19 line of main\n20 the <script>alert(1)</script> end\n");
    let ready = |it: &Deployment| it.status.as_ref().and_then(|status| status.available_replicas) == Some(1);
    until(deployments.clone(), &ListParams::default(), ready).await;
    let events = Api::<Event>::namespaced(client, "test");
    let selected = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let told: Vec<String> = events.list(&selected).await.unwrap().into_iter().filter_map(|it| it.reason).collect();
    assert_eq!(told, ["Scheduled", "Pulling", "Pulled", "Created", "Started"]);
    let mut watch = pods
        .watch(
            &WatchParams::default(),
            &pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap(),
        )
        .await
        .unwrap()
        .boxed();
    deployments.delete("web", &DeleteParams::background()).await.unwrap();
    loop {
        if let kube::api::WatchEvent::Deleted(gone) = watch.try_next().await.unwrap().unwrap() {
            assert_eq!(gone.metadata.name, Some(name));
            break;
        }
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_simulated_fate_has_its_state() {
    let (_cluster, client) = cluster().await;
    let pods = Api::<Pod>::namespaced(client, "test");
    for (image, expected) in [
        ("x/run:1", json!({"phase": "Running", "state": "running", "reason": null})),
        ("x/pullfail:1", json!({"phase": "Pending", "state": "waiting", "reason": "ErrImagePull"})),
        ("x/slow:1", json!({"phase": "Pending", "state": "waiting", "reason": "ContainerCreating"})),
        ("x/crash:1", json!({"phase": "Failed", "state": "terminated", "reason": "Error"})),
        ("x/done:1", json!({"phase": "Succeeded", "state": "terminated", "reason": "Completed"})),
    ] {
        let name = image.replace(['/', ':'], "-");
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name},
            "spec": {"containers": [{"name": "main", "image": image}]}}))
        .unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let seen = |pod: &Pod| {
            let pod = serde_json::to_value(pod).unwrap();
            let state = pod["status"]["containerStatuses"][0]["state"].as_object().cloned().unwrap_or_default();
            let (kind, inside) = state.iter().next().map(|(a, b)| (a.clone(), b.clone())).unwrap_or_default();
            json!({"phase": pod["status"]["phase"], "state": kind, "reason": inside["reason"]}) == expected
        };
        until(pods.clone(), &ListParams::default().fields(&format!("metadata.name={name}")), seen).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_meet_the_requests_they_name() {
    let (cluster, client) = cluster().await;
    let secrets = Api::<Secret>::namespaced(client.clone(), "test");
    let secret = |name: &str| -> Secret {
        serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {"a": "b"}})).unwrap()
    };
    let faults = cluster.faults();
    let refuse = Fault::Refuse { code: 500, reason: "InternalError".to_owned() };
    faults.add(FaultRule::new(refuse).verb("create").resource("secrets").name_contains("one").times(1));
    assert!(secrets.create(&PostParams::default(), &secret("one")).await.is_err());
    secrets.create(&PostParams::default(), &secret("one")).await.unwrap();
    faults.add(FaultRule::new(Fault::DropAfterEffect).verb("create").resource("secrets").times(1));
    assert!(secrets.create(&PostParams::default(), &secret("two")).await.is_err());
    assert!(secrets.get("two").await.is_ok());
    faults.add(FaultRule::new(Fault::DropBeforeEffect).verb("create").resource("secrets").times(1));
    assert!(secrets.create(&PostParams::default(), &secret("three")).await.is_err());
    assert!(secrets.get_opt("three").await.unwrap().is_none());
    faults.add(FaultRule::new(Fault::EmptyList).verb("list").times(1));
    assert!(secrets.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(secrets.list(&ListParams::default()).await.unwrap().items.len(), 2);
    faults.add(FaultRule::new(Fault::StaleList).verb("list").times(3));
    assert_eq!(secrets.list(&ListParams::default()).await.unwrap().items.len(), 2);
    secrets.create(&PostParams::default(), &secret("four")).await.unwrap();
    assert_eq!(secrets.list(&ListParams::default()).await.unwrap().items.len(), 2);
    faults.clear();
    faults.add(FaultRule::new(Fault::TooManyRequests { retry_after_seconds: 0 }).resource("secrets").times(1));
    // The client waits as it is told and asks again.
    secrets.get("one").await.unwrap();
    faults.add(FaultRule::new(Fault::Gone).verb("watch").times(1));
    let mut watch = secrets.watch(&WatchParams::default(), "1").await.unwrap().boxed();
    let kube::api::WatchEvent::Error(gone) = watch.try_next().await.unwrap().unwrap() else { panic!("not gone") };
    assert_eq!(gone.code, 410);
    faults.add(FaultRule::new(Fault::Delay(std::time::Duration::from_millis(1))).times(1));
    assert_eq!(faults.met(), 8);
    assert_eq!(secrets.list(&ListParams::default()).await.unwrap().items.len(), 3);
    faults.down(true);
    assert!(secrets.get("one").await.is_err());
    faults.down(false);
    let back = async { while secrets.get("one").await.is_err() {} };
    back.await;
    let creates = cluster.requests().into_iter().find(|it| it.0 == "create" && it.1 == "secrets").unwrap();
    assert_eq!(creates.2, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_lost_its_owner_is_collected() {
    let (_cluster, client) = cluster().await;
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "test");
    let map = |name: &str, owner: Option<Value>| -> ConfigMap {
        let mut object = json!({"metadata": {"name": name}});
        if let Some(owner) = owner {
            object["metadata"]["ownerReferences"] = json!([owner]);
        }
        serde_json::from_value(object).unwrap()
    };
    let owner = maps.create(&PostParams::default(), &map("owner", None)).await.unwrap();
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid});
    maps.create(&PostParams::default(), &map("owned", Some(reference.clone()))).await.unwrap();
    let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut watch = maps.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    maps.delete("owner", &DeleteParams::background()).await.unwrap();
    // Made when its owner is gone already: collected as well.
    maps.create(&PostParams::default(), &map("late", Some(reference))).await.unwrap();
    let mut gone = Vec::new();
    while gone.len() < 3 {
        if let kube::api::WatchEvent::Deleted(object) = watch.try_next().await.unwrap().unwrap() {
            gone.push(object.metadata.name.unwrap());
        }
    }
    gone.sort();
    assert_eq!(gone, ["late", "owned", "owner"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_and_conflicts_behave() {
    let (_cluster, client) = cluster().await;
    let deployments = Api::<Deployment>::namespaced(client, "test");
    deployments.create(&PostParams::default(), &deployment("web", "x/run:1", 1)).await.unwrap();
    let taken = deployments.create(&PostParams::default(), &deployment("web", "x/run:1", 1)).await.unwrap_err();
    let kube::Error::Api(taken) = taken else { panic!("{taken}") };
    assert_eq!((taken.code, taken.reason.as_str()), (409, "AlreadyExists"));
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "x/slow:1"}]}}}});
    let patched = deployments.patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    assert_eq!(patched.metadata.generation, Some(2));
    let mut stale = deployments.get("web").await.unwrap();
    stale.metadata.resource_version = Some("1".to_owned());
    let conflict = deployments.replace("web", &PostParams::default(), &stale).await.unwrap_err();
    let kube::Error::Api(conflict) = conflict else { panic!("{conflict}") };
    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
}
