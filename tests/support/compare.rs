//! An answer against its record: status, headers, body with the order of its keys; then what was seen afterwards.

use std::time::Duration;

use serde_json::{Value, json};

use super::app::TestApp;
use super::cluster::{NAMESPACE, comparable, name_of};
use super::folders;
use super::json::Json;
use super::records::Record;
use super::wait::eventually;
use super::wire::Answer;

/// What a cluster may take to get somewhere.
const COMING: Duration = Duration::from_secs(20);
const HEADERS: [&str; 3] = ["content-type", "allow", "www-authenticate"];

impl TestApp {
    /// Sends what was recorded and expects what was recorded.
    pub async fn same(&self, record: &Record) -> Answer {
        assert!(record.is_same(), "{}: the records say that we differ", record.id);
        let answer = self.exchange(record).await;
        assert_same(record, &answer);
        answer
    }

    /// The reference had carried a stop out when it answered.
    async fn exchange(&self, record: &Record) -> Answer {
        let request = record.request();
        let answer = self.send(&request).await;
        let name = request.path.strip_prefix("/api/services/").map(|it| it.trim_end_matches('/'));
        if let ("DELETE", 204, Some(name)) = (request.method.as_str(), answer.status, name) {
            self.stop_is_carried_out(name).await;
        }
        answer
    }

    /// Asks again until the answer is the recorded one.
    pub async fn comes_to_same(&self, record: &Record) -> Answer {
        assert!(record.is_same(), "{}: the records say that we differ", record.id);
        let recorded = comparable_recorded(record.get("response").expect("a response").member("body"));
        let seen = std::cell::RefCell::new(String::new());
        let matching = async {
            eventually(&format!("{} answers as recorded", record.id), async || {
                let answer = self.send(&record.request()).await;
                seen.replace(comparable_body(&answer));
                (*seen.borrow() == recorded).then_some(answer)
            })
            .await
        };
        let answer = tokio::time::timeout(COMING, matching).await;
        let answer = answer.unwrap_or_else(|_| panic!("{}: {} is not {recorded}", record.id, seen.borrow()));
        assert_same(record, &answer);
        answer
    }

    /// Sends what was recorded, where we answer differently: with this status.
    pub async fn differs(&self, record: &Record, status: u16) -> Answer {
        assert!(!record.is_same(), "{}: the records say that we do not differ", record.id);
        let answer = self.exchange(record).await;
        assert_eq!(answer.status, status, "{}: {}", record.id, answer.body);
        answer
    }

    /// The same, and the answer is this text.
    pub async fn differs_with(&self, record: &Record, status: u16, body: &str) -> Answer {
        let answer = self.differs(record, status).await;
        assert_eq!(answer.body, body, "{}", record.id);
        answer
    }

    /// A 400 that says what is wrong, and nothing was made.
    pub async fn refused(&self, record: &Record) -> Answer {
        let before = self.everything().await;
        let answer = self.differs(record, 400).await;
        assert!(answer.body.len() > 10, "{}: what is wrong is said: {}", record.id, answer.body);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.json();
        assert_eq!(self.everything().await, before, "{}: nothing is made", record.id);
        answer
    }

    /// All that a start could make: objects, rendered files, homes, descriptions.
    pub async fn everything(&self) -> Value {
        let folder = |name: &str| folders::listing(&self.path(name));
        json!({
            "cluster": self.cluster.snapshot().await,
            "services": folder("services"),
            "userhomes": folder("userhomes"),
            "descriptions": folder("descriptions"),
        })
    }

    /// The names of the record, in the namespace of this test; the random parts of pod names are `*`.
    pub async fn assert_cluster_names(&self, record: &Record) {
        let recorded = record.get("cluster_names").expect("recorded names").items();
        let recorded: Vec<_> = recorded.iter().map(|it| without_suffix(it.text())).collect();
        let found: Vec<_> = self.cluster.names().await.iter().map(|it| without_suffix(it)).collect();
        assert_eq!(found, recorded, "{}", record.id);
    }

    /// The recorded objects, whole; of ours those whose names hold `part`.
    pub async fn assert_cluster(&self, record: &Record, part: &str) {
        self.assert_objects(record, "cluster", |_, name| name.contains(part)).await;
    }

