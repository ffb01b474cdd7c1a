//! What is shipped has no findings; the fixtures of the records have those that they were made for.

use std::fs;
use std::path::Path;

use crate::support::folders;
use crate::support::records::contract_folder;
use crate::tool::{Run, k8smgr, run};

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
    assert_eq!(found.stdout, "1 description, 1 credential, 1 stage: no findings\n");
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
    let findings = found.findings().into_iter().filter(|it| !it.ends_with("keyword-unknown"));
    let findings: Vec<String> = findings.map(|it| it.replace(&format!("{here}/"), "")).collect();
    insta::assert_snapshot!(findings.join("\n"), @"");
}
