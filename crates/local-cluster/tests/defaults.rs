//! What the server fills in, against objects recorded from a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use http::Request;
use http_body_util::BodyExt;
use kube::{Client, Config};
use local_cluster::{ClusterConfig, LocalCluster};
use serde_json::{Value, json};

async fn call(client: &Client, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", content_type);
    let answer = client.send(request.body(body.into()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn post(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    call(client, "POST", path, "application/json", serde_json::to_vec(body).unwrap()).await
}

async fn start() -> (LocalCluster, Client) {
    let cluster = LocalCluster::start(ClusterConfig::default()).await.unwrap();
    let client = Client::try_from(Config::new(cluster.url().parse().unwrap())).unwrap();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "golden"}});
    assert_eq!(post(&client, "/api/v1/namespaces", &namespace).await.0, 201);
    (cluster, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_filled_in_as_a_real_server_does_it() {
    let (_cluster, client) = start().await;
    let sent = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"name": "d"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"name": "d"}}, "template": {
            "metadata": {"labels": {"name": "d"}},
            "spec": {"containers": [{"name": "main", "image": "x/run:1", "envFrom": [{"secretRef": {"name": "s"}}],
                "volumeMounts": [{"name": "files", "mountPath": "/tmp/input.tar.gz", "subPath": "input.tar.gz"}]}],
                "volumes": [{"name": "files", "configMap": {"name": "cm", "defaultMode": 400}}]}}}});
    let (status, made) = post(&client, "/apis/apps/v1/namespaces/golden/deployments", &sent).await;
    assert_eq!(status, 201, "{made}");
    let container = json!({"name": "main", "image": "x/run:1", "envFrom": [{"secretRef": {"name": "s"}}],
        "imagePullPolicy": "IfNotPresent", "resources": {}, "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"mountPath": "/tmp/input.tar.gz", "name": "files", "subPath": "input.tar.gz"}]});
    assert_eq!(
        made["spec"],
        json!({"progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10,
            "selector": {"matchLabels": {"name": "d"}},
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}, "type": "RollingUpdate"},
            "template": {"metadata": {"labels": {"name": "d"}}, "spec": {"containers": [container],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30,
                "volumes": [{"configMap": {"defaultMode": 400, "name": "cm"}, "name": "files"}]}}})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_may_mount_its_claims_and_nothing_else() {
    let (_cluster, client) = start().await;
    let set = |mount: &str| {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"},
            "spec": {"serviceName": "s", "selector": {"matchLabels": {"name": "s"}},
                "template": {"metadata": {"labels": {"name": "s"}}, "spec": {"containers": [
                    {"name": "main", "image": "x/run:1", "volumeMounts": [{"name": mount, "mountPath": "/data"}]}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}]}})
    };
    let path = "/apis/apps/v1/namespaces/golden/statefulsets";
    let (status, refused) = post(&client, path, &set("other")).await;
    assert_eq!(status, 422, "{refused}");
    let (status, made) = post(&client, path, &set("data")).await;
    assert_eq!(status, 201, "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_and_a_pod_are_filled_in_too() {
    let (_cluster, client) = start().await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc"},
        "spec": {"selector": {"name": "d"}, "ports": [{"name": "http", "port": 8080}]}});
    let (status, mut made) = post(&client, "/api/v1/namespaces/golden/services", &service).await;
    assert_eq!(status, 201, "{made}");
    let address = made["spec"]["clusterIP"].take();
    assert!(address.as_str().unwrap().starts_with("10.96."));
    assert_eq!(made["spec"]["clusterIPs"].take(), json!([address]));
    assert_eq!(
        made["spec"],
        json!({"clusterIP": null, "clusterIPs": null, "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "selector": {"name": "d"}, "sessionAffinity": "None", "type": "ClusterIP",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080}]})
    );
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", "image": "x/run:1"}]}});
    let (status, made) = post(&client, "/api/v1/namespaces/golden/pods", &pod).await;
    assert_eq!(status, 201, "{made}");
    let toleration =
        |key: &str| json!({"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300});
    assert_eq!(
        made["spec"],
        json!({"containers": [{"image": "x/run:1", "imagePullPolicy": "IfNotPresent", "name": "main", "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0, "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {},
            "terminationGracePeriodSeconds": 30,
            "tolerations": [toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")]})
    );
    assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
}

/// Values of every shape, in every place that anything reads.
fn odd() -> Vec<Value> {
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!("x"),
        json!(1.5),
        json!([null]),
        json!({}),
        json!([{}]),
        json!([["a"]]),
        deep,
        json!("\u{0}"),
        json!("x".repeat(70_000)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_values_anywhere_are_answered_and_break_nothing() {
    let (cluster, client) = start().await;
    let places = [
        "/metadata",
        "/metadata/name",
        "/metadata/labels",
        "/metadata/annotations",
        "/metadata/ownerReferences",
        "/metadata/finalizers",
        "/metadata/managedFields",
        "/spec",
        "/spec/template",
        "/spec/template/metadata",
        "/spec/template/metadata/labels",
        "/spec/template/spec",
        "/spec/template/spec/containers",
        "/spec/template/spec/containers/0",
        "/spec/template/spec/containers/0/env",
        "/spec/template/spec/containers/0/resources",
        "/spec/template/spec/containers/0/livenessProbe",
        "/spec/template/spec/volumes",
        "/spec/selector",
        "/spec/strategy",
        "/spec/replicas",
        "/spec/updateStrategy",
        "/spec/volumeClaimTemplates",
        "/spec/ports",
        "/spec/clusterIP",
        "/spec/names",
        "/spec/versions",
        "/spec/containers",
        "/spec/affinity",
        "/spec/nodeSelector",
        "/spec/tolerations",
        "/data",
        "/stringData",
        "/type",
        "/status",
        "/kind",
        "/apiVersion",
        "/rules",
        "/subjects",
        "/roleRef",
    ];
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "m", "image": "x/run:1"}]}});
    let kinds = [
        ("/api/v1/namespaces/golden", "configmaps"),
        ("/api/v1/namespaces/golden", "secrets"),
        ("/api/v1/namespaces/golden", "pods"),
        ("/api/v1/namespaces/golden", "services"),
        ("/api/v1/namespaces/golden", "persistentvolumeclaims"),
        ("/apis/apps/v1/namespaces/golden", "deployments"),
        ("/apis/apps/v1/namespaces/golden", "statefulsets"),
        ("/apis/apps/v1/namespaces/golden", "daemonsets"),
        ("/apis/batch/v1/namespaces/golden", "jobs"),
        ("/apis/batch/v1/namespaces/golden", "cronjobs"),
        ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
        ("/api/v1", "namespaces"),
        ("/apis/rbac.authorization.k8s.io/v1/namespaces/golden", "rolebindings"),
        ("/apis/events.k8s.io/v1/namespaces/golden", "events"),
        ("/apis/networking.k8s.io/v1/namespaces/golden", "ingresses"),
    ];
    let mut made = 0;
    for (path, plural) in kinds {
        for place in places {
            for value in odd() {
                made += 1;
                let mut object = json!({"metadata": {"name": format!("o{made}")}, "spec": {"template": template,
                    "selector": {"matchLabels": {"a": "b"}}, "containers": template["spec"]["containers"]}});
                let mut node = &mut object;
                let steps: Vec<&str> = place.split('/').skip(1).collect();
                for step in &steps {
                    node = match step.parse::<usize>() {
                        Ok(index) => &mut node[index],
                        Err(_) => &mut node[*step],
                    };
                }
                *node = value;
                let (status, body) = post(&client, &format!("{path}/{plural}?dryRun=All"), &object).await;
                assert!((200..500).contains(&status), "{plural} {place}: {status} {body}\n{object}");
                if status == 201 && made % 7 == 0 {
                    // Some become real, so that the controllers meet them as well.
                    post(&client, &format!("{path}/{plural}"), &object).await;
                }
                let name = object["metadata"]["name"].as_str().unwrap_or("x").to_owned();
                let name = if name.len() > 20 || name.contains('\0') { "x" } else { name.as_str() };
                if made % 11 == 0 {
                    for kind in [
                        "application/apply-patch+yaml",
                        "application/merge-patch+json",
                        "application/strategic-merge-patch+json",
                        "application/json-patch+json",
                    ] {
                        let target = format!("{path}/{plural}/{name}?fieldManager=m&force=true");
                        let bytes = serde_json::to_vec(&object).unwrap();
                        let (status, body) = call(&client, "PATCH", &target, kind, bytes).await;
                        assert!((200..500).contains(&status), "{kind} {plural} {place}: {status} {body}\n{object}");
                    }
                }
            }
        }
    }
    // Everything still works.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "after"},
        "spec": {"containers": [{"name": "main", "image": "x/run:1"}]}});
    let (_, made) = post(&client, "/api/v1/namespaces/golden/pods", &pod).await;
    let since = made["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let path = format!(
        "/api/v1/namespaces/golden/pods?watch=true&fieldSelector=metadata.name%3Dafter&resourceVersion={since}"
    );
    let request = Request::builder().uri(path).body(Vec::new().into()).unwrap();
    let mut stream = client.send(request).await.unwrap().into_body();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"phase\":\"Running\"") {
        seen.extend(stream.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    cluster.shutdown().await;
}
