//! Where a job may lead: what a hub sends, checked before anything is done with it, and again before ssh is started.
//!
//! Nothing that passes here can be taken for an option of ssh, a second argument or another host.

use std::net::Ipv4Addr;

use super::WrongField;
use crate::config::NamePattern;
use crate::domain::{ForwardedPort, METADATA_ADDRESSES};

/// A Service with more ports helps nobody, and each port is a call of ssh.
pub const MOST_PORTS: usize = 32;
const LONGEST_HOST: usize = 253;
/// Names of a machine itself.
const LOOPBACK_NAMES: [&str; 4] = ["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"];
/// The metadata services of clouds give credentials to whoever asks.
const METADATA_NAMES: [&str; 4] =
    ["metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"];

/// The name of a Kubernetes Service. The API server judges in the end: older ones want a letter first.
pub fn check_service(name: &str) -> Result<(), WrongField> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = !name.is_empty() && name.len() <= 63 && name.chars().all(inner);
    if is_label && !name.starts_with('-') && !name.ends_with('-') {
        return Ok(());
    }
    let text = "Must be the name of a Kubernetes Service: lower-case letters, digits and `-`, at most 63, not `-` at the ends.";
    Err(WrongField::new("service", text))
}

/// The end of the alias `tunnel_<hostname>`: whether there is such an alias is another question.
pub fn check_hostname(name: &str) -> Result<(), WrongField> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && name.len() <= LONGEST_HOST && name.chars().all(allowed) {
        return Ok(());
    }
    Err(WrongField::new("hostname", "Must be a host's name: letters, digits and `.` `_` `-`, a letter or digit first."))
}

/// A plain host name or an IPv4 address that the configuration allows.
pub fn check_target_node(name: &str, allowed: &[NamePattern]) -> Result<(), WrongField> {
    let refused = |text: &str| Err(WrongField::new("target_node", text));
    if !is_host_name(name) {
        return refused("Must be the plain name of a host, or an IPv4 address.");
    }
    let lower = name.to_ascii_lowercase();
    let address = match last_label_is_number(&lower) {
        false => None,
        true => match lower.parse::<Ipv4Addr>() {
            Ok(address) => Some(address),
            // Decimal, octal or short forms, which resolvers take for addresses.
            Err(_) => return refused("Must be the plain name of a host, or an IPv4 address of four numbers."),
        },
    };
    if is_never_allowed(&lower, address) {
        return refused("This node is never allowed: it is link-local, a metadata service or no single host.");
    }
    let is_literal = |it: &NamePattern| it.as_str().eq_ignore_ascii_case(&lower);
    let is_allowed = match address {
        _ if is_loopback(&lower, address) => allowed.iter().any(is_literal),
        Some(_) => allowed.iter().any(|it| begins_with_digit(it) && it.matches(&lower)),
        None => allowed.iter().any(|it| it.matches(name) || it.matches(&lower)),
    };
    if is_allowed { Ok(()) } else { refused("This node is not in userjobs.allowed_target_nodes of the configuration.") }
}

pub fn check_ports(ports: &[ForwardedPort]) -> Result<(), WrongField> {
    match ports.len() {
        0 => Err(WrongField::new("ports", "At least one port is needed.")),
        1..=MOST_PORTS => Ok(()),
        _ => Err(WrongField::new("ports", &format!("At most {MOST_PORTS} ports may be given."))),
    }
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let ends_well = !label.starts_with('-') && !label.ends_with('-');
        (1..=63).contains(&label.len()) && label.chars().all(inner) && ends_well
    };
    name.len() <= LONGEST_HOST && name.split('.').all(is_label)
}

/// As resolvers see it: digits alone, or hexadecimal.
fn last_label_is_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    digits(last) || last.strip_prefix("0x").is_some_and(|it| it.chars().all(|c| c.is_ascii_hexdigit()))
}

fn is_loopback(name: &str, address: Option<Ipv4Addr>) -> bool {
    LOOPBACK_NAMES.contains(&name) || name.ends_with(".localhost") || address.is_some_and(|it| it.is_loopback())
}

fn is_never_allowed(name: &str, address: Option<Ipv4Addr>) -> bool {
    let is_bad = |it: Ipv4Addr| {
        let is_this_network = it.octets()[0] == 0;
        it.is_link_local()
            || it.is_multicast()
            || it.is_broadcast()
            || is_this_network
            || METADATA_ADDRESSES.contains(&it)
    };
    METADATA_NAMES.contains(&name) || address.is_some_and(is_bad)
}

fn begins_with_digit(pattern: &NamePattern) -> bool {
    pattern.as_str().starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 14] = [
        "",
        "-oProxyCommand=reboot",
        "a b",
        "a\nb",
        "a:22",
        "a/b",
        "a,b",
        "a%h",
        "$(reboot)",
        "a;b",
        "ä",
        "a..b",
        "-",
        "user@a",
    ];

    #[test]
    fn what_ssh_could_take_for_something_else_is_refused() {
        for text in HOSTILE {
            assert!(check_target_node(text, &[NamePattern::new("*")]).is_err(), "{text:?}");
            assert!(check_hostname(text).is_err() || text == "a..b", "{text:?}");
            assert!(check_service(text).is_err(), "{text:?}");
        }
        assert!(check_target_node("[::1]", &[NamePattern::new("*")]).is_err());
        assert!(check_hostname(&"a".repeat(254)).is_err());
    }

    #[test]
    fn plain_names_are_taken() {
        for name in ["node0050", "n1.hpc.example.org", "jsfc001i", "Node-1", "node_1", "10-0-0-1.example"] {
            assert!(check_target_node(name, &[NamePattern::new("*")]).is_ok(), "{name}");
        }
        assert!(check_hostname("login01").is_ok() && check_hostname("hdfml-booster_2.x").is_ok());
        for name in ["uj1", "5", "a-b"] {
            assert!(check_service(name).is_ok(), "{name}");
        }
        for name in ["UJ_1", "a.b", "-a", "a-", &"a".repeat(64)] {
            assert!(check_service(name).is_err(), "{name}");
        }
    }

    #[test]
    fn addresses_need_a_pattern_of_their_own_and_some_are_never_allowed() {
        let all = [NamePattern::new("*")];
        let own = ["*", "10.1.*", "1*", "localhost", "127.0.0.1", "169.254.169.254", "0*"].map(NamePattern::new);
        for address in ["10.1.2.3", "192.168.0.1", "127.0.0.1", "localhost", "LOCALHOST", "a.localhost", "127.1.1.1"] {
            assert!(check_target_node(address, &all).is_err(), "{address}");
        }
        for address in ["10.1.2.3", "192.168.0.1", "127.0.0.1", "localhost", "LocalHost"] {
            assert!(check_target_node(address, &own).is_ok(), "{address}");
        }
        for never in [
            "169.254.169.254",
            "169.254.1.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "metadata.google.internal",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "127.1",
            "017700000001",
            "10.1.2",
            "10.1.2.3.4",
            "1.2.3.0x10",
            "127.0.0.2",
            "b.localhost",
            "100.100.100.200",
            "168.63.129.16",
            "instance-data",
        ] {
            assert!(check_target_node(never, &own).is_err(), "{never}");
        }
        assert!(check_target_node("node1", &[NamePattern::new("jsfc*")]).is_err());
        assert!(check_target_node("JSFC1", &[NamePattern::new("jsfc*")]).is_ok());
        assert!(check_target_node("node1", &[]).is_err());
    }
}
