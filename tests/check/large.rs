//! What is too large to be kept beside the tests, and names that no repository can hold.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::tool::{installation, run};

const INPUT: &str = "apiVersion: v1
kind: Pod
metadata: {name: lab-<id>}
spec:
  containers: [{name: main, image: 'x/run:1'}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: input-<id>}
binaryData: {input.tar.gz: <input>}
";

/// A file that no compression makes smaller.
fn write_noise(path: &Path, bytes: usize) {
    let mut state: u64 = 1;
    let noise = (0..bytes).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    });
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, noise.collect::<Vec<u8>>()).unwrap();
}

fn checked(folder: &Path) -> Vec<String> {
    run(folder, &["check", "--format", "json"]).findings()
}

#[test]
fn an_input_that_no_config_map_takes_is_found() {
    let folder = installation(None);
    let lab = folder.path().join("descriptions/hub/Lab");
    fs::write(lab.join("service.yaml"), INPUT).unwrap();
    write_noise(&lab.join("input/data"), 2 * 1024 * 1024);
    assert_eq!(checked(folder.path()), ["descriptions/hub/Lab/service.yaml:7 error object-too-large"]);
    write_noise(&lab.join("input/data"), 50 * 1024 * 1024);
    assert_eq!(checked(folder.path()), ["descriptions/hub/Lab/ error description-too-large"]);
    write_noise(&lab.join("input/data"), 1000 * 1024);
    assert_eq!(checked(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_start_is_refused_with_the_same_words() {
    let app = TestApp::start().await;
    let lab = app.path("descriptions/jupyterhub/Mine");
    write_noise(&lab.join("input/data"), 2 * 1024 * 1024);
    fs::write(lab.join("service.yaml"), INPUT).unwrap();
    let start = async || app.start_service(JUPYTERHUB, "lab", "s1", "Mine").await;
    let answer = start().await;
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert!(answer.body.contains("ConfigMap input-lab-s1 holds 2"), "{}", answer.body);
    assert!(answer.body.contains("make the input folder smaller"), "{}", answer.body);
    write_noise(&lab.join("input/data"), 50 * 1024 * 1024);
    let answer = start().await;
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert!(answer.body.contains("services.max_description_bytes"), "{}", answer.body);
    assert_eq!(app.cluster.names().await, Vec::<String>::new());
    app.end().await;
}

#[test]
fn a_skeleton_of_many_files_is_told() {
    let folder = installation(None);
    for index in 0..10_001 {
        fs::write(folder.path().join(format!("skel/hub/{index}")), "").unwrap();
    }
    assert_eq!(checked(folder.path()), ["skel/hub warning skeleton-large"]);
}

#[test]
fn a_folder_that_cannot_be_a_service_is_told() {
    let folder = installation(None);
    let odd = folder.path().join("descriptions/hub/a\\b");
    fs::create_dir(&odd).unwrap();
    fs::copy(folder.path().join("descriptions/hub/Lab/service.yaml"), odd.join("service.yaml")).unwrap();
    assert_eq!(checked(folder.path()), ["descriptions/hub/a\\b error service-name"]);
}

#[test]
fn many_mistakes_of_many_stages_are_told_once_each() {
    let folder = installation(None);
    let config = json!({
        "services": {"descriptions": "descriptions", "skip": {"stage": ["a", "b", "c"], "credential": ["hub"]}},
        "userhomes": {"skel": "skel"},
    });
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    fs::write(folder.path().join("descriptions/hub/Lab/service.yaml"), INPUT.replace("x/run:1", "<imag>")).unwrap();
    let found = run(folder.path(), &["check", "--format", "json"]);
    assert_eq!(
        found.findings(),
        [
            "descriptions/hub/Lab/service.yaml:10 warning input-missing",
            "descriptions/hub/Lab/service.yaml:5 error keyword-unknown"
        ]
    );
    assert!(found.stdout.contains(r#""stage": "c""#), "{}", found.stdout);
}
