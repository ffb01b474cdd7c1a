//! Exit statuses, the shape of the JSON, the table, and what is never printed.

use std::fs;

use serde_json::{Value, json};

use crate::tool::{installation, k8smgr, run};

const TYPO: &str = "apiVersion: v1
kind: Pod
metadata: {name: lab-<idd>-<id>}
spec:
  containers: [{name: main, image: 'x/run:1'}]
";

#[test]
fn a_sound_installation_has_no_findings() {
    let folder = installation(None);
    let found = run(folder.path(), &["check"]);
    assert_eq!((found.status, found.stdout.as_str()), (0, "1 description, 1 credential, 1 stage: no findings\n"));
    assert_eq!(found.stderr, "");
    let found = run(folder.path(), &["check", "--format", "json"]);
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(
        report,
        json!({
            "version": 1, "errors": 0, "warnings": 0, "descriptions": 1, "credentials": ["hub"], "stages": [null],
            "findings": [],
        })
    );
}

#[test]
fn lists_of_servers_that_do_not_fit_together_are_found_and_no_token_is_printed() {
    let folder = installation(None);
    let mut command = k8smgr(folder.path());
    command.args(["check", "--format", "json"]);
    command.env("JUPYTERHUB_CLEANUP_NAMES", "hub;hob;odd").env("JUPYTERHUB_CLEANUP_TOKENS", "marker-a;marker-b");
    command.env("JUPYTERHUB_CLEANUP_URLS", "https://hub/hub/api/servers;https://hob/hub/api/servers;nowhere");
    let found = command.output().unwrap();
    let text = String::from_utf8(found.stdout).unwrap();
    assert!(!text.contains("marker"), "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let codes: Vec<_> = report["findings"].as_array().unwrap().iter().map(|it| it["code"].clone()).collect();
    assert_eq!(codes, ["cleanup-lists", "cleanup-lists"], "{text}");
    assert!(text.contains("have 3, 3 and 2 entries") && text.contains("no hub of the name hob"), "{text}");
}

#[test]
fn a_key_that_is_none_is_found_and_not_printed() {
    let folder = installation(None);
    for (variable, value) in [("K8SMGR_CRYPT_KEYS", "marker-no-key"), ("K8SMGR_CRYPT_KEYS_FILE", "/nowhere/keys")] {
        let mut command = k8smgr(folder.path());
        let found = command.args(["check", "--format", "json"]).env(variable, value).output().unwrap();
        let text = String::from_utf8(found.stdout).unwrap();
        assert!(!text.contains("marker"), "{text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        let codes: Vec<_> = report["findings"].as_array().unwrap().iter().map(|it| it["code"].clone()).collect();
        assert_eq!(codes, ["crypt-keys"], "{text}");
        assert!(text.contains(variable), "{text}");
    }
}

#[test]
fn a_finding_has_its_place_and_its_remedy() {
    let folder = installation(None);
    fs::write(folder.path().join("descriptions/hub/Lab/service.yaml"), TYPO).unwrap();
    let found = run(folder.path(), &["check", "--format", "json"]);
    assert_eq!(found.status, 1);
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(
        report["findings"][0],
        json!({
            "code": "keyword-unknown",
            "severity": "error",
            "file": "descriptions/hub/Lab/service.yaml",
            "line": 3,
            "message": "`<idd>` is not known; did you mean `id`?",
            "remedy": "Correct its spelling, or define it in services.replace. A warning where it may be plain text.",
            "audiences": [{"credential": "hub", "stage": null}],
        })
    );
    insta::assert_snapshot!(run(folder.path(), &["check"]).stdout, @r"
    WHERE                                SEVERITY  CODE             WHAT AND WHAT TO DO
    descriptions/hub/Lab/service.yaml:3  error     keyword-unknown  `<idd>` is not known; did you mean `id`? Correct its spelling, or define it in services.replace. A warning where it may be plain text.
    1 description, 1 credential, 1 stage: 1 error, 0 warnings
    ");
}

#[test]
fn the_exit_status_says_what_came_of_it() {
    let folder = installation(None);
    let status = |arguments: &[&str]| run(folder.path(), arguments).status;
    assert_eq!(status(&["check", "--config", "missing.json"]), 2);
    assert_eq!(status(&["check", "--credential", "nobody"]), 2);
    assert_eq!(status(&["check", "--user-options", "[]"]), 2);
    assert_eq!(status(&["check", "--no-such-option"]), 2);
    assert_eq!(status(&["check", "--cluster"]), 2, "there is no cluster to be found");
    assert_eq!(status(&["check", "--credential", "hub", "--stage", "any"]), 0);
    fs::create_dir(folder.path().join("descriptions/hub/Lab/input")).unwrap();
    assert_eq!(status(&["check"]), 1);
    assert_eq!(status(&["check", "--fail-on", "error"]), 0);
    fs::write(folder.path().join("descriptions/hub/Lab/service.yaml"), TYPO).unwrap();
    assert_eq!(status(&["check", "--fail-on", "error"]), 1);
}

#[test]
fn an_option_that_is_given_is_not_asked_for() {
    let folder = installation(None);
    let template = "apiVersion: v1
kind: Pod
metadata: {name: lab-{{text id}}}
spec:
  containers: [{name: main, image: {{user_options.image}}}]
";
    fs::create_dir(folder.path().join("descriptions/hub/Tpl")).unwrap();
    fs::write(folder.path().join("descriptions/hub/Tpl/service.yaml.hbs"), template).unwrap();
    let told = run(folder.path(), &["check", "--format", "json"]).findings();
    assert_eq!(told, ["descriptions/hub/Tpl/service.yaml.hbs:5 warning template-option"]);
    let given = run(folder.path(), &["check", "--user-options", r#"{"image": "x/run:1"}"#]);
    assert_eq!((given.status, given.stdout.contains("no findings")), (0, true), "{}", given.stdout);
}

#[test]
fn secrets_are_never_printed() {
    let folder = installation(None);
    let config = json!({
        "services": {"descriptions": "descriptions", "env": {"PASSWORD": "hidden-1", "BAD KEY": "hidden-2"}},
        "userhomes": {"skel": "skel"},
        "tunnel": [{"hostname": "h", "restart_url": "htp://user:hidden-3@hub/", "cred_env_name": "CRED"}],
        "database_url": "postgresql://me:hidden-4@db/k8s",
    });
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    for format in ["table", "json"] {
        let mut command = k8smgr(folder.path());
        let command =
            command.args(["check", "--format", format]).env("CRED", "hidden-5").env("SUPERUSER_PASS", "hidden-6");
        let output = command.output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("environment-key") && text.contains("hub-url"), "{text}");
        assert!(!text.contains("hidden"), "{text}");
    }
}