    /// The objects recorded under `key`, whole; of ours those that `is_wanted` says by kind and name.
    pub async fn assert_objects(&self, record: &Record, key: &str, is_wanted: impl Fn(&str, &str) -> bool) {
        let recorded = record.get(key).expect("recorded objects").to_text();
        let recorded = recorded.replace(NAMESPACE, &self.cluster.namespace);
        let recorded: Vec<Value> = serde_json::from_str(&recorded).unwrap();
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let wanted = |object: &&Value| is_wanted(object["kind"].as_str().unwrap_or_default(), &name(object));
        let found: Vec<_> = self.cluster.objects().await.iter().filter(wanted).map(comparable).collect();
        let recorded: Vec<_> = recorded.iter().map(comparable).collect();
        let names = |objects: &[Value]| objects.iter().map(name_of).collect::<Vec<_>>();
        assert_eq!(names(&found), names(&recorded), "{}", record.id);
        for (found, recorded) in found.iter().zip(&recorded) {
            assert_same_lines(&pretty(found), &pretty(recorded), &format!("{}: {}", record.id, name(recorded)));
        }
    }

    /// A recorded folder (`path`, `entries`) against ours: paths, kinds, modes, and contents where they were recorded.
    pub fn assert_folder(&self, record: &Record, key: &str) {
        let recorded = record.get(key).expect("a recorded folder").to_text();
        let recorded: Value = serde_json::from_str(&recorded.replace(NAMESPACE, &self.cluster.namespace)).unwrap();
        let path = recorded["path"].as_str().unwrap().trim_start_matches("/srv/k8smgr/").to_owned();
        let mut found = folders::listing(&self.path(&path));
        let mut entries = recorded["entries"].clone();
        let recorded_entries = entries.as_array_mut().unwrap();
        recorded_entries.sort_by_key(|it| it["path"].as_str().unwrap_or_default().to_owned());
        for entry in recorded_entries.iter_mut() {
            // Whoever runs the tests owns what they make.
            super::cluster::remove(entry, &["uid", "gid"]);
        }
        for (found, entry) in found.as_array_mut().unwrap().iter_mut().zip(recorded_entries.iter()) {
            if entry["content"].is_null() || path.starts_with("services") && is_rendered(entry) {
                super::cluster::remove(found, &["content"]);
            }
        }
        for entry in recorded_entries.iter_mut() {
            if path.starts_with("services") && is_rendered(entry) {
                super::cluster::remove(entry, &["content"]);
            }
        }
        assert_same_lines(&pretty(&found), &pretty(&entries), &format!("{}: {path}", record.id));
    }
}

/// Holds the archive, whose bytes are volatile; what came of it is compared in the cluster.
fn is_rendered(entry: &Value) -> bool {
    entry["path"] == "service.yaml"
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

/// Says the lines that only one of the texts has.
fn assert_same_lines(found: &str, recorded: &str, what: &str) {
    let only = |text: &str, other: &str| -> Vec<String> {
        text.lines().filter(|line| !other.lines().any(|it| it == *line)).map(str::to_owned).collect()
    };
    let (ours, theirs) = (only(found, recorded), only(recorded, found));
    assert!(found == recorded, "{what}: only here {ours:#?}, only in the record {theirs:#?}");
}

fn without_suffix(name: &str) -> String {
    match name.strip_prefix("Pod/depl-").and_then(|_| name.rsplit_once('-')?.0.rsplit_once('-')) {
        Some((stem, _)) => format!("{stem}-*"),
        None => name.to_owned(),
    }
}

pub fn assert_same(record: &Record, answer: &Answer) {
    let recorded = record.get("response").expect("a recorded response");
    assert_eq!(answer.status, record.status(), "{}: {}", record.id, answer.body);
    for header in HEADERS {
        let expected = recorded.member("headers").get(header).map(Json::text);
        assert_eq!(answer.header(header), expected, "{}: {header}", record.id);
    }
    assert_eq!(comparable_body(answer), comparable_recorded(recorded.member("body")), "{}", record.id);
}

fn comparable_body(answer: &Answer) -> String {
    if answer.header("content-type") == Some("application/json") && !answer.body.is_empty() {
        masked(answer.json()).to_text()
    } else {
        answer.body.clone()
    }
}

fn comparable_recorded(body: &Json) -> String {
    match body {
        Json::Text(text) => text.clone(),
        Json::Null => String::new(),
        other => masked(other.clone()).to_text(),
    }
}

/// With `*` for the date of every start, once it looks like one.
pub fn masked(mut body: Json) -> Json {
    let services = match &mut body {
        Json::List(items) => items.iter_mut().collect(),
        other => vec![other],
    };
    for service in services {
        if let Some(date) = service.get("start_date") {
            assert!(is_date(date.text()), "no date: {}", date.text());
            service.set("start_date", Json::Text("*".to_owned()));
        }
    }
    body
}

/// `2026-11-20T10:45:39.779477Z`; Python leaves microseconds out when they are zero.
fn is_date(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000000Z" || shape == "0000-00-00T00:00:00Z"
}
