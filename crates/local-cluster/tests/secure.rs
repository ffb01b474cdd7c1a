//! TLS, tokens, roles, and what a restart keeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use local_cluster::{ClusterConfig, LocalCluster};
use serde_json::json;

async fn client_of(kubeconfig: &str, token: Option<&str>) -> Client {
    let mut read = Kubeconfig::from_yaml(kubeconfig).unwrap();
    if let Some(token) = token {
        read.auth_infos[0].auth_info.as_mut().unwrap().token = Some(token.to_owned().into());
    }
    Client::try_from(Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap()).unwrap()
}

fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other}"),
    }
}

fn object<K: serde::de::DeserializeOwned>(value: serde_json::Value) -> K {
    serde_json::from_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_its_role_says_and_nothing_without_one() {
    let cluster = LocalCluster::start(ClusterConfig { tls: true, ..ClusterConfig::default() }).await.unwrap();
    let kubeconfig = cluster.kubeconfig();
    assert!(cluster.url().starts_with("https://"));
    let admin = client_of(&kubeconfig, None).await;
    let post = PostParams::default();
    let accounts = Api::<ServiceAccount>::namespaced(admin.clone(), "default");
    accounts.create(&post, &object(json!({"metadata": {"name": "robot"}}))).await.unwrap();
    let request: TokenRequest = object(json!({"spec": {"audiences": []}}));
    let token = accounts.create_token_request("robot", &post, &request).await.unwrap().status.unwrap().token;
    let robot = client_of(&kubeconfig, Some(&token)).await;
    let pods = Api::<Pod>::namespaced(robot.clone(), "default");
    assert_eq!(code(pods.list(&ListParams::default()).await.unwrap_err()), 403);
    let role = json!({"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
    Api::<Role>::namespaced(admin.clone(), "default").create(&post, &object(role)).await.unwrap();
    let binding = json!({"metadata": {"name": "robot"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]});
    Api::<RoleBinding>::namespaced(admin.clone(), "default").create(&post, &object(binding)).await.unwrap();
    pods.list(&ListParams::default()).await.unwrap();
    assert_eq!(code(pods.get("x").await.unwrap_err()), 403);
    assert_eq!(code(Api::<Secret>::all(robot).list(&ListParams::default()).await.unwrap_err()), 403);
    let wrong = client_of(&kubeconfig, Some("wrong")).await;
    assert_eq!(code(Api::<Pod>::all(wrong).list(&ListParams::default()).await.unwrap_err()), 401);
}

async fn on_disk(folder: &Path) -> LocalCluster {
    let config = ClusterConfig { tls: true, data_dir: Some(folder.to_owned()), ..ClusterConfig::default() };
    LocalCluster::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_cluster_knows_its_objects_its_token_and_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let first = on_disk(folder.path()).await;
    let kubeconfig = std::fs::read_to_string(folder.path().join("kubeconfig")).unwrap();
    let maps = Api::<ConfigMap>::default_namespaced(client_of(&kubeconfig, None).await);
    let made = maps.create(&PostParams::default(), &object(json!({"metadata": {"name": "kept"}}))).await.unwrap();
    let token = first.admin_token();
    first.shutdown().await;
    let second = on_disk(folder.path()).await;
    assert_eq!(second.admin_token(), token);
    let kubeconfig = std::fs::read_to_string(folder.path().join("kubeconfig")).unwrap();
    let maps = Api::<ConfigMap>::default_namespaced(client_of(&kubeconfig, None).await);
    assert_eq!(maps.get("kept").await.unwrap().metadata.uid, made.metadata.uid);
    second.shutdown().await;
}
