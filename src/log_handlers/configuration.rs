//! What a handler is told to do: the reference's keys, their defaults, and its checks in its order with its messages.

use super::rotation::When;
use super::{Formatter, Level};
use crate::domain::Json;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerKind {
    Stream,
    File,
    Smtp,
    Syslog,
}

impl HandlerKind {
    pub const ALL: [HandlerKind; 4] = [HandlerKind::Stream, HandlerKind::File, HandlerKind::Smtp, HandlerKind::Syslog];

    pub fn as_str(self) -> &'static str {
        match self {
            HandlerKind::Stream => "stream",
            HandlerKind::File => "file",
            HandlerKind::Smtp => "smtp",
            HandlerKind::Syslog => "syslog",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// The `handler` of a request; an error says what it may be.
    pub fn parse(value: &Json) -> Result<Self, String> {
        let kind = value.as_str().and_then(Self::named);
        kind.ok_or_else(|| unsupported("handler", value, "['stream', 'file', 'smtp', 'syslog']"))
    }

    /// In the order in which a new handler's configuration is told.
    pub fn defaults(self) -> Json {
        let text = match self {
            HandlerKind::Stream => r#"{"formatter":"simple","level":10,"stream":"ext://sys.stdout"}"#,
            HandlerKind::File => {
                r#"{"formatter":"simple","level":10,"filename":"/tmp/file.log","when":"midnight","backupCount":7}"#
            }
            HandlerKind::Smtp => {
                r#"{"formatter":"simple","level":10,"mailhost":"","fromaddr":"","toaddrs":[],"subject":""}"#
            }
            HandlerKind::Syslog => {
                r#"{"formatter":"json","level":10,"address":["127.0.0.1",514],"socktype":"ext://socket.SOCK_STREAM"}"#
            }
        };
        Json::parse(text.as_bytes()).unwrap_or_else(|_| Json::empty_object())
    }

    /// Keys of ours, which the reference does not have and which are stored only where they are given.
    fn own_keys(self) -> &'static [&'static str] {
        match self {
            HandlerKind::Stream | HandlerKind::File => &[],
            HandlerKind::Smtp => &["port", "security"],
            HandlerKind::Syslog => &["protocol"],
        }
    }
}

/// A handler's configuration after its checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    pub kind: HandlerKind,
    /// As it is stored and told.
    pub json: Json,
    pub level: Level,
    pub formatter: Formatter,
    pub destination: Destination,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Stdout,
    Stderr,
    File { filename: String, when: When, backup_count: usize },
    Smtp(Mail),
    Syslog { host: String, port: u16, transport: Transport, protocol: Protocol },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Empty: nothing is sent.
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub from: String,
    pub to: Vec<String>,
    pub subject: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    None,
    StartTls,
    Tls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Datagram,
    Stream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// As the reference: priority, line, a NUL.
    Rfc3164,
    /// A full header; over a stream with the length before (RFC 6587).
    Rfc5424,
}

impl Configuration {
    /// The stored configuration (for a new handler the defaults) with what is given laid over it. Errors are for the
    /// caller, one at a time.
    pub fn merged(kind: HandlerKind, stored: Option<&Json>, given: Option<&Json>) -> Result<Self, String> {
        let mut members = match stored.cloned().unwrap_or_else(|| kind.defaults()) {
            Json::Object(members) => members,
            _ => return Err("the stored configuration is no object".to_owned()),
        };
        match given {
            None => {}
            Some(Json::Object(given)) => {
                for (key, value) in given {
                    match members.iter_mut().find(|(it, _)| it == key) {
                        Some((_, old)) => *old = value.clone(),
                        None => members.push((key.clone(), value.clone())),
                    }
                }
            }
            Some(other) => return Err(format!("Configuration must be of type dict not {}", python_type(other))),
        }
        Self::checked(kind, Json::Object(members))
    }

    /// Told nothing that it could do: the default of smtp, which has no host.
    pub fn is_idle(&self) -> bool {
        matches!(&self.destination, Destination::Smtp(mail) if mail.host.is_empty())
    }

