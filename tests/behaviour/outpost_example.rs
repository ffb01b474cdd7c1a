//! The description in service_descriptions/outpost, and what docs/outpost.md shows: what a hub with OutpostSpawner expects of
//! the server, each setting of KubeSpawner that the hub may send, and that none of them makes anything else.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8smgr::config::Config;
use k8smgr::description::{DescriptionError, DescriptionRequest, Prepared, prepare};
use k8smgr::domain::outpost::OutpostStart;
use k8smgr::domain::{Credential, Json, ObjectId, OutpostName, ServerName, ServiceName, StartId};
use serde_json::{Value, json};

use super::documentation::{blocks, first_column, read, repository, unknown};

const TEMPLATE: &str = "service_descriptions/outpost/JupyterLab/Default/service.yaml.hbs";

/// A start of `bob.x`'s server `1e5`, whose id YAML could read as a number.
fn start(misc: &Value) -> OutpostStart {
    OutpostStart {
        name: OutpostName::parse("1e5").unwrap(),
        username: "bob.x: \"#\"".to_owned(),
        name_label: "1e5".to_owned(),
        username_label: "bob.x".to_owned(),
        pod_name: "jupyter-bob-2ex--1e5".to_owned(),
        dns_name_template: "{name}.{namespace}.svc.cluster.local".to_owned(),
        port: 50399,
        ip: "0.0.0.0".to_owned(),
        internal_ssl: false,
        has_certificates: false,
        services_enabled: true,
        labels: [("example.org/room", "7"), ("app.kubernetes.io/instance", "mine")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        misc: Json::parse(misc.to_string().as_bytes()).unwrap(),
        start_timeout: Duration::from_secs(60),
    }
}

fn prepared(
    start: &OutpostStart,
    resources: &Value,
    config: &Config,
    service: &str,
) -> Result<Prepared, DescriptionError> {
    let (credential, start_id) = (Credential::parse("outpost").unwrap(), StartId::parse("7").unwrap());
    prepare(&DescriptionRequest {
        config,
        stage: None,
        deployment_name: "k8smgr",
        namespace: "labs",
        credential: &credential,
        server_name: &ServerName::of_outpost(&start.name, &start_id),
        start_id: &start_id,
        id: &ObjectId::of_outpost(&credential, &start.name, &start_id),
        service: &ServiceName::parse(service).unwrap(),
        user_id: 7,
        user_options: &Json::empty_object(),
        env_names: &[],
        flavor: None,
        resources: Some(&Json::parse(resources.to_string().as_bytes()).unwrap()),
        outpost: Some(start),
    })
}

/// The Service and the pod of the example.
fn made_of(start: &OutpostStart, resources: &Value) -> (Value, Value) {
    let keywords = json!({"userhomes_claim": "userhomes", "hub_release": "labs"});
    let text = json!({"services": {"replace": {"credential": {"outpost": keywords}}}}).to_string();
    let mut config = Config::from_json(&text, "config.json").unwrap().config;
    config.services.descriptions = repository().join("service_descriptions");
    let prepared = prepared(start, resources, &config, "JupyterLab/Default").unwrap_or_else(|error| panic!("{error}"));
    let [service, pod] = prepared.manifests.try_into().unwrap_or_else(|_| panic!("not two objects"));
    (service.object, pod.object)
}

fn pod(misc: &Value) -> Value {
    made_of(&start(misc), &json!({})).1
}

#[test]
fn the_server_is_where_the_hub_looks_for_it() {
    let (service, pod) = made_of(&start(&json!({})), &json!({}));
    assert_eq!((unknown::<Service>(&service), unknown::<Pod>(&pod)), (None, None));
    for object in [&service, &pod] {
        assert_eq!(object["metadata"]["name"], "jupyter-bob-2ex--1e5");
        assert_eq!(object["metadata"]["labels"]["example.org/room"], "7", "extra_labels of the hub");
    }
    for (key, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(&pod["metadata"]["labels"][key], value, "{key}: the hub's labels do not take its place");
    }
    let main = &pod["spec"]["containers"][0];
    let ports = (&service["spec"]["ports"][0]["port"], &main["ports"][0]["containerPort"]);
    assert_eq!(ports, (&json!(50399), &json!(50399)));
    assert_eq!(service["spec"]["ports"][0]["targetPort"], main["ports"][0]["name"]);
    assert_eq!(pod["metadata"]["annotations"]["hub.jupyter.org/username"], "bob.x: \"#\"");
    assert_eq!(main["volumeMounts"][0]["subPath"], "outpost/7");
}

/// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
#[test]
fn pod_security_restricted_lets_it_in() {
    let spec = &pod(&json!({}))["spec"];
    assert_eq!(
        (&spec["securityContext"]["runAsNonRoot"], &spec["securityContext"]["runAsUser"]),
        (&json!(true), &json!(1000))
    );
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let own = &spec["containers"][0]["securityContext"];
    assert_eq!(own, &json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}));
    assert_eq!((&spec["automountServiceAccountToken"], &spec["enableServiceLinks"]), (&json!(false), &json!(false)));
    for key in ["hostNetwork", "initContainers", "nodeSelector", "serviceAccountName", "imagePullSecrets"] {
        assert!(spec[key].is_null(), "{key}");
    }
}

