//! What is shipped has no findings; the fixtures of the records have those that they were made for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::site::Site;
use crate::support::folders;
use crate::support::records::contract_folder;
use crate::tool::{Run, copy, k8smgr, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_demo_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let text = fs::read_to_string(root().join("demo/config.json")).unwrap();
    let filled = [("@ROOT@", root().to_str().unwrap()), ("@RUN@", here), ("@HOMES@", here), ("@VENV@", "/opt/venv")];
    let text = filled.into_iter().fold(text, |text, (name, value)| text.replace(name, value));
    fs::write(folder.path().join("config.json"), text).unwrap();
    let found = run(folder.path(), &["check"]);
    assert_eq!(found.stdout, "6 descriptions, 3 credentials, 1 stage: no findings\n");
}

/// The examples for a cluster as the Helm chart configures them.
fn examples(folder: &Path) {
    for hub in ["hub", "outpost"] {
        copy(&root().join("service_descriptions").join(hub), &folder.join("examples").join(hub));
        copy(&root().join("userhome_skel").join(hub), &folder.join("skeleton").join(hub));
    }
    let keywords = json!({"userhomes_claim": "k8smgr-homes", "hub_release": "hub-of-labs"});
    let config = json!({
        "services": {
            "base": "services",
            "descriptions": "examples",
            "replace": {"credential": {"hub": keywords, "outpost": keywords}},
        },
        "outpost": {"outpost": {"default_service": "JupyterLab/Default"}},
        "userhomes": {"base": "homes", "skel": "skeleton"},
        "startup": {"create_user": {"hub": ["access_to_webservice"], "outpost": ["access_to_webservice"]}},
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

const NO_FINDINGS: &str = "5 descriptions, 2 credentials, 1 stage: no findings\n";

#[test]
fn the_examples_for_a_cluster_have_no_findings_whatever_a_user_may_choose() {
    let folder = tempfile::tempdir().unwrap();
    examples(folder.path());
    let sizes = ["{}", r#"{"size": "small"}"#, r#"{"size": "medium", "username": "a: 'b'"}"#, r#"{"size": "large"}"#];
    for options in sizes {
        let found = run(folder.path(), &["check", "--user-options", options]);
        assert_eq!(found.stdout, NO_FINDINGS, "{options}");
    }
    let found = run(folder.path(), &["check", "--user-options", r#"{"size": "huge"}"#]);
    assert!(found.stdout.contains("size must be small, medium or large"), "{}", found.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_the_examples_and_the_manifests_of_the_page_on_clusters() {
    let site = Site::start().await;
    examples(site.path());
    assert_eq!(site.k8smgr("admin", &["check", "--cluster"]).await.stdout, NO_FINDINGS);

    for namespace in ["jupyter", "jupyter-users"] {
        site.kubectl(&["create", "namespace", namespace], "").await;
    }
    let page = fs::read_to_string(root().join("docs/cluster.md")).unwrap();
    let parts: Vec<&str> = page.split("```yaml\n").collect();
    let mut seen = 0;
    for (before, after) in parts.iter().zip(&parts[1..]) {
        // What is marked is values for a chart.
        if !before.ends_with("-->\n") {
            let manifests = after.split("```").next().unwrap();
            let said = site.kubectl(&["apply", "--dry-run=server", "-f", "-"], manifests).await;
            assert!(said.lines().all(|it| it.ends_with("created (server dry run)")), "{said}");
            seen += said.lines().count();
        }
    }
    assert_eq!(seen, 10);
    site.end().await;
}

/// The records' descriptions hold mistakes on purpose. Keywords that nobody knows are in nearly all of them.
#[test]
fn the_fixtures_have_the_mistakes_that_they_were_made_for() {
    let folder = tempfile::tempdir().unwrap();
    folders::set_up(folder.path());
    let here = folder.path().to_str().unwrap();
    let text = fs::read_to_string(contract_folder().join("fixtures/configs/main.json")).unwrap();
    fs::write(folder.path().join("config.json"), text.replace("/srv/k8smgr", here)).unwrap();
    let mut command = k8smgr(folder.path());
    let found: Run = command.args(["check", "--format", "json"]).output().unwrap().into();
    let (keywords, findings): (Vec<_>, Vec<_>) =
        found.findings().into_iter().partition(|it| it.ends_with("keyword-unknown"));
    assert!(keywords.iter().all(|it| it.contains("/service.yaml:")), "{keywords:#?}");
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    let of_keywords = report["findings"].as_array().unwrap().iter().filter(|it| it["code"] == "keyword-unknown");
    let told: BTreeSet<&str> =
        of_keywords.map(|it| it["message"].as_str().unwrap().split('`').nth(1).unwrap()).collect();
    let planted = [
        "<image_not_configured",
        "<nested>",
        "<servername>",
        "<stage_and_credential>",
        "<stage_credential_only>",
        "<unknown_keyword>",
    ];
    assert_eq!(told, planted.into());
    let findings: Vec<String> = findings.iter().map(|it| it.replace(&format!("{here}/"), "")).collect();
    insta::assert_snapshot!(findings.join("\n"), @r"
    descriptions/jupyterhub/JupyterLab/BadKind/service.yaml error no-workload
    descriptions/jupyterhub/JupyterLab/BadYaml/input warning input-unused
    descriptions/jupyterhub/JupyterLab/BadYaml/service.yaml:1 error yaml-syntax
    descriptions/jupyterhub/JupyterLab/EmptyDoc/service.yaml:24 warning empty-document
    descriptions/jupyterhub/JupyterLab/Fixed/service.yaml:28 error name-not-unique
    descriptions/jupyterhub/JupyterLab/NoDeployment/service.yaml error no-workload
    descriptions/jupyterhub/JupyterLab/NoInput/service.yaml:7 warning input-missing
    descriptions/jupyterhub/JupyterLab/NoMain/service.yaml:43 error no-main-container
    descriptions/jupyterhub/JupyterLab/NoServiceYaml warning service-yaml-missing
    skel/jupyterhub_suffix warning skeleton-missing
    skel/shared warning skeleton-missing
    config.json:134 warning hub-credentials
    config.json:139 warning hub-credentials
    config.json:164 warning user-without-group
    config.json:165 warning credential-without-descriptions
    config.json:171 warning credential-without-descriptions
    ");
}
