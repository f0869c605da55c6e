//! Whom a hub's own negotiation lets in: `negotiate` and `jwt` of `[hubs.NAME]`.

use std::path::Path;
use std::sync::Arc;

use hubgate_core::id::PluginName;
use hubgate_net::check_claim_name;
use hubgate_net::settings::{self as net, IdentityProvider, KeySource, Negotiate};
use hubgate_plugin_host::RegularFile;
use hubgate_wire::token::identity::{KeySet, LONGEST_KEY_SET, Rules};

use super::Warning;
use super::plain_words::no_plugin;
use super::problem::{Problem, Problems};
use super::schema::{File, Hub, Jwt};

/// Of the hub with this entry.
pub(super) fn negotiate(file: &File, entry: &str, hub: &Hub, problems: &mut Problems) -> Negotiate {
    let provider = problems.take(provider(&format!("hubs.{entry}.jwt"), hub)).flatten();
    match (&hub.negotiate.plugin, provider) {
        (Some(name), _) if !file.plugins.contains_key(name) => {
            let text = no_plugin(name, file.plugins.keys().map(String::as_str));
            problems.push(format!("hubs.{entry}.negotiate.plugin"), text);
            Negotiate::Nobody
        }
        (Some(name), None) => Negotiate::Authorizer(PluginName::new(name.as_str())),
        (Some(_), Some(_)) => {
            let both = "is set, and `negotiate.plugin` is set too: one of them says who may come";
            problems.push(format!("hubs.{entry}.jwt"), both);
            Negotiate::Nobody
        }
        (None, Some(provider)) => Negotiate::IdentityProvider(Arc::new(provider)),
        (None, None) if hub.negotiate.anonymous => Negotiate::Anybody,
        (None, None) => Negotiate::Nobody,
    }
}

/// Whether the hub takes tokens of an identity provider.
fn is_set(jwt: &Jwt) -> bool {
    let Jwt { jwks_file, jwks_url, issuer, audience, user, claims } = jwt;
    let is_default = *user == Jwt::default().user && claims.0.is_empty();
    jwks_file.is_some() || jwks_url.is_some() || issuer.is_some() || audience.is_some() || !is_default
}

fn provider(key: &str, hub: &Hub) -> Result<Option<IdentityProvider>, Problem> {
    let jwt = &hub.jwt;
    if !is_set(jwt) {
        return Ok(None);
    }
    let keys = match (&jwt.jwks_file, &jwt.jwks_url) {
        (Some(file), None) => KeySource::Known(key_set(&format!("{key}.jwks-file"), file)?),
        (None, Some(url)) => KeySource::At(url.clone()),
        (Some(_), Some(_)) => {
            return Err(Problem::new(key, "has both `jwks-file` and `jwks-url`; the keys come from one of them"));
        }
        (None, None) => {
            let needed = "needs `jwks-file` or `jwks-url`, where the public keys of the identity provider are";
            return Err(Problem::new(key, needed));
        }
    };
    let text = |name: &str, value: &Option<String>, what: &str| match value.as_deref() {
        Some("") | None => Err(Problem::new(format!("{key}.{name}"), what)),
        Some(value) => Ok(value.to_owned()),
    };
    let issuer = text("issuer", &jwt.issuer, "must be what the claim `iss` of the provider's tokens says")?;
    let audience = text("audience", &jwt.audience, "must be what the claim `aud` of the tokens for this hub says")?;
    let user = text("user", &Some(jwt.user.clone()), "must name the claim that says who the user is")?;
    for ours in jwt.claims.0.keys() {
        check_claim_name(ours).map_err(|why| Problem::new(format!("{key}.claims"), why))?;
    }
    let claims = jwt.claims.0.clone().into_iter().collect();
    let rules = Rules { issuer, audience, user, claims };
    Ok(Some(IdentityProvider { keys, rules, anonymous: hub.negotiate.anonymous }))
}

fn key_set(key: &str, file: &Path) -> Result<KeySet, Problem> {
    let wrong = |why: String| Problem::new(key, why);
    let read = RegularFile::read(file, LONGEST_KEY_SET);
    let read = read.map_err(|error| wrong(format!("cannot read {}: {error}", file.display())))?;
    KeySet::parse(&read.bytes).map_err(|error| wrong(format!("{}: {error}", file.display())))
}

/// Keys that check nothing, and keys that somebody else may have put in the place of the provider's.
pub(super) fn doubtful_keys(entry: &str, negotiate: &Negotiate) -> Vec<Warning> {
    let Negotiate::IdentityProvider(provider) = negotiate else { return Vec::new() };
    let keys = match &provider.keys {
        KeySource::Known(keys) => keys,
        KeySource::At(url) if url.is_open_to_others() => {
            let key = format!("hubs.{entry}.jwt.jwks-url");
            let text = "fetches keys by http://: who is on the way to them can replace them, and sign in as anybody; \
                        use https://";
            return vec![Warning { key, text: text.to_owned() }];
        }
        KeySource::At(_) => return Vec::new(),
    };
    let warning = |key: &hubgate_wire::token::identity::UnusableKey| Warning {
        key: format!("hubs.{entry}.jwt.jwks-file"),
        text: format!("its key `{}` is skipped: it {}", key.name, key.why),
    };
    keys.unusable().iter().map(warning).collect()
}

/// The keys of the configuration that name files of other content now.
pub(super) fn changed_key_sets(before: &net::Settings, after: &net::Settings) -> Vec<String> {
    let known = |hub: &net::HubSettings| match &hub.negotiate {
        Negotiate::IdentityProvider(provider) => Some(provider.clone()),
        Negotiate::Nobody | Negotiate::Anybody | Negotiate::Authorizer(_) => None,
    };
    let has_changed = |before: &net::HubSettings, after: &net::HubSettings| match (known(before), known(after)) {
        (Some(before), Some(after)) => match (&before.keys, &after.keys) {
            (KeySource::Known(before), KeySource::Known(after)) => before != after,
            _ => false,
        },
        _ => false,
    };
    let key = |entry: &str| format!("hubs.{entry}.jwt.jwks-file");
    let named = after.hubs.iter().filter(|(name, hub)| before.hubs.get(*name).is_some_and(|own| has_changed(own, hub)));
    let mut keys: Vec<String> = named.map(|(name, _)| key(name.as_str())).collect();
    if has_changed(&before.other_hubs, &after.other_hubs) {
        keys.push(key(super::schema::ALL_HUBS));
    }
    keys
}
