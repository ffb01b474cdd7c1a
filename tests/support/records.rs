//! The recorded transcripts, and the bookkeeping that no record is passed over.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::json::Json;
use super::wire::{Request, latin1};

pub fn contract_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract")
}

/// One recorded exchange, with what was seen afterwards.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: String,
    pub whole: Json,
}

/// All records, in the order in which they were made.
pub fn all() -> Vec<Record> {
    all_of("transcripts.jsonl")
}

/// The same of one file beneath the contract's folder.
pub fn all_of(file: &str) -> Vec<Record> {
    let text = std::fs::read_to_string(contract_folder().join(file)).unwrap();
    let record = |line: &str| {
        let whole = Json::parse(line);
        Record { id: whole.member("id").text().to_owned(), whole }
    };
    text.lines().map(record).collect()
}

impl Record {
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.whole.get(key)
    }

    pub fn is_same(&self) -> bool {
        self.whole.member("expect").text() == "same"
    }

    pub fn status(&self) -> u16 {
        match self.whole.member("response").member("status") {
            Json::Number(digits) => digits.parse().unwrap(),
            other => panic!("no status: {}", other.to_text()),
        }
    }

    /// The request as it was sent.
    pub fn request(&self) -> Request {
        let recorded = self.whole.member("request");
        let mut request = Request::new(recorded.member("method").text(), recorded.member("path").text());
        for (name, value) in recorded.member("headers").members() {
            request = request.header(name, value.text());
        }
        let body = recorded.member("body");
        match recorded.get("body_encoding").map(Json::text) {
            Some("json") => request.body(body.to_text()),
            // What could not be kept as text was the byte 0xff.
            Some("raw") => {
                let mut bytes = Vec::new();
                for c in body.text().chars() {
                    match c {
                        '\u{fffd}' => bytes.push(0xff),
                        c => bytes.extend_from_slice(c.to_string().as_bytes()),
                    }
                }
                request.body(bytes)
            }
            _ => request,
        }
    }

    /// The same where every body is text, as Outpost's records have it.
    pub fn plain_request(&self) -> Request {
        let request = self.request();
        match self.whole.member("request").member("body") {
            Json::Text(text) => request.body(text.as_str()),
            _ => request,
        }
    }

    /// The record with another text in one place, where ours is another on purpose.
    pub fn with(&self, recorded: &str, ours: &str) -> Self {
        let text = self.whole.to_text();
        assert_eq!(text.matches(recorded).count(), 1, "{}: {recorded}", self.id);
        Self { id: self.id.clone(), whole: Json::parse(&text.replace(recorded, ours)) }
    }

    pub fn raw_request(&self) -> Vec<u8> {
        latin1(self.whole.member("raw_request").text())
    }
}

/// Which records a scenario takes care of: an id, or a prefix that ends in `*`. The longest claim wins.
pub type Claims = &'static [&'static str];

/// How well `claim` names `id`; `None` when it does not.
pub fn claim_strength(claim: &str, id: &str) -> Option<usize> {
    match claim.strip_suffix('*') {
        Some(prefix) => id.starts_with(prefix).then_some(prefix.len()),
        None => (claim == id).then_some(usize::MAX),
    }
}

/// The records of one scenario. Dropping them before each was looked at fails the test.
pub struct Scenario {
    records: Vec<Record>,
    seen: RefCell<BTreeSet<String>>,
}

impl Scenario {
    /// The records that `owns` says are this scenario's.
    pub fn new(owns: impl Fn(&str) -> bool) -> Self {
        Self::of("transcripts.jsonl", owns)
    }

    /// The same of one file beneath the contract's folder.
    pub fn of(file: &str, owns: impl Fn(&str) -> bool) -> Self {
        let records: Vec<_> = all_of(file).into_iter().filter(|it| owns(&it.id)).collect();
        assert!(!records.is_empty(), "a scenario without records");
        Self { records, seen: RefCell::default() }
    }

    /// A record by its id; counts as looked at.
    pub fn record(&self, id: &str) -> &Record {
        self.seen.borrow_mut().insert(id.to_owned());
        self.records.iter().find(|it| it.id == id).unwrap_or_else(|| panic!("no record {id} in this scenario"))
    }

    /// Those not looked at yet, in order; all of them count as looked at.
    pub fn rest(&self) -> Vec<&Record> {
        let mut seen = self.seen.borrow_mut();
        self.records.iter().filter(|it| seen.insert(it.id.clone())).collect()
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let unseen: Vec<_> = self.rest().iter().map(|it| it.id.clone()).collect();
            assert!(unseen.is_empty(), "records that the scenario did not look at: {unseen:?}");
        }
    }
}
