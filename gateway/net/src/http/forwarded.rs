//! Who a request comes from, when it comes through a proxy.
//!
//! Source: the headers `X-Forwarded-For`, `-Proto` and `-Host` as MDN Web Docs describes them. Anybody can send them, so they
//! count from `server.trusted-proxies` alone.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderName};
use http::request::Parts;
use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::path;

use super::head;
use crate::settings::Settings;

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The client's address: the last one in `X-Forwarded-For` that is no trusted proxy's, as each proxy adds whom it heard.
pub(crate) fn client_address(settings: &Settings, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut client = peer.to_canonical();
    let lines = headers.get_all(&FOR).iter().map(|value| value.to_str().unwrap_or_default());
    let named: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
    for name in named.into_iter().rev() {
        if !settings.is_trusted(client) {
            break;
        }
        let Some(address) = address(name.trim()) else {
            break;
        };
        client = address.to_canonical();
    }
    client
}

/// The endpoint that the client knows the gateway by: the one that has the scheme and host of the request, else the first.
/// No other host is ever sent to clients, whatever a header says.
pub(crate) fn endpoint<'a>(settings: &'a Settings, peer: IpAddr, request: &Parts) -> &'a Endpoint {
    let scheme = of_proxy(settings, peer, &request.headers, &PROTO).unwrap_or(settings.scheme());
    let host = host(settings, peer, request).unwrap_or_default();
    settings.endpoints.iter().find(|endpoint| endpoint.is_at(scheme, host)).unwrap_or(&settings.endpoints[0])
}

/// The host, perhaps with a port, that the client asked for.
pub(crate) fn host<'r>(settings: &Settings, peer: IpAddr, request: &'r Parts) -> Option<&'r str> {
    let forwarded = of_proxy(settings, peer, &request.headers, &FORWARDED_HOST);
    forwarded.or_else(|| head::host(&request.uri, &request.headers))
}

/// The headers of a client's request as handlers and hub servers may see them. What proxies say of a client counts from
/// `server.trusted-proxies` alone; of the addresses on the way, the gateway names the one that it believes. A value that is no
/// UTF-8 is left out.
pub(crate) fn seen_headers<'r>(
    settings: &Settings,
    peer: IpAddr,
    headers: &'r HeaderMap,
) -> impl Iterator<Item = (&'r HeaderName, Cow<'r, str>)> {
    let is_trusted = settings.is_trusted(peer);
    let client = client_address(settings, peer, headers);
    let is_seen = move |name: &HeaderName| name != FOR && (is_trusted || !is_of_proxies(name));
    let told = headers.iter().filter(move |(name, _)| is_seen(name));
    let told = told.filter_map(|(name, value)| Some((name, Cow::Borrowed(str::from_utf8(value.as_bytes()).ok()?))));
    told.chain(std::iter::once((&FOR, client.to_string().into())))
}

/// Whether proxies set it, to say who a client is.
fn is_of_proxies(name: &HeaderName) -> bool {
    const NAMES: [&str; 2] = ["forwarded", "x-real-ip"];
    // The latter two are those of Azure's own sign-in, which application code takes at its word.
    const BEGINNINGS: [&str; 3] = ["x-forwarded-", "x-ms-client-principal", "x-ms-token-"];
    NAMES.contains(&name.as_str()) || BEGINNINGS.iter().any(|beginning| name.as_str().starts_with(beginning))
}

/// What a header says, if a trusted proxy says it.
fn of_proxy<'r>(settings: &Settings, peer: IpAddr, headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r str> {
    settings.is_trusted(peer).then(|| first(headers, name))?
}

/// What the SDKs of hub servers put right after the URL of their connection string, whose last slash they take away: the path of
/// an endpoint runs into it.
const JOINED: [&str; 3] = ["server", "client", "api"];

/// The path below the base path of an endpoint. A proxy may have taken the base path away.
pub(crate) fn path_below<'a>(settings: &Settings, path: &'a str) -> Cow<'a, str> {
    let mut bases = settings.endpoints.iter().map(Endpoint::base_path).filter(|base| !base.is_empty());
    let below = bases.find_map(|base| {
        let below = path::strip_base(path, base).filter(|rest| !rest.is_empty()).map(Cow::Borrowed);
        let joined =
            |part| path::strip_base(path, &format!("{base}{part}")).map(|rest| format!("/{part}{rest}").into());
        below.or_else(|| JOINED.into_iter().find_map(joined))
    });
    below.unwrap_or(Cow::Borrowed(path))
}

/// What the nearest proxy but others says first.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim)
}

