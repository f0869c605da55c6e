//! Whether a request names this gateway.
//!
//! A page of anybody's can make its own name point here (DNS rebinding). It is of the same origin then, so that CORS holds
//! nothing back from it; but its requests still carry that name.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::Authority;

use super::forwarded;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// What is repeated of a host that is refused, in characters.
const LONGEST_SHOWN: usize = 100;

/// Refuses a request whose host is none of the gateway's.
pub(super) fn check(settings: &Settings, peer: IpAddr, request: &Parts) -> Result<(), Refusal> {
    let host = forwarded::host(settings, peer, request).unwrap_or_default();
    if is_ours(settings, host) {
        return Ok(());
    }
    let host = host.chars().take(LONGEST_SHOWN).collect();
    Err(match settings.checks_every_host {
        true => Refusal::ForeignHostOfDev(host),
        false => Refusal::ForeignHost(host),
    })
}

/// Whether `host`, with or without a port, is a name of the gateway. Ports do not count: something in between may map them.
fn is_ours(settings: &Settings, host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    if settings.endpoints.iter().any(|endpoint| endpoint.has_host(name)) {
        return true;
    }
    let listen = settings.listen.ip().to_canonical();
    let is_on_this_machine = listen.is_loopback() || listen.is_unspecified();
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        // No page can have an address that is not its server's.
        Ok(address) => {
            let address = address.to_canonical();
            listen.is_unspecified() || address == listen || (listen.is_loopback() && address.is_loopback())
        }
        Err(_) => is_on_this_machine && name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use hubgate_wire::endpoint::Endpoint;

    use super::*;
    use crate::settings::tests::settings;

    fn takes(listen: &str, host: &str) -> bool {
        let endpoints = vec![Endpoint::parse("https://realtime.example.com:8443/base").expect("a URL")];
        let listen = listen.parse().expect("an address");
        is_ours(&Settings { listen, endpoints, ..settings() }, host)
    }

    #[test]
    fn names_of_endpoints_are_ours_wherever_the_gateway_listens_and_others_are_not() {
        for listen in ["127.0.0.1:8888", "[::1]:8888", "192.0.2.1:8888", "0.0.0.0:8888", "[::]:8888"] {
            for host in ["realtime.example.com", "Realtime.Example.com:8443", "realtime.example.com:1"] {
                assert!(takes(listen, host), "{host} at {listen}");
            }
            for host in ["evil.example", "evil.example:8888", "realtime.example.com.evil.example", "localhost.evil", ""]
            {
                assert!(!takes(listen, host), "{host} at {listen}");
            }
        }
    }

    #[test]
    fn names_of_this_machine_are_ours_on_loopback() {
        for listen in ["127.0.0.1:8888", "[::1]:8888"] {
            for host in ["localhost", "LOCALHOST:9", "127.0.0.1:8888", "127.0.0.2", "[::1]:8888"] {
                assert!(takes(listen, host), "{host} at {listen}");
            }
            assert!(!takes(listen, "192.0.2.1:8888"), "{listen}");
        }
    }

    #[test]
    fn the_address_is_ours_where_the_gateway_listens_at_one_and_any_is_where_it_listens_at_all() {
        assert!(takes("192.0.2.1:8888", "192.0.2.1:9999"));
        assert!(takes("[2001:db8::1]:8888", "[2001:db8::1]"));
        for host in ["192.0.2.2", "127.0.0.1", "localhost"] {
            assert!(!takes("192.0.2.1:8888", host), "{host}");
        }
        for host in ["192.0.2.2", "[2001:db8::2]:8888", "localhost:8888", "127.0.0.1"] {
            assert!(takes("0.0.0.0:8888", host) && takes("[::]:8888", host), "{host}");
        }
    }
}
