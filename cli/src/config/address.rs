//! Addresses: `host:port`, and which of them are reachable from outside this machine.

use std::net::{SocketAddr, ToSocketAddrs as _};

use super::settings::Settings;
use crate::exit::Stop;

/// Resolves `host:port`. The error names the setting to correct.
pub fn resolve(key: &str, address: &str) -> Result<SocketAddr, Stop> {
    let found = address.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| invalid(key, address))
}

/// Fails if an address is reachable from outside: peers do not use TLS yet, so this must be
/// allowed explicitly with `tls.insecure`.
pub(super) fn check_exposure(settings: &Settings) -> Result<(), Stop> {
    if settings.is_insecure() {
        return Ok(());
    }
    let mut addresses = vec![
        ("node.listen.api", settings.api_listen().to_owned()),
        ("node.listen.peer", settings.peer_listen().to_owned()),
    ];
    for node in &settings.nodes {
        addresses.push(("cluster.nodes", node.api.clone()));
        addresses.push(("cluster.nodes", node.peer.clone()));
    }
    addresses.extend(settings.dial.values().map(|a| ("network.dial", a.clone())));
    let open = addresses.into_iter().find(|(_, address)| !is_loopback(address));
    open.map_or(Ok(()), |(key, address)| {
        if !has_port(&address) {
            return Err(invalid(key, &address));
        }
        Err(Stop::config(format!(
            "{key}: {address} is reachable from other machines, and this version does not \
             encrypt traffic; use a loopback address, or set tls.insecure = true on a trusted \
             network"
        )))
    })
}

fn invalid(key: &str, address: &str) -> Stop {
    Stop::config(format!("{key}: invalid address {address:?}: use host:port"))
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    address.is_empty()
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_recognised() {
        for inside in ["127.0.0.1:1", "localhost:80", "[::1]:9", "127.8.0.1:1"] {
            assert!(is_loopback(inside), "{inside}");
        }
        for outside in ["10.0.0.1:1", "0.0.0.0:80", "example.com:1", "[::]:9"] {
            assert!(!is_loopback(outside), "{outside}");
        }
    }
}