/// An address, perhaps with a port, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse().ok();
    alone.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;
    use crate::settings::tests::settings;

    fn trusting(networks: &[&str]) -> Settings {
        let endpoints = ["https://example.com/base", "http://other:8888"];
        Settings {
            trusted_proxies: networks.iter().map(|network| network.parse().expect("a network")).collect(),
            endpoints: endpoints.iter().map(|url| Endpoint::parse(url).expect("a URL")).collect(),
            ..settings()
        }
    }

    fn headers(items: &[(&HeaderName, &str)]) -> HeaderMap {
        items.iter().map(|(name, value)| ((*name).clone(), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        let settings = trusting(&["10.0.0.0/8", "127.0.0.1/32", "::1/128"]);
        for (peer, header, client) in [
            ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
            ("127.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
            ("127.0.0.1", "203.0.113.7, 10.1.2.3,10.9.9.9", "203.0.113.7"),
            ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
            ("127.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
            ("127.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
            ("127.0.0.1", "2001:db8::7", "2001:db8::7"),
            ("::1", "203.0.113.7", "203.0.113.7"),
            ("::ffff:127.0.0.1", "203.0.113.7", "203.0.113.7"),
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("127.0.0.1", "203.0.113.7, unknown", "127.0.0.1"),
            ("127.0.0.1", "203.0.113.7, , 10.0.0.1", "10.0.0.1"),
            ("127.0.0.1", "", "127.0.0.1"),
        ] {
            let headers = headers(&[(&FOR, header)]);
            let found = client_address(&settings, peer.parse().expect("an address"), &headers);
            assert_eq!(found.to_string(), client, "{peer} says {header}");
        }
    }

    #[test]
    fn addresses_of_several_lines_are_one_list() {
        let mut headers = headers(&[(&FOR, "203.0.113.7")]);
        headers.append(&FOR, "10.0.0.1".parse().expect("a value"));
        let client = client_address(&trusting(&["127.0.0.1/32", "10.0.0.0/8"]), IpAddr::from([127, 0, 0, 1]), &headers);
        assert_eq!(client.to_string(), "203.0.113.7");
    }

    #[test]
    fn the_endpoint_is_one_of_ours_whatever_headers_say() {
        let settings = trusting(&["127.0.0.1/32"]);
        let proxy = IpAddr::from([127, 0, 0, 1]);
        let told = |peer, items: &[(&HeaderName, &str)]| {
            let (mut request, ()) = http::Request::new(()).into_parts();
            request.headers = headers(items);
            endpoint(&settings, peer, &request).to_string()
        };
        assert_eq!(told(proxy, &[(&HOST, "other:8888")]), "http://other:8888");
        assert_eq!(told(proxy, &[(&HOST, "x"), (&FORWARDED_HOST, "other:8888")]), "http://other:8888");
        assert_eq!(told(proxy, &[(&PROTO, "https"), (&FORWARDED_HOST, "EXAMPLE.com")]), "https://example.com/base");
        assert_eq!(told(proxy, &[(&FORWARDED_HOST, "evil.example")]), "https://example.com/base");
        let stranger = IpAddr::from([203, 0, 113, 9]);
        assert_eq!(told(stranger, &[(&HOST, "x"), (&FORWARDED_HOST, "other:8888")]), "https://example.com/base");
    }

    #[test]
    fn on_http_2_the_host_is_in_the_uri() {
        let request = http::Request::get("https://other:8888/hubs/chat/negotiate").body(()).expect("a request");
        let (request, ()) = request.into_parts();
        assert_eq!(host(&trusting(&[]), IpAddr::from([203, 0, 113, 9]), &request), Some("other:8888"));
    }

    #[test]
    fn a_value_that_is_no_utf_8_is_left_out() {
        let value = |bytes: &[u8]| http::HeaderValue::from_bytes(bytes).expect("a value");
        let latin = (HeaderName::from_static("x-latin"), value(b"caf\xe9"));
        let utf_8 = (HeaderName::from_static("x-utf-8"), value("caf\u{e9}".as_bytes()));
        let headers = HeaderMap::from_iter([latin, utf_8]);
        let (settings, peer) = (trusting(&[]), IpAddr::from([203, 0, 113, 9]));
        let seen: Vec<_> = seen_headers(&settings, peer, &headers).filter(|(name, _)| **name != FOR).collect();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((seen[0].0.as_str(), &*seen[0].1), ("x-utf-8", "caf\u{e9}"));
    }

    #[test]
    fn what_strangers_say_in_the_name_of_proxies_is_not_seen() {
        let settings = trusting(&["127.0.0.1/32"]);
        let mut said = headers(&[(&FOR, "198.51.100.1"), (&PROTO, "https"), (&FORWARDED_HOST, "a")]);
        for name in
            ["x-forwarded-user", "forwarded", "x-real-ip", "x-ms-client-principal-name", "x-ms-token-aad-id-token"]
        {
            said.insert(HeaderName::from_static(name), "admin".parse().expect("a value"));
        }
        said.insert("cookie", "a=1".parse().expect("a value"));
        let seen = |peer: [u8; 4]| -> Vec<String> {
            let seen = seen_headers(&settings, IpAddr::from(peer), &said);
            seen.map(|(name, value)| format!("{name}: {value}")).collect()
        };
        assert_eq!(seen([203, 0, 113, 9]), ["cookie: a=1", "x-forwarded-for: 203.0.113.9"]);
        let of_proxy = seen([127, 0, 0, 1]);
        assert_eq!(of_proxy.len(), said.len());
        assert!(of_proxy.contains(&"x-ms-client-principal-name: admin".to_owned()), "{of_proxy:?}");
        assert!(of_proxy.contains(&"x-forwarded-for: 198.51.100.1".to_owned()), "{of_proxy:?}");
    }

    #[test]
    fn a_base_path_may_be_there_or_not() {
        let settings = trusting(&[]);
        for (path, below) in [
            ("/base/client/negotiate", "/client/negotiate"),
            ("/B%61se/client/negotiate", "/client/negotiate"),
            ("/client/negotiate", "/client/negotiate"),
            ("/basement/client", "/basement/client"),
            ("/base", "/base"),
            ("/baseserver/", "/server/"),
            ("/Baseclient/negotiate", "/client/negotiate"),
            ("/baseapi/v1/hubs/chat", "/api/v1/hubs/chat"),
            ("/baseservers/", "/baseservers/"),
        ] {
            assert_eq!(path_below(&settings, path), below);
        }
    }
}
