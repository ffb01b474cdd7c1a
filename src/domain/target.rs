//! Which hosts may be connected to: addresses, networks, names, or all that is public.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The metadata services of clouds (Alibaba, Azure) that are not link-local: they give a node's credentials to whoever asks.
pub const METADATA_ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];

/// One entry of a list of allowed targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedTarget {
    hosts: Hosts,
    /// `None`: all ports.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    /// Every address of the public internet: nothing private, link-local, loopback or reserved.
    Public,
    Network {
        address: IpAddr,
        prefix: u8,
    },
    /// The name is trusted, whatever it resolves to.
    Name(String),
}

#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a target: write `public`, an address, a network such as 10.0.0.0/8, or a host name, each with `:port` where one port only is meant"
)]
pub struct TargetError(String);

impl AllowedTarget {
    pub fn public() -> Self {
        Self { hosts: Hosts::Public, port: None }
    }

    /// Whether the host itself is named here, so that its address does not matter.
    pub fn names(&self, host: &str, port: u16) -> bool {
        let is_named = match &self.hosts {
            Hosts::Name(name) => name.eq_ignore_ascii_case(host.trim_end_matches('.')),
            Hosts::Network { address, prefix } => {
                host.parse::<IpAddr>().is_ok_and(|it| is_within(it, *address, *prefix))
            }
            Hosts::Public => false,
        };
        is_named && self.is_port(port)
    }

    pub fn holds(&self, address: IpAddr, port: u16) -> bool {
        let is_held = match &self.hosts {
            Hosts::Public => is_public(address),
            Hosts::Network { address: network, prefix } => is_within(address, *network, *prefix),
            Hosts::Name(_) => false,
        };
        is_held && self.is_port(port)
    }

    fn is_port(&self, port: u16) -> bool {
        self.port.is_none_or(|it| it == port)
    }
}

impl FromStr for AllowedTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let error = || TargetError(text.to_owned());
        let (host, port) = split_port(text).ok_or_else(error)?;
        let hosts = if host == "public" {
            Hosts::Public
        } else if let Ok(address) = host.parse::<IpAddr>() {
            Hosts::Network { address, prefix: bits(address) }
        } else if let Some((address, prefix)) = host.split_once('/') {
            let (address, prefix) = (address.parse().map_err(|_| error())?, prefix.parse().map_err(|_| error())?);
            if prefix > bits(address) {
                return Err(error());
            }
            Hosts::Network { address, prefix }
        } else {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            if host.is_empty() || !host.chars().all(is_name) {
                return Err(error());
            }
            Hosts::Name(host.trim_end_matches('.').to_owned())
        };
        Ok(Self { hosts, port })
    }
}

/// `host`, `host:port`, `[::1]:port`; an IPv6 address without brackets has no port.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => port.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host, Some(port.parse().ok()?))),
        _ => Some((text, None)),
    }
}

impl fmt::Display for AllowedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.hosts, self.port) {
            (Hosts::Public, _) => f.write_str("public")?,
            (Hosts::Network { address: IpAddr::V6(it), prefix: 128 }, Some(_)) => write!(f, "[{it}]")?,
            (Hosts::Network { address, prefix }, _) if *prefix == bits(*address) => write!(f, "{address}")?,
            (Hosts::Network { address: IpAddr::V6(it), prefix }, Some(_)) => write!(f, "[{it}/{prefix}]")?,
            (Hosts::Network { address, prefix }, _) => write!(f, "{address}/{prefix}")?,
            (Hosts::Name(name), _) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let shift = 32 - u32::from(prefix);
            address.to_bits().checked_shr(shift) == network.to_bits().checked_shr(shift)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let shift = 128 - u32::from(prefix);
            address.to_bits().checked_shr(shift) == network.to_bits().checked_shr(shift)
        }
        _ => false,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let reserved = ["0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"];
    let is_reserved =
        |network: &&str| network.parse::<AllowedTarget>().is_ok_and(|it| it.holds(IpAddr::V4(address), 0));
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || reserved.iter().any(is_reserved))
}

/// 2000::/3 is what is handed out; inside it lie 6to4 (an IPv4 address) and the documentation's addresses.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    let [a, b] = second.to_be_bytes();
    let [c, d] = third.to_be_bytes();
    match (first, second) {
        (0x2002, _) => is_public_v4(Ipv4Addr::new(a, b, c, d)),
        (0x2001, 0xdb8 | 0) => false,
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(target: &str, address: &str) -> bool {
        target.parse::<AllowedTarget>().unwrap().holds(address.parse().unwrap(), 514)
    }

    #[test]
    fn public_is_nothing_private_local_or_reserved() {
        for address in ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2002:808:808::1", "::ffff:8.8.8.8"] {
            assert!(allows("public", address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001:db8::1",
        ] {
            assert!(!allows("public", address), "{address}");
        }
    }

    #[test]
    fn what_is_listed_is_allowed_and_nothing_else() {
        for (target, address, holds) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("127.0.0.1:514", "127.0.0.1", true),
            ("127.0.0.1:515", "127.0.0.1", false),
            ("[::1]:514", "::1", true),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "::1", true),
            ("logs.example.org", "10.0.0.1", false),
        ] {
            assert_eq!(allows(target, address), holds, "{target} {address}");
        }
    }

    #[test]
    fn a_name_that_is_listed_is_trusted() {
        let target: AllowedTarget = "logs.example.org:514".parse().unwrap();
        assert!(target.names("Logs.Example.org.", 514));
        assert!(!target.names("logs.example.org", 25) && !target.names("x.logs.example.org", 514));
        assert!("10.0.0.0/8".parse::<AllowedTarget>().unwrap().names("10.0.0.1", 25));
    }

    #[test]
    fn targets_print_as_they_are_written() {
        for text in ["public", "10.0.0.0/8", "127.0.0.1", "127.0.0.1:25", "::1", "[::1]:25", "[fd00::/8]:25", "a.b:1"] {
            assert_eq!(text.parse::<AllowedTarget>().unwrap().to_string(), text);
        }
        for text in ["", "a b", "10.0.0.0/33", "x/8", "host:port", "host:70000", "[::1", "http://x"] {
            assert!(text.parse::<AllowedTarget>().is_err(), "{text}");
        }
    }
}