/// Each by itself: what it changes, and nothing else.
#[test]
fn each_setting_of_kubespawner_is_where_it_belongs() {
    let plain = pod(&json!({}));
    let toleration = json!({"key": "gpu", "operator": "Exists"});
    let helper = json!({"name": "helper", "image": "x"});
    let hooks = json!({"postStart": {"exec": {"command": ["/bin/true"]}}});
    for (misc, place, expected) in [
        (json!({"image": "a/b:c"}), "/spec/containers/0/image", json!("a/b:c")),
        (json!({"image_pull_policy": "Always"}), "/spec/containers/0/imagePullPolicy", json!("Always")),
        (
            json!({"image_pull_secrets": ["a", {"name": "b"}]}),
            "/spec/imagePullSecrets",
            json!([{"name": "a"}, {"name": "b"}]),
        ),
        (json!({"cmd": ["a", "b"]}), "/spec/containers/0/args", json!(["a", "b"])),
        (json!({"args": ["--debug"]}), "/spec/containers/0/args/1", json!("--debug")),
        (json!({"working_dir": "/work"}), "/spec/containers/0/workingDir", json!("/work")),
        (json!({"environment": {"A": "b: c"}}), "/spec/containers/0/env/1", json!({"name": "A", "value": "b: c"})),
        (json!({"cpu_limit": "2"}), "/spec/containers/0/resources/limits/cpu", json!("2")),
        (json!({"cpu_guarantee": "0.5"}), "/spec/containers/0/resources/requests/cpu", json!("0.5")),
        (json!({"mem_guarantee": "1Gi"}), "/spec/containers/0/resources/requests/memory", json!("1Gi")),
        (
            json!({"extra_resource_limits": {"nvidia.com/gpu": "1"}}),
            "/spec/containers/0/resources/limits/nvidia.com~1gpu",
            json!("1"),
        ),
        (json!({"extra_resource_guarantees": {"x/y": "1"}}), "/spec/containers/0/resources/requests/x~1y", json!("1")),
        (json!({"lifecycle_hooks": hooks}), "/spec/containers/0/lifecycle", hooks.clone()),
        (
            json!({"volume_mounts": [{"name": "d", "mountPath": "/d"}]}),
            "/spec/containers/0/volumeMounts/1",
            json!({"name": "d", "mountPath": "/d"}),
        ),
        (json!({"volumes": [{"name": "d", "emptyDir": {}}]}), "/spec/volumes/1", json!({"name": "d", "emptyDir": {}})),
        (json!({"extra_containers": [helper]}), "/spec/containers/1", helper.clone()),
        (json!({"init_containers": [helper]}), "/spec/initContainers", json!([helper])),
        (json!({"node_selector": {"kind": "gpu"}}), "/spec/nodeSelector", json!({"kind": "gpu"})),
        (json!({"tolerations": [toleration]}), "/spec/tolerations/1", toleration.clone()),
        (json!({"priority_class_name": "high"}), "/spec/priorityClassName", json!("high")),
        (json!({"uid": 1001}), "/spec/securityContext/runAsUser", json!(1001)),
        (json!({"gid": 1001}), "/spec/securityContext/runAsGroup", json!(1001)),
        (json!({"supplemental_gids": [5, 6]}), "/spec/securityContext/supplementalGroups", json!([5, 6])),
        (json!({"extra_annotations": {"a": "b: #"}}), "/metadata/annotations/a", json!("b: #")),
    ] {
        let mut made = pod(&misc);
        assert_eq!(unknown::<Pod>(&made), None, "{misc}");
        assert_eq!(made.pointer(place), Some(&expected), "{misc}");
        remove_or_restore(&mut made, &plain, place);
        assert_eq!(made, plain, "{misc}");
    }
    // Two places each.
    let with = pod(&json!({"service_account": "user"}));
    assert_eq!(
        (&with["spec"]["serviceAccountName"], &with["spec"]["automountServiceAccountToken"]),
        (&json!("user"), &json!(true))
    );
    let with = pod(&json!({"service_account": "user", "automount_service_account_token": false}));
    assert_eq!(with["spec"]["automountServiceAccountToken"], false);
    let with = pod(&json!({"fs_gid": 100}));
    assert_eq!(with["spec"]["securityContext"]["fsGroup"], 100);
    let with = pod(&json!({"mem_limit": "8Gi"}));
    let resources = &with["spec"]["containers"][0]["resources"];
    assert_eq!((&resources["limits"]["memory"], &resources["requests"]["memory"]), (&json!("8Gi"), &json!("8Gi")));
}

