//! Each folder of `mistakes/` holds what is wrong in an otherwise sound installation, and what has to be found: that and
//! nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8smgr::check::codes::Code;

use crate::tool::{installation, run};

fn all() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/mistakes");
    let mut all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    all.sort();
    all
}

fn expected(mistake: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(mistake.join("expected.txt")).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn every_planted_mistake_is_found_and_nothing_else() {
    let mut wrong = Vec::new();
    for mistake in all() {
        let installation = installation(Some(&mistake));
        let found = run(installation.path(), &["check", "--format", "json"]);
        let name = mistake.file_name().unwrap().to_string_lossy().into_owned();
        if found.findings() != expected(&mistake) || found.status != 1 {
            wrong.push(format!(
                "{name}: {:#?} instead of {:#?}\n{}",
                found.findings(),
                expected(&mistake),
                found.stdout
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_a_planted_mistake() {
    let planted: BTreeSet<String> =
        all().iter().flat_map(|it| expected(it)).map(|it| it.rsplit(' ').next().unwrap().to_owned()).collect();
    // Those that no committed folder can hold have tests of their own.
    let elsewhere = [
        "skeleton-large",
        "description-too-large",
        "object-too-large",
        "kind-unknown",
        "cluster-refuses",
        "right-missing",
        "service-name",
        "log-handler",
        // Certificates have dates and keys, so that tests/tls makes them.
        "tls-key-mismatch",
        "tls-not-valid",
        "tls-authority",
        "tls-ends-soon",
        "tls-key-permissions",
        // They need a variable of the environment.
        "ssh-program",
        "ssh-configuration",
        "ssh-aliases",
        "ssh-targets",
        "cleanup-lists",
        "crypt-keys",
    ];
    let missing: Vec<_> =
        Code::ALL.iter().map(|it| it.as_str()).filter(|it| !planted.contains(*it) && !elsewhere.contains(it)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