    fn checked(kind: HandlerKind, json: Json) -> Result<Self, String> {
        let formatter = match json.get("formatter").and_then(Json::as_str) {
            Some("simple") => Formatter::Simple,
            Some("json") => Formatter::Json,
            _ => return Err(unsupported("formatter", member(&json, "formatter"), "['simple', 'json']")),
        };
        let level = member(&json, "level");
        let level = Level::parse(level).ok_or_else(|| {
            let supported = "[0, 5, 10, 20, 30, 40, 50, 99, '0', '5', '10', '20', '30', '40', '50', '99', 'NOTSET', \
                 'TRACE', 'DEBUG', 'INFO', 'WARN', 'WARNING', 'ERROR', 'FATAL', 'CRITICAL', 'DEACTIVATE']";
            unsupported("level", level, supported)
        })?;
        let destination = match kind {
            HandlerKind::Stream => stream(&json)?,
            HandlerKind::File => file(&json)?,
            HandlerKind::Smtp => Destination::Smtp(mail(&json)?),
            HandlerKind::Syslog => syslog(&json)?,
        };
        no_unknown_key(kind, &json)?;
        Ok(Self { kind, json, level, formatter, destination })
    }
}

fn stream(json: &Json) -> Result<Destination, String> {
    let stream = member(json, "stream");
    match stream.as_str() {
        Some("ext://sys.stdout") => Ok(Destination::Stdout),
        Some("ext://sys.stderr") => Ok(Destination::Stderr),
        _ => Err(unsupported("stream", stream, "['ext://sys.stdout', 'ext://sys.stderr']")),
    }
}

fn file(json: &Json) -> Result<Destination, String> {
    let filename = text(json, "filename")?;
    let when = member(json, "when");
    let parsed = when.as_str().and_then(When::parse);
    let supported = "['s', 'm', 'h', 'd', 'w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'midnight']";
    let parsed = parsed.ok_or_else(|| unsupported("when", when, supported))?;
    // Zero and less: all are kept.
    let backup_count = match member(json, "backupCount") {
        Json::Integer(digits) if digits.starts_with('-') => 0,
        Json::Integer(digits) => digits.parse().unwrap_or(usize::MAX),
        other => return Err(wrong_type("backupCount", "int", other)),
    };
    Ok(Destination::File { filename, when: parsed, backup_count })
}

fn mail(json: &Json) -> Result<Mail, String> {
    let host = text(json, "mailhost")?;
    let from = text(json, "fromaddr")?;
    let Json::List(to) = member(json, "toaddrs") else {
        return Err(wrong_type("toaddrs", "list", member(json, "toaddrs")));
    };
    let one = |it: &Json| it.as_str().map(str::to_owned).ok_or_else(|| wrong_type("toaddrs", "str", it));
    let to = to.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let subject = text(json, "subject")?;
    let security = match json.get("security") {
        None => Security::None,
        Some(value) => match value.as_str() {
            Some("none") => Security::None,
            Some("starttls") => Security::StartTls,
            Some("tls") => Security::Tls,
            _ => return Err("security in configuration must be none, starttls or tls".to_owned()),
        },
    };
    let port = match (json.get("port"), security) {
        (Some(value), _) => port("port", value)?,
        (None, Security::None) => 25,
        (None, Security::StartTls) => 587,
        (None, Security::Tls) => 465,
    };
    if !host.is_empty() && from.is_empty() {
        return Err("fromaddr in configuration must not be empty where there is a mailhost".to_owned());
    }
    if !host.is_empty() && to.is_empty() {
        return Err("toaddrs in configuration must not be empty where there is a mailhost".to_owned());
    }
    Ok(Mail { host, port, security, from, to, subject })
}