fn remove_or_restore(made: &mut Value, plain: &Value, place: &str) {
    let (parent, key) = place.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    match (made.pointer_mut(parent).unwrap(), plain.pointer(place)) {
        (Value::Object(members), Some(value)) => drop(members.insert(key, value.clone())),
        (Value::Object(members), None) => drop(members.remove(&key)),
        (Value::Array(items), None) => drop(items.remove(key.parse().unwrap())),
        (parent, _) => panic!("{parent}"),
    }
}

#[test]
fn resources_are_the_hubs_else_the_flavors_else_the_examples() {
    let limits = |misc: Value, resources: Value| {
        made_of(&start(&misc), &resources).1["spec"]["containers"][0]["resources"]["limits"].clone()
    };
    let flavor = json!({"cpu_limit": "4", "mem_limit": "8Gi", "extra_resource_limits": {"nvidia.com/gpu": "1"}});
    assert_eq!(limits(json!({}), json!({})), json!({"cpu": "1", "memory": "2Gi"}));
    assert_eq!(limits(json!({}), flavor.clone()), json!({"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}));
    assert_eq!(limits(json!({"cpu_limit": "2"}), flavor)["cpu"], "2");
}

#[test]
fn certificates_are_mounted_where_the_environment_says() {
    let folder = json!({"name": "certificates", "mountPath": "/etc/jupyterhub/ssl", "readOnly": true});
    let mut with = start(&json!({}));
    (with.internal_ssl, with.has_certificates) = (true, true);
    let (service, pod) = made_of(&with, &json!({}));
    let spec = &pod["spec"];
    assert_eq!(spec["containers"][0]["volumeMounts"][1], folder);
    let secret = spec["volumes"][1]["secret"]["secretName"].as_str().unwrap();
    assert!(secret.starts_with("secret-certs-"), "{secret}");
    assert_eq!(service["spec"]["ports"][0]["name"], "https");
    let (_, without) = made_of(&start(&json!({})), &json!({}));
    assert_eq!(without["spec"]["volumes"].as_array().unwrap().len(), 1);
}

#[test]
fn what_a_hub_sends_stays_one_value() {
    let plain = pod(&json!({}));
    for text in ["x\n      privileged: true", "\"\n---\nkind: Pod", "{{secret_name}}", "<id>", "*alias", "ü'\"#", "1e5"]
    {
        let mut made = pod(&json!({"image": text}));
        assert_eq!(made["spec"]["containers"][0]["image"].take(), text);
        made["spec"]["containers"][0]["image"] = plain["spec"]["containers"][0]["image"].clone();
        assert_eq!(made, plain);
    }
}

#[test]
fn the_guide_names_every_setting_that_the_example_takes() {
    let template = read(TEMPLATE);
    let table = read("docs/outpost.md");
    let table = table.split_once("<!-- settings -->").unwrap().1.split_once("<!-- end -->").unwrap().0;
    let mut seen = 0;
    for name in template.split("misc.").skip(1) {
        let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap();
        if end > 0 {
            assert!(table.contains(&format!("`{}`", &name[..end])), "{}", &name[..end]);
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
    assert!(first_column(&read("docs/outpost.md"), "settings").len() > 20);
}

#[test]
fn the_guides_description_and_configuration_are_good() {
    let page = read("docs/outpost.md");
    let files = blocks(&page, "file");
    let loaded = Config::from_json(&files["config.json"], "config.json").unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let mut config = loaded.config;
    assert!(config.outpost["hub"].default_service.is_some());

    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("outpost/Outpost/service.yaml.hbs");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &files["Outpost/service.yaml.hbs"]).unwrap();
    config.services.descriptions = folder.path().to_owned();
    let prepared =
        prepared(&start(&json!({"image": "a/b:c"})), &json!({"mem_limit": "8Gi"}), &config, "Outpost").unwrap();
    let [claim, service, pod] = prepared.manifests.try_into().unwrap_or_else(|_| panic!("not three objects"));
    let (claim, service, pod) = (claim.object, service.object, pod.object);
    assert_eq!(unknown::<PersistentVolumeClaim>(&claim), None);
    assert_eq!((unknown::<Service>(&service), unknown::<Pod>(&pod)), (None, None));
    assert_eq!(claim["metadata"]["name"], "claim-7");
    assert_eq!(pod["spec"]["containers"][0]["image"], "a/b:c");
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"]["memory"], "8Gi");
}
