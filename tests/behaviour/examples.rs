//! The descriptions in service_descriptions/hub: what they make for each choice, and that no choice makes anything else.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8smgr::config::Config;
use k8smgr::description::{DescriptionError, DescriptionRequest, Prepared, prepare};
use k8smgr::domain::{Credential, Json, ObjectId, ServerName, ServiceName, StartId};
use serde_json::{Value, json};

use super::documentation::{repository, unknown};

const EXAMPLES: [&str; 4] = ["JupyterLab/Default", "JupyterLab/OwnClaim", "CodeServer/Default", "Desktop/Default"];

fn prepared(service: &str, user_options: &Value) -> Result<Prepared, DescriptionError> {
    let keywords = json!({"userhomes_claim": "userhomes", "hub_release": "labs"});
    let text = json!({"services": {"replace": {"credential": {"hub": keywords}}}}).to_string();
    let mut config = Config::from_json(&text, "config.json").unwrap().config;
    config.services.descriptions = repository().join("service_descriptions");
    // An id that YAML could read as a number.
    let (name, start_id) = (ServerName::parse("1e5").unwrap(), StartId::parse("7").unwrap());
    prepare(&DescriptionRequest {
        config: &config,
        stage: None,
        deployment_name: "k8smgr",
        namespace: "labs",
        credential: &Credential::parse("hub").unwrap(),
        server_name: &name,
        start_id: &start_id,
        id: &ObjectId::new(&name, &start_id),
        service: &ServiceName::parse(service).unwrap(),
        user_id: 7,
        user_options: &Json::parse(user_options.to_string().as_bytes()).unwrap(),
        env_names: &[],
        flavor: None,
        resources: None,
        outpost: None,
    })
}

/// The objects by kind.
fn made(service: &str, user_options: &Value) -> Vec<(String, Value)> {
    let prepared = prepared(service, user_options).unwrap_or_else(|error| panic!("{service}: {error}"));
    let manifests = prepared.manifests.into_iter().map(|it| it.object);
    manifests.map(|it| (it["kind"].as_str().unwrap().to_owned(), it)).collect()
}

fn pod(service: &str, user_options: &Value) -> Value {
    made(service, user_options).into_iter().find(|(kind, _)| kind == "Pod").unwrap().1
}

#[test]
fn every_example_makes_what_kubernetes_knows_and_nothing_more() {
    for service in EXAMPLES {
        let objects = made(service, &json!({}));
        for (kind, manifest) in &objects {
            let unknown = match kind.as_str() {
                "PersistentVolumeClaim" => unknown::<PersistentVolumeClaim>(manifest),
                "Pod" => unknown::<Pod>(manifest),
                "Service" => unknown::<Service>(manifest),
                other => panic!("{other}"),
            };
            assert_eq!(unknown, None, "{service} {kind}");
        }
        let kinds: Vec<_> = objects.iter().map(|(kind, _)| kind.as_str()).collect();
        let claim = usize::from(service.ends_with("OwnClaim"));
        assert_eq!(kinds, ["PersistentVolumeClaim", "Service", "Pod"][1 - claim..], "{service}");
    }
}

#[test]
fn the_service_leads_to_the_pod_and_the_policies_of_zero_to_jupyterhub_know_it() {
    for service in EXAMPLES {
        let (_, front) = made(service, &json!({})).into_iter().find(|(kind, _)| kind == "Service").unwrap();
        let pod = pod(service, &json!({"username": "Ada: \"#1\""}));
        assert_eq!((&front["metadata"]["name"], &pod["metadata"]["name"]), (&json!("lab-1e5-7"), &json!("lab-1e5-7")));
        let labels = &pod["metadata"]["labels"];
        for (key, value) in front["spec"]["selector"].as_object().unwrap() {
            assert_eq!(&labels[key], value, "{service} {key}");
        }
        let policies = ["app", "component", "release", "hub.jupyter.org/network-access-hub"].map(|it| &labels[it]);
        assert_eq!(policies, ["jupyterhub", "singleuser-server", "labs", "true"], "{service}");
        let port = &pod["spec"]["containers"][0]["ports"][0];
        assert_eq!((&port["name"], &port["containerPort"]), (&json!("notebook-port"), &json!(8888)));
        assert_eq!(front["spec"]["ports"][0]["targetPort"], port["name"], "{service}");
        assert_eq!(pod["metadata"]["annotations"]["hub.jupyter.org/username"], "Ada: \"#1\"", "{service}");
    }
}

/// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
#[test]
fn pod_security_restricted_lets_every_example_in() {
    for service in EXAMPLES {
        let spec = &pod(service, &json!({}))["spec"];
        let (of_pod, containers) = (&spec["securityContext"], spec["containers"].as_array().unwrap());
        assert_eq!((&of_pod["runAsNonRoot"], &of_pod["runAsUser"]), (&json!(true), &json!(1000)), "{service}");
        assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault", "{service}");
        for own in containers.iter().map(|it| &it["securityContext"]) {
            assert_eq!(
                own,
                &json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}),
                "{service}"
            );
        }
        for volume in spec["volumes"].as_array().unwrap() {
            let kinds: Vec<_> = volume.as_object().unwrap().keys().filter(|it| *it != "name").collect();
            assert!(["persistentVolumeClaim", "emptyDir"].contains(&kinds[0].as_str()), "{service} {kinds:?}");
        }
        for key in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
            assert!(spec[key].is_null(), "{service} {key}");
        }
        assert_eq!(
            (&spec["automountServiceAccountToken"], &spec["enableServiceLinks"]),
            (&json!(false), &json!(false))
        );
    }
}

#[test]
fn a_size_is_what_the_hubs_form_says_and_small_where_none_is_chosen() {
    let form = super::documentation::read("deploy/examples/jupyterhub_config.py");
    for service in EXAMPLES {
        let resources = |options: Value| pod(service, &options)["spec"]["containers"][0]["resources"].clone();
        for (size, title, cpu, memory) in [
            ("small", "Small: 1 core, 2 GiB", "1", "2Gi"),
            ("medium", "Medium: 2 cores, 4 GiB", "2", "4Gi"),
            ("large", "Large: 4 cores, 8 GiB", "4", "8Gi"),
        ] {
            let of_size = resources(json!({"size": size}));
            assert_eq!(of_size["limits"], json!({"cpu": cpu, "memory": memory}), "{service}");
            assert_eq!(of_size["requests"]["memory"], memory, "{service}: no node runs out");
            assert!(form.contains(&format!("\"{size}\": \"{title}\"")), "{title}");
        }
        let small = resources(json!({"size": "small"}));
        assert_eq!((&resources(json!({})), &resources(json!({"size": null}))), (&small, &small), "{service}");
    }
}

#[test]
fn a_choice_that_is_not_offered_is_refused_and_never_written() {
    let hostile = [
        json!("huge"),
        json!(""),
        json!("LARGE"),
        json!("large "),
        json!("small\n      privileged: true"),
        json!("small}, limits: {cpu: 64}}\n#"),
        json!("<script>alert(1)</script>"),
        json!(["small"]),
        json!({"small": "small"}),
        json!(1),
        json!(true),
    ];
    for service in EXAMPLES {
        for size in &hostile {
            let refused = prepared(service, &json!({"size": size})).err().unwrap().to_string();
            assert!(refused.ends_with(": size must be small, medium or large"), "{service} {size}: {refused}");
        }
    }
}

#[test]
fn a_name_that_users_made_up_stays_one_text() {
    let plain = pod("JupyterLab/Default", &json!({"username": "ada"}));
    for name in
        ["a\n  labels: {x: y}", "\"\n---\nkind: Pod", "{{secret_name}}", "<id>", "*alias", "null", "1e5", "ü'\"#"]
    {
        let mut made = pod("JupyterLab/Default", &json!({"username": name}));
        let key = "hub.jupyter.org/username";
        assert_eq!(made["metadata"]["annotations"][key].take(), name);
        made["metadata"]["annotations"][key] = json!("ada");
        assert_eq!(made, plain);
    }
    let refused = prepared("JupyterLab/Default", &json!({"username": {"a": 1}})).err().unwrap().to_string();
    assert!(refused.contains("username"), "{refused}");
}

#[test]
fn a_home_is_the_users_own_folder_or_claim() {
    for service in EXAMPLES {
        let spec = &pod(service, &json!({}))["spec"];
        let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
        let home = mounts.iter().find(|it| it["name"] == "home").unwrap();
        let claim = &spec["volumes"][0]["persistentVolumeClaim"]["claimName"];
        assert_eq!(home["mountPath"], "/home/jovyan");
        if service.ends_with("OwnClaim") {
            assert_eq!((claim, &home["subPath"]), (&json!("home-hub-7"), &Value::Null));
            assert_eq!(spec["securityContext"]["fsGroup"], 100, "a new volume is root's");
        } else {
            assert_eq!((claim, &home["subPath"]), (&json!("userhomes"), &json!("hub/7")));
            assert!(spec["securityContext"]["fsGroup"].is_null(), "{service}: the modes of all homes would change");
        }
    }
    let (_, claim) = made("JupyterLab/OwnClaim", &json!({})).remove(0);
    assert_eq!(claim["metadata"]["annotations"]["k8smgr.io/keep"], "true");
}

/// The port that the hub uses, the prefix that only the environment knows, and what `wget` says with a server there.
#[test]
fn probes_ask_the_server_beneath_its_prefix() {
    for service in EXAMPLES {
        let main = &pod(service, &json!({}))["spec"]["containers"][0];
        for probe in ["startupProbe", "readinessProbe"] {
            let command = main[probe]["exec"]["command"][2].as_str().unwrap();
            assert!(command.ends_with("\"http://127.0.0.1:8888${JUPYTERHUB_SERVICE_PREFIX}api\""), "{command}");
        }
        assert!(main["livenessProbe"].is_null(), "{service}: a slow server is no dead one");
    }
}