fn syslog(json: &Json) -> Result<Destination, String> {
    let Json::List(address) = member(json, "address") else {
        return Err(wrong_type("address", "list", member(json, "address")));
    };
    let [Json::String(host), port_value] = address.as_slice() else {
        return Err("address in configuration must hold a host and a port, such as ['127.0.0.1', 514]".to_owned());
    };
    if host.is_empty() {
        return Err("the host of address in configuration must not be empty".to_owned());
    }
    let port = port("the port of address", port_value)?;
    let socktype = member(json, "socktype");
    let transport = match socktype.as_str() {
        Some("ext://socket.SOCK_DGRAM") => Transport::Datagram,
        Some("ext://socket.SOCK_STREAM") => Transport::Stream,
        _ => {
            let supported = "['ext://socket.SOCK_DGRAM', 'ext://socket.SOCK_STREAM']";
            return Err(unsupported("socktype", socktype, supported));
        }
    };
    let protocol = match json.get("protocol") {
        None => Protocol::Rfc3164,
        Some(value) => match value.as_str() {
            Some("rfc3164") => Protocol::Rfc3164,
            Some("rfc5424") => Protocol::Rfc5424,
            _ => return Err(unsupported("protocol", value, "['rfc3164', 'rfc5424']")),
        },
    };
    Ok(Destination::Syslog { host: host.clone(), port, transport, protocol })
}

fn no_unknown_key(kind: HandlerKind, json: &Json) -> Result<(), String> {
    let (Json::Object(members), Json::Object(known)) = (json, kind.defaults()) else { return Ok(()) };
    let mut known: Vec<_> = known.into_iter().map(|(key, _)| key).collect();
    known.extend(kind.own_keys().iter().map(|it| (*it).to_owned()));
    match members.iter().find(|(key, _)| !known.contains(key)) {
        None => Ok(()),
        Some((key, _)) => {
            let supported = Json::List(known.into_iter().map(Json::String).collect());
            Err(format!("Unsupported key in configuration: {key}. Supported keys: {}", supported.python_str()))
        }
    }
}

fn text(json: &Json, key: &str) -> Result<String, String> {
    let value = member(json, key);
    let text = value.as_str().ok_or_else(|| wrong_type(key, "str", value))?;
    if text.chars().any(char::is_control) {
        return Err(format!("{key} in configuration must not hold control characters"));
    }
    Ok(text.to_owned())
}

fn port(name: &str, value: &Json) -> Result<u16, String> {
    match value {
        Json::Integer(digits) => digits.parse().ok().filter(|port| *port > 0),
        other => return Err(wrong_type(name, "int", other)),
    }
    .ok_or_else(|| format!("{name} in configuration must be between 1 and 65535"))
}

fn member<'a>(json: &'a Json, key: &str) -> &'a Json {
    json.get(key).unwrap_or(&Json::Null)
}

fn unsupported(what: &str, value: &Json, supported: &str) -> String {
    format!("Unsupported {what}: {}. Supported {what}s: {supported}", value.python_str())
}

fn wrong_type(key: &str, wanted: &str, value: &Json) -> String {
    format!("{key} in configuration must be of type [<class '{wanted}'>] not {}", python_type(value))
}

