//! Where a URL leads.

use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::token::Resource;

/// A URL, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Scheme, host, port and what comes before the gateway's own paths.
    pub(super) base: String,
    /// The same as it was given, with slashes at its end: what is asked is what whoever uses the URL asks.
    pub(super) as_given: String,
    pub(super) kind: Kind,
    /// The path below `base`.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) hub: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The gateway itself.
    Base,
    Client,
    Server,
    /// Negotiation without a host: `/hubs/NAME`.
    Open,
    Rest,
}

impl Place {
    pub(super) fn parse(url: &str) -> Result<Place, String> {
        let (url, query) = url.split_once('?').unwrap_or((url, ""));
        let url = url.split('#').next().unwrap_or_default();
        let host = url.find("://").map_or(0, |scheme| scheme + 3);
        let path_at = url[host..].find('/').map_or(url.len(), |slash| host + slash);
        let kinds =
            [("/client", Kind::Client), ("/server", Kind::Server), ("/hubs/", Kind::Open), ("/api/", Kind::Rest)];
        let lower = format!("{}/", url[path_at..].to_ascii_lowercase());
        let starts = kinds.into_iter().filter_map(|(name, kind)| {
            let whole = format!("{}/", name.trim_end_matches('/'));
            Some((lower.find(&whole)?, kind))
        });
        let (at, kind) = starts.min_by_key(|(at, _)| *at).unwrap_or((url.len() - path_at, Kind::Base));
        let (as_given, path) = url.split_at(path_at + at);
        let base = as_given.trim_end_matches('/').to_owned();
        Endpoint::parse(&base).map_err(|error| error.to_string())?;
        let hub = match kind {
            Kind::Base => None,
            Kind::Open => path.split('/').nth(2).map(str::to_owned),
            Kind::Rest => path.split('/').skip_while(|segment| *segment != "hubs").nth(1).map(str::to_owned),
            Kind::Client | Kind::Server => hub_in(query),
        };
        Ok(Place {
            base,
            as_given: as_given.to_owned(),
            kind,
            path: path.to_owned(),
            query: query.split('#').next().unwrap_or_default().to_owned(),
            hub: hub.filter(|hub| !hub.is_empty()),
        })
    }

    /// What tokens for this place open; `hub` is taken where the URL names none.
    pub(super) fn resource<'a>(&'a self, hub: &'a str) -> Resource<'a> {
        let hub = self.hub.as_deref().unwrap_or(hub);
        match self.kind {
            Kind::Client | Kind::Open | Kind::Base => Resource::Client { hub },
            Kind::Server => Resource::Server { hub },
            Kind::Rest => Resource::Rest { path: &self.path },
        }
    }

    /// Whether it is below a public base URL.
    pub(super) fn is_at(&self, endpoint: &Endpoint) -> bool {
        Resource::Client { hub: "" }.is_opened_by(&format!("{}/client/", self.base), endpoint)
    }
}

/// The only item `hub` of a query.
fn hub_in(query: &str) -> Option<String> {
    let items = form_urlencoded::parse(query.as_bytes());
    let mut hubs = items.filter(|(name, _)| name.eq_ignore_ascii_case("hub")).map(|(_, hub)| hub.into_owned());
    hubs.next().filter(|_| hubs.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, base, kind, hub) in [
            ("http://localhost:8888", "http://localhost:8888", Kind::Base, None),
            ("https://a.example/base/", "https://a.example/base", Kind::Base, None),
            ("http://client/client/?hub=chat", "http://client", Kind::Client, Some("chat")),
            ("http://h/client/negotiate?hub=a%5B1%5D&x=1", "http://h", Kind::Client, Some("a[1]")),
            ("http://h/clients/client?hub=a&hub=b", "http://h/clients", Kind::Client, None),
            ("https://h/base/server/?hub=Chat", "https://h/base", Kind::Server, Some("Chat")),
            ("http://h/hubs/chat/negotiate?negotiateVersion=1", "http://h", Kind::Open, Some("chat")),
            ("http://h/api/v1/hubs/chat/users/a", "http://h", Kind::Rest, Some("chat")),
            ("http://h/base/api/hubs/chat/:send", "http://h/base", Kind::Rest, Some("chat")),
        ] {
            let place = Place::parse(url).expect(url);
            assert_eq!((place.base.as_str(), place.kind, place.hub.as_deref()), (base, kind, hub), "{url}");
        }
        for wrong in ["localhost:8888", "ws://h/client/?hub=a", "", "http://", "/client/"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
