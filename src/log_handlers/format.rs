//! The two formats of the reference: a line of text, and an object a line.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::record::LOGGER;
use super::{Record, level::Level};
use crate::domain::Json;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formatter {
    Simple,
    Json,
}

impl Formatter {
    /// One line, without its end.
    pub fn line(self, record: &Record, zone: &TimeZone) -> String {
        match self {
            Formatter::Simple => simple(record, zone),
            Formatter::Json => json(record, zone),
        }
    }
}

/// `2026-11-20 10:56:24,666`, local time.
fn asctime(time: Timestamp, zone: &TimeZone) -> String {
    let time = time.to_zoned(zone.clone());
    format!("{},{:03}", time.strftime("%Y-%m-%d %H:%M:%S"), time.millisecond())
}

fn simple(record: &Record, zone: &TimeZone) -> String {
    let Level(number) = record.level;
    let mut line = format!(
        "{} logger={LOGGER} levelno={number} levelname={} file={} line={} function={} : ",
        asctime(record.time, zone),
        record.level.name(),
        record.file,
        record.line,
        record.function
    );
    push_escaped(&mut line, record.message());
    for (name, value) in record.extras() {
        let _ = write!(line, " --- {name}=");
        push_escaped(&mut line, &value.python_str());
    }
    line
}

/// Nobody may begin a line of their own inside ours, nor colour a terminal.
fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push('\t'),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(line, "\\x{:02x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

fn json(record: &Record, zone: &TimeZone) -> String {
    let Level(number) = record.level;
    let text = |text: &str| Json::String(text.to_owned());
    let own = [
        ("asctime", Json::String(asctime(record.time, zone))),
        ("levelno", Json::Integer(number.to_string())),
        ("levelname", text(record.level.name())),
        ("logger", text(LOGGER)),
        ("file", text(&record.file)),
        ("line", Json::Integer(record.line.to_string())),
        ("function", text(&record.function)),
        ("Message", text(record.message())),
    ];
    let own = own.iter().map(|(name, value)| (*name, value));
    let extras = record.extras().iter().map(|(name, value)| (name.as_str(), value));
    let mut line = String::new();
    push_object(&mut line, own.chain(extras));
    line
}

/// As Python's `json.dumps`: a blank after separators, nothing but ASCII.
fn push_json(out: &mut String, value: &Json) {
    match value {
        Json::String(text) => push_json_text(out, text),
        Json::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                push_json(out, item);
            }
            out.push(']');
        }
        Json::Object(members) => push_object(out, members.iter().map(|(name, value)| (name.as_str(), value))),
        plain => out.push_str(&plain.to_text()),
    }
}

fn push_object<'a>(out: &mut String, members: impl Iterator<Item = (&'a str, &'a Json)>) {
    out.push('{');
    for (index, (name, value)) in members.enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        push_json_text(out, name);
        out.push_str(": ");
        push_json(out, value);
    }
    out.push('}');
}

fn push_json_text(out: &mut String, text: &str) {
    for c in Json::String(text.to_owned()).to_text().chars() {
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(level: Level, message: &str, extras: &str) -> Record {
        let Json::Object(extras) = Json::parse(extras.as_bytes()).unwrap() else { panic!("no object") };
        let time = "2026-11-20T11:21:25.552999Z".parse().unwrap();
        Record::new(time, level, ("src/http/log_test.rs", 38, "k8smgr::http::log_test"), message, extras)
    }

    #[test]
    fn a_simple_line_is_the_reference_s() {
        let extras = r#"{"Extra1":"message1","mesg":"msg1","env":{"a":7,"b":"it's"},"none":null,"yes":true,"n":1.0}"#;
        assert_eq!(
            Formatter::Simple.line(&record(Level::CRITICAL, "Critical", extras), &TimeZone::UTC),
            "2026-11-20 11:21:25,552 logger=K8sMgr levelno=50 levelname=CRITICAL file=src/http/log_test.rs line=38 \
             function=k8smgr::http::log_test : Critical --- Extra1=message1 --- mesg=msg1 --- \
             env={'a': 7, 'b': \"it's\"} --- none=None --- yes=True --- n=1.0"
        );
    }

    #[test]
    fn a_json_line_is_the_reference_s() {
        let extras = r#"{"env":{"a":7,"b":"ü😀\n"},"list":[1,null,true],"uuidcode":"lg2"}"#;
        assert_eq!(
            Formatter::Json.line(&record(Level::TRACE, "Trace \"x\"", extras), &TimeZone::UTC),
            r#"{"asctime": "2026-11-20 11:21:25,552", "levelno": 5, "levelname": "TRACE", "logger": "K8sMgr", "#
                .to_owned()
                + r#""file": "src/http/log_test.rs", "line": 38, "function": "k8smgr::http::log_test", "#
                + r#""Message": "Trace \"x\"", "env": {"a": 7, "b": "\u00fc\ud83d\ude00\n"}, "#
                + r#""list": [1, null, true], "uuidcode": "lg2"}"#
        );
    }

    #[test]
    fn the_time_is_local() {
        let line = Formatter::Simple.line(&record(Level::INFO, "x", "{}"), &TimeZone::get("Europe/Berlin").unwrap());
        assert!(line.starts_with("2026-11-20 12:21:25,552 "), "{line}");
    }

    #[test]
    fn a_text_cannot_begin_a_line_of_its_own() {
        let line = Formatter::Simple.line(&record(Level::INFO, "a\nb", r#"{"x":"1\r\n\u001b[31m"}"#), &TimeZone::UTC);
        assert!(line.ends_with(" : a\\nb --- x=1\\r\\n\\x1b[31m"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
}