fn python_type(value: &Json) -> String {
    let name = match value {
        Json::Null => "NoneType",
        Json::Bool(_) => "bool",
        Json::Integer(_) => "int",
        Json::Float(_) => "float",
        Json::String(_) => "str",
        Json::List(_) => "list",
        Json::Object(_) => "dict",
    };
    format!("<class '{name}'>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(kind: HandlerKind, given: &str) -> Result<String, String> {
        let given = Json::parse(given.as_bytes()).unwrap();
        Configuration::merged(kind, None, Some(&given)).map(|it| it.json.to_text())
    }

    #[test]
    fn the_first_failing_check_is_told() {
        for (kind, given, message) in [
            (
                HandlerKind::Stream,
                r#"{"formatter":null,"level":1}"#,
                "Unsupported formatter: None. Supported formatters: ['simple', 'json']",
            ),
            (
                HandlerKind::File,
                r#"{"filename":5,"when":1}"#,
                "filename in configuration must be of type [<class 'str'>] not <class 'int'>",
            ),
            (
                HandlerKind::File,
                r#"{"when":"w7","backupCount":"7"}"#,
                "Unsupported when: w7. Supported whens: ['s', 'm', 'h', 'd', 'w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'midnight']",
            ),
            (
                HandlerKind::File,
                r#"{"backupCount":true}"#,
                "backupCount in configuration must be of type [<class 'int'>] not <class 'bool'>",
            ),
            (
                HandlerKind::Smtp,
                r#"{"mailhost":["h",25],"fromaddr":1}"#,
                "mailhost in configuration must be of type [<class 'str'>] not <class 'list'>",
            ),
            (
                HandlerKind::Smtp,
                r#"{"fromaddr":null,"toaddrs":""}"#,
                "fromaddr in configuration must be of type [<class 'str'>] not <class 'NoneType'>",
            ),
            (
                HandlerKind::Smtp,
                r#"{"toaddrs":"c@d"}"#,
                "toaddrs in configuration must be of type [<class 'list'>] not <class 'str'>",
            ),
            (
                HandlerKind::Smtp,
                r#"{"toaddrs":[{}]}"#,
                "toaddrs in configuration must be of type [<class 'str'>] not <class 'dict'>",
            ),
            (
                HandlerKind::Smtp,
                r#"{"subject":1.5}"#,
                "subject in configuration must be of type [<class 'str'>] not <class 'float'>",
            ),
            (
                HandlerKind::Smtp,
                r#"{"subject":"a\nBcc: x"}"#,
                "subject in configuration must not hold control characters",
            ),
            (
                HandlerKind::Smtp,
                r#"{"mailhost":"h","fromaddr":"a@b"}"#,
                "toaddrs in configuration must not be empty where there is a mailhost",
            ),
            (HandlerKind::Smtp, r#"{"security":"ssl"}"#, "security in configuration must be none, starttls or tls"),
            (
                HandlerKind::Syslog,
                r#"{"address":"h"}"#,
                "address in configuration must be of type [<class 'list'>] not <class 'str'>",
            ),
            (
                HandlerKind::Syslog,
                r#"{"address":["h"]}"#,
                "address in configuration must hold a host and a port, such as ['127.0.0.1', 514]",
            ),
            (
                HandlerKind::Syslog,
                r#"{"address":["h",70000]}"#,
                "the port of address in configuration must be between 1 and 65535",
            ),
            (
                HandlerKind::Syslog,
                r#"{"socktype":"tcp"}"#,
                "Unsupported socktype: tcp. Supported socktypes: ['ext://socket.SOCK_DGRAM', 'ext://socket.SOCK_STREAM']",
            ),
            (
                HandlerKind::Stream,
                r#"{"filename":5}"#,
                "Unsupported key in configuration: filename. Supported keys: ['formatter', 'level', 'stream']",
            ),
        ] {
            assert_eq!(merged(kind, given).unwrap_err(), message, "{given}");
        }
    }

    #[test]
    fn what_is_given_is_laid_over_what_is_stored() {
        assert_eq!(
            merged(HandlerKind::Stream, r#"{"level":"INFO","formatter":"json"}"#).unwrap(),
            r#"{"formatter":"json","level":"INFO","stream":"ext://sys.stdout"}"#
        );
        let stored = Json::parse(br#"{"level":20,"formatter":"json","stream":"ext://sys.stderr"}"#).unwrap();
        let given = Json::parse(br#"{"level":30}"#).unwrap();
        let merged = Configuration::merged(HandlerKind::Stream, Some(&stored), Some(&given)).unwrap();
        assert_eq!(merged.json.to_text(), r#"{"level":30,"formatter":"json","stream":"ext://sys.stderr"}"#);
        assert_eq!((merged.level, merged.destination), (Level::WARNING, Destination::Stderr));
    }

    #[test]
    fn options_of_ours_have_defaults_that_are_not_stored() {
        let configuration = Configuration::merged(HandlerKind::Smtp, None, None).unwrap();
        let Destination::Smtp(mail) = configuration.destination else { panic!("no mail") };
        assert_eq!((mail.port, mail.security), (25, Security::None));
        assert!(!configuration.json.to_text().contains("port"));
        assert!(
            merged(HandlerKind::Syslog, r#"{"protocol":"rfc5424"}"#).unwrap().ends_with(r#""protocol":"rfc5424"}"#)
        );
    }
}
