//! The Python function for the hub gives the ids that we give.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::process::{Command, Stdio};

use k8smgr::domain::{ObjectId, ServerName, StartId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

fn ids_of_python(names: &[(String, String)]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/object_id.py");
    let mut child =
        Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = names.iter().map(|names| serde_json::to_string(names).unwrap() + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_python_function_gives_the_same_ids() {
    let fixed = ["My Lab", "Ü", "-a-", "a", "123", "aa01", " x\u{a0}", "\u{1f600}", "a<id>b", "İ", "K", "..", "a.b"];
    let mut names: Vec<(String, String)> = fixed.map(|name| (name.to_owned(), "s0000001".to_owned())).into();
    names.push(("my-lab-s0000001--".to_owned(), "2776dd764509".to_owned()));
    names.extend((30..60).map(|length| ("l".repeat(length), "s0000001".to_owned())));
    let mut runner = TestRunner::deterministic();
    let random = ("[^/\\p{Cc}]{1,60}|[a-zA-Z0-9 .-]{1,45}|[a-z0-9-]{1,40}", "[^/\\p{Cc}]{1,12}|[a-z0-9]{8}");
    names.extend((0..3000).map(|_| random.new_tree(&mut runner).unwrap().current()));
    let valid =
        names.into_iter().filter(|(server, start)| ServerName::parse(server).is_ok() && StartId::parse(start).is_ok());
    let names: Vec<_> = valid.collect();
    assert!(names.len() > 2000);
    for (names, id) in names.iter().zip(ids_of_python(&names)) {
        let (server, start) = (ServerName::parse(&names.0).unwrap(), StartId::parse(&names.1).unwrap());
        assert_eq!(ObjectId::new(&server, &start).as_str(), id, "{names:?}");
    }
}
