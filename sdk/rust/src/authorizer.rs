//! Decide who may come, where `hubs.NAME.negotiate = { plugin = "…" }` names the plugin: a [`Hub`](crate::Hub) by its `authorize`, and a
//! plugin that does nothing else by [`Authorizer`] and [`export_authorizer!`](crate::export_authorizer).
//!
//! ```no_run
//! use hubgate_plugin::authorizer::{Authorizer, Grant, Refusal, Request};
//!
//! struct Door;
//!
//! impl Authorizer for Door {
//!     fn authorize(request: Request) -> Result<Grant, Refusal> {
//!         match request.cookie("session") {
//!             Some("a-session-of-anns") => Ok(Grant::user("ann").claim("role", "admin").group("staff")),
//!             Some(_) => Err(Refusal::forbidden("Your session has ended.")),
//!             None => Err(Refusal::unauthorized("Please sign in.")),
//!         }
//!     }
//! }
//!
//! hubgate_plugin::export_authorizer!(Door);
//! ```

pub use crate::bindings::authorizer::exports::hubgate::plugin::authorizer::{Grant, Refusal, Request};

use crate::contract::types::Pair;

/// A plugin that decides who may come.
pub trait Authorizer {
    /// Runs once in each new instance. An error keeps the plugin from serving.
    fn init() -> Result<(), String> {
        Ok(())
    }

    /// Decides whether a request may become a client, and as whom.
    fn authorize(request: Request) -> Result<Grant, Refusal>;
}

impl Request {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }

    /// The first item of this name in the query, decoded.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|item| item.name == name).map(|item| item.value.as_str())
    }

    /// The first cookie of this name, as it stands in the request.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let headers = self.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("cookie"));
        let cookies = headers.flat_map(|header| header.value.split(';')).filter_map(|cookie| cookie.split_once('='));
        cookies.map(|(each, value)| (each.trim(), value.trim())).find_map(|(each, value)| (each == name).then_some(value))
    }

    /// The token of the header `Authorization: Bearer …`.
    pub fn bearer_token(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

impl Grant {
    /// Lets the request in as this user.
    pub fn user(id: impl Into<String>) -> Grant {
        Grant { user_id: Some(id.into()), ..Grant::nobody() }
    }

    /// Lets the request in as nobody in particular.
    pub fn nobody() -> Grant {
        Grant { user_id: None, claims: Vec::new(), groups: Vec::new(), lifetime_seconds: None }
    }

    /// With a claim, which handlers and hub servers see. A name may repeat.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Grant {
        self.claims.push(Pair { name: name.into(), value: value.into() });
        self
    }

    /// In a group from its start.
    #[must_use]
    pub fn group(mut self, name: impl Into<String>) -> Grant {
        self.groups.push(name.into());
        self
    }

    /// To connect within this time; an hour is the most.
    #[must_use]
    pub fn lifetime(mut self, seconds: u32) -> Grant {
        self.lifetime_seconds = Some(seconds);
        self
    }
}

impl Refusal {
    /// Nobody knows who it is: 401, with a text for the client.
    pub fn unauthorized(text: impl Into<String>) -> Refusal {
        Refusal::Unauthorized(text.into())
    }

    /// It is known, and may not come: 403, with a text for the client.
    pub fn forbidden(text: impl Into<String>) -> Refusal {
        Refusal::Forbidden(text.into())
    }

    /// It cannot be said: 500, with a text for the log.
    pub fn failed(text: impl Into<String>) -> Refusal {
        Refusal::Failed(text.into())
    }
}

/// Makes an [`Authorizer`] the plugin that this crate builds.
#[macro_export]
macro_rules! export_authorizer {
    ($authorizer:ty) => {
        const _: () = {
            struct Component;

            impl $crate::bindings::exports::hubgate::plugin::lifecycle::Guest for Component {
                fn init() -> Result<(), String> {
                    $crate::log_panics();
                    <$authorizer as $crate::authorizer::Authorizer>::init()
                }
            }

            impl $crate::bindings::authorizer::exports::hubgate::plugin::authorizer::Guest for Component {
                fn authorize(
                    request: $crate::authorizer::Request,
                ) -> Result<$crate::authorizer::Grant, $crate::authorizer::Refusal> {
                    <$authorizer as $crate::authorizer::Authorizer>::authorize(request)
                }
            }

            $crate::bindings::export_lifecycle! { Component with_types_in $crate::bindings }
            $crate::bindings::authorizer::export_authorizer! {
                Component with_types_in $crate::bindings::authorizer
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> Pair {
        Pair { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn what_a_request_brings_is_found_by_its_name() {
        let request = Request {
            hub: "chat".to_owned(),
            headers: vec![pair("authorization", "bearer a.b.c"), pair("cookie", "a=1; session=x=y"), pair("cookie", "b=2")],
            query: vec![pair("room", "1"), pair("room", "2")],
            remote_address: "192.0.2.1".to_owned(),
        };
        assert_eq!((request.header("Authorization"), request.bearer_token()), (Some("bearer a.b.c"), Some("a.b.c")));
        assert_eq!((request.cookie("session"), request.cookie("b"), request.cookie("c")), (Some("x=y"), Some("2"), None));
        assert_eq!((request.query("room"), request.query("Room")), (Some("1"), None));
    }

    #[test]
    fn a_grant_is_put_together() {
        let grant = Grant::user("ann").claim("role", "a").claim("role", "b").group("staff").lifetime(60);
        let claims: Vec<&str> = grant.claims.iter().map(|claim| claim.value.as_str()).collect();
        assert_eq!((grant.user_id.as_deref(), claims), (Some("ann"), vec!["a", "b"]));
        assert_eq!((grant.groups, grant.lifetime_seconds), (vec!["staff".to_owned()], Some(60)));
        assert_eq!(Grant::nobody().user_id, None);
    }
}
