//! The file sink against `tests/rotation/table.json`, which Python's own handler has made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::file::File;
use super::{Lines, Sink};
use crate::log_handlers::bounds::Bounds;
use crate::log_handlers::rotation::When;
use crate::log_handlers::{Formatter, Level, Record};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rotation")
}

fn table() -> String {
    std::fs::read_to_string(folder().join("table.json")).unwrap()
}

/// Name and last words of the lines of every file.
fn files(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let words = text.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned());
        (path.file_name().unwrap().to_str().unwrap().to_owned(), words.collect())
    };
    std::fs::read_dir(folder).unwrap().map(read).collect()
}

fn set_date(path: &Path, seconds: i64) {
    let date = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
    std::fs::File::options().append(true).open(path).unwrap().set_modified(date).unwrap();
}

fn play(case: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k.log");
    for name in case["beside"].as_array().unwrap() {
        std::fs::write(folder.path().join(name.as_str().unwrap()), "").unwrap();
    }
    std::fs::write(&path, "").unwrap();
    set_date(&path, case["begin"].as_i64().unwrap());
    let sink = || {
        let bounds = Bounds { directories: vec![folder.path().to_owned()], ..Bounds::default() };
        let zone = TimeZone::get(case["zone"].as_str().unwrap()).unwrap();
        let when = When::parse(case["when"].as_str().unwrap()).unwrap();
        let keep = usize::try_from(case["backupCount"].as_u64().unwrap()).unwrap();
        let lines = Lines { formatter: Formatter::Simple, zone };
        let mut sink = File::new(path.to_str().unwrap().to_owned(), bounds, when, keep, lines);
        sink.open().unwrap();
        sink
    };
    let mut active = sink();
    for (number, row) in case["rows"].as_array().unwrap().iter().enumerate() {
        if row["started_again"] == true {
            active = sink();
        }
        let time = row["time"].as_i64().unwrap();
        let place = ("f", 1, "m");
        let record = Record::new(Timestamp::from_second(time).unwrap(), Level::INFO, place, &format!("r{number}"), []);
        active.write(&record).unwrap();
        set_date(&path, time);
        let expected: BTreeMap<String, Vec<String>> = serde_json::from_value(row["files"].clone()).unwrap();
        assert_eq!(files(folder.path()), expected, "{} at record {number}", case["case"]);
    }
}

#[test]
fn files_are_put_aside_named_and_removed_as_python_does() {
    let table: Vec<Value> = serde_json::from_str(&table()).unwrap();
    assert!(table.len() > 20);
    table.iter().for_each(play);
}

#[test]
fn the_table_is_what_python_does() {
    let output = Command::new("python3").arg(folder().join("table.py")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        String::from_utf8(output.stdout).unwrap() == table(),
        "made by another Python? See tests/rotation/table.py"
    );
}
