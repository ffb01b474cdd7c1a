//! What differs between two configurations, and which of it waits for the next start.
//!
//! The fields that wait are listed here, once; a test holds the list against the last word of the doc comments.

use serde_json::Value;

use super::Config;

/// Deeper than this a change is told by the name of what holds it.
const DEEPEST: usize = 3;

macro_rules! at_restart {
    ($($($field:ident).+;)*) => {
        impl Config {
            /// Puts back what only a new start can change, and gives the names of what was put back.
            pub fn keep_until_restart(&mut self, running: &Config) -> Vec<&'static str> {
                let mut kept = Vec::new();
                $(if self.$($field).+ != running.$($field).+ {
                    self.$($field).+ = running.$($field).+.clone();
                    kept.push(concat_names!($($field).+));
                })*
                kept
            }
        }

        #[cfg(test)]
        const AT_RESTART: &[&str] = &[$(concat_names!($($field).+)),*];
    };
}

macro_rules! concat_names {
    ($first:ident) => {
        stringify!($first)
    };
    ($first:ident.$second:ident) => {
        concat!(stringify!($first), ".", stringify!($second))
    };
}

at_restart! {
    listen;
    database_url;
    tunnel;
    services.base;
    services.shrunken_list_percent;
    startup.create_user;
    http.max_header_bytes;
    http.shutdown_delay_seconds;
    metrics.listen;
    tls.certificate;
    tls.key;
    tls.client_ca;
    tls.client_certificates;
    leader_election.method;
    leader_election.lease_seconds;
    userjobs.bind_address;
    userjobs.ssh_program;
}

impl Config {
    /// The names of the fields that differ, without their values: these may be passwords.
    pub fn changed_fields(&self, other: &Config) -> Vec<String> {
        let values = (serde_json::to_value(self), serde_json::to_value(other));
        let (Ok(own), Ok(others)) = values else { return Vec::new() };
        let mut changed = Vec::new();
        compare("", &own, &others, 0, &mut changed);
        changed
    }

    /// Whether both say the same in the same order.
    pub fn is_same(&self, other: &Config) -> bool {
        match (serde_json::to_string(self), serde_json::to_string(other)) {
            (Ok(own), Ok(others)) => own == others,
            _ => false,
        }
    }
}

fn compare(path: &str, own: &Value, others: &Value, depth: usize, changed: &mut Vec<String>) {
    if own == others {
        return;
    }
    let (Value::Object(own), Value::Object(others), true) = (own, others, depth < DEEPEST) else {
        changed.push(path.to_owned());
        return;
    };
    let new = others.keys().filter(|key| !own.contains_key(*key));
    for key in own.keys().chain(new) {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let value = |of: &serde_json::Map<String, Value>| of.get(key).cloned().unwrap_or_default();
        compare(&below, &value(own), &value(others), depth + 1, changed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::reference::keys_that_change_at;

    fn config(text: &str) -> Config {
        Config::from_json(text, "x").unwrap().config
    }

    #[test]
    fn what_waits_for_a_restart_is_what_the_documentation_says() {
        // All keys of a list are one field of ours.
        let documented: BTreeSet<_> = keys_that_change_at("at the next start")
            .into_iter()
            .map(|key| key.split('[').next().unwrap().to_owned())
            .collect();
        let ours: BTreeSet<_> = AT_RESTART.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(ours, documented);
    }

    #[test]
    fn what_waits_for_a_restart_stays_as_it_was_and_is_named() {
        let running = config(r#"{"listen": "127.0.0.1:1", "error_messages": {"a": "b"}}"#);
        let mut new = config(
            r#"{"listen": "127.0.0.1:2", "database_url": "sqlite:///x", "tunnel": [{"hostname": "h"}],
                "services": {"base": "/b", "shrunken_list_percent": 7, "env": {"A": "secret"}},
                "startup": {"create_user": {"hub": []}}, "metrics": {"listen": "127.0.0.1:3"},
                "tls": {"certificate": "/c", "key": "/k", "client_ca": "/a", "client_certificates": "required"},
                "http": {"max_header_bytes": 8192, "shutdown_delay_seconds": 1, "max_body_bytes": 5},
                "leader_election": {"method": "database", "lease_seconds": 7},
                "userjobs": {"bind_address": "::", "ssh_program": "/opt/ssh"}}"#,
        );
        let kept = new.keep_until_restart(&running);
        assert_eq!(kept, AT_RESTART);
        assert_eq!(running.changed_fields(&new), ["error_messages.a", "http.max_body_bytes", "services.env.A"]);
        assert!(!running.is_same(&new));
        let mut same = config(r#"{"error_messages": {"a": "b"}, "listen": "127.0.0.1:1"}"#);
        assert!(same.keep_until_restart(&running).is_empty() && same.is_same(&running));
    }

    #[test]
    fn another_order_of_the_environment_is_a_change() {
        let (one, other) = (r#"{"services": {"env": {"A": 1, "B": 2}}}"#, r#"{"services": {"env": {"B": 2, "A": 1}}}"#);
        assert!(!config(one).is_same(&config(other)));
    }
}
