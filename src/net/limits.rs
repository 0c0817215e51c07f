//! The limits of admission, all in one place.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

/// Bounds of what comes over a network. Each refusal is counted in the listener's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most streams from one source address.
    pub streams_per_source: usize,
    /// Most connections at once over all listeners, streams or not yet.
    pub connections_max: usize,
    /// How long a connection may be silent before its first valid message.
    pub first_message_timeout: Duration,
    /// How long a stream may be silent before its slot is released.
    pub idle_timeout: Duration,
    /// Networks that may send; any if there are none.
    pub allowed: Vec<IpNet>,
}

impl Limits {
    /// Whether this address may send. An IPv4 address in IPv6 form counts as what it is.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.is_empty()
            || self
                .allowed
                .iter()
                .any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(networks: &[&str], address: &str) -> bool {
        let limits = Limits {
            streams_per_source: 1,
            connections_max: 1,
            first_message_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            allowed: networks.iter().map(|text| text.parse().unwrap()).collect(),
        };
        limits.allow(address.parse().unwrap())
    }

    #[test]
    fn only_the_networks_that_are_named_may_send() {
        let networks = ["10.1.0.0/16", "2001:db8::/32"];
        assert!(allowed(&networks, "10.1.255.3"));
        assert!(!allowed(&networks, "10.2.0.1"));
        assert!(allowed(&networks, "2001:db8::1"));
        assert!(!allowed(&networks, "2001:db9::1"));
        assert!(allowed(&networks, "::ffff:10.1.0.1"));
        assert!(!allowed(&networks, "::ffff:10.2.0.1"));
    }

    #[test]
    fn without_a_list_anybody_may() {
        assert!(allowed(&[], "192.0.2.1") && allowed(&[], "::1"));
    }
}
