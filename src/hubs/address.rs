//! Which addresses of a hub may be connected to. What a hub sends names a URL, and a request that goes there carries a
//! token: it must not lead to a cloud's metadata service, or to whatever listens beside us.

use std::net::{IpAddr, Ipv6Addr};

use crate::domain::METADATA_ADDRESSES;

/// How far the one who named a URL is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It stands in our configuration: everything but what can never be a hub.
    Configured,
    /// It came with a start. `loopback`: everything is on this one machine anyway.
    Asked { loopback: bool },
}

impl Reach {
    pub fn allows(self, address: IpAddr) -> bool {
        let address = plain(address);
        match self {
            _ if is_never_a_hub(address) => false,
            Reach::Configured => true,
            Reach::Asked { loopback } => loopback || !address.is_loopback(),
        }
    }
}

/// An IPv4 address that is written as an IPv6 one reaches the same machine.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().or_else(|| embedded(v6)).map_or(address, IpAddr::V4),
        v4 => v4,
    }
}

/// `64:ff9b::/96`: a gateway makes IPv4 of it. `2002::/16`: a tunnel does.
fn embedded(address: Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let made = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        std::net::Ipv4Addr::new(a, b, c, d)
    };
    match (a, b, [c, d, e, f]) {
        (0x64, 0xff9b, [0, 0, 0, 0]) => Some(made(high, low)),
        (0x2002, ..) => Some(made(b, c)),
        _ => None,
    }
}

/// Link-local addresses hold the metadata services of clouds, by which a pod gets the node's rights.
fn is_never_a_hub(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_this_network = v4.octets()[0] == 0;
            let is_metadata = METADATA_ADDRESSES.contains(&v4);
            v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || is_this_network || is_metadata
        }
        IpAddr::V6(v6) => {
            let metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified() || v6 == metadata
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_a_hub_is_refused_however_it_is_written() {
        let never = [
            "100.100.100.200",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
        ];
        for address in never {
            let address = address.parse().unwrap();
            assert!(
                !Reach::Configured.allows(address) && !Reach::Asked { loopback: true }.allows(address),
                "{address}"
            );
        }
        for address in
            ["10.0.0.1", "192.168.1.1", "172.16.0.1", "fd00::1", "2001:db8::1", "93.184.216.34", "100.64.0.1"]
        {
            let address = address.parse().unwrap();
            assert!(Reach::Configured.allows(address) && Reach::Asked { loopback: false }.allows(address), "{address}");
        }
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let address = address.parse().unwrap();
            assert!(Reach::Configured.allows(address) && Reach::Asked { loopback: true }.allows(address), "{address}");
            assert!(!Reach::Asked { loopback: false }.allows(address), "{address}");
        }
    }
}
