//! `server.tls.acme` for a gateway that gets its own certificate.

use hubgate_net::check_authorities;
use hubgate_net::settings::AcmeSettings;

use super::problem::{Problem, Problems};
use super::schema::{Acme, File};
use super::tls;

/// The most names of one certificate: no public directory takes more.
const MAX_DOMAINS: usize = 100;

/// Below `server.data-dir`.
const FOLDER: &str = "acme";

const ACME: &str = "server.tls.acme";
const CERTIFICATE: &str = "server.tls.certificate";
const KEY: &str = "server.tls.key";

/// None without it, or where something of it cannot stay.
pub(super) fn settings(file: &File, problems: &mut Problems) -> Option<AcmeSettings> {
    let acme = file.server.tls.acme.as_ref()?;
    problems.take(alone(file));
    problems.take(email(acme));
    problems.take(some_domains(acme));
    let authorities = problems.take(authorities(acme))?;
    let mut domains = acme.domains.clone();
    domains.sort_unstable();
    domains.dedup();
    Some(AcmeSettings {
        directory: acme.directory.clone(),
        email: acme.email.clone(),
        domains,
        authorities,
        folder: file.server.data_dir.clone().unwrap_or_default().join(FOLDER),
    })
}

/// Nothing else says what the certificate is, and nobody else answers for the names.
fn alone(file: &File) -> Result<(), Problem> {
    let tls = &file.server.tls;
    for (is_set, key) in [(tls.certificate.is_some(), CERTIFICATE), (tls.key.is_some(), KEY)] {
        if is_set {
            return Err(Problem::new(ACME, format!("is set, and `{key}` is set too: keep the files, or `acme`")));
        }
    }
    if file.cluster.is_some() {
        let text = "is set, and `[cluster]` is set too: a directory that validates a name comes to any node, and not to the one that has ordered. \
                    End TLS at the load balancer, or give the nodes `server.tls.certificate` and `server.tls.key`";
        return Err(Problem::new(ACME, text));
    }
    Ok(())
}

fn email(acme: &Acme) -> Result<(), Problem> {
    let Some(email) = &acme.email else { return Ok(()) };
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'?')
    };
    match email.split_once('@') {
        Some((name, host)) if is_part(name) && is_part(host) && !host.contains('@') => Ok(()),
        _ => Err(Problem::new(
            format!("{ACME}.email"),
            format!("\"{email}\" is not one address such as \"ops@example.com\""),
        )),
    }
}

fn some_domains(acme: &Acme) -> Result<(), Problem> {
    let wrong = |text: String| Err(Problem::new(format!("{ACME}.domains"), text));
    match acme.domains.len() {
        0 => wrong("must list the names of this gateway, such as [\"chat.example.com\"]".to_owned()),
        1..=MAX_DOMAINS => Ok(()),
        count => wrong(format!("lists {count} names, and a certificate has at most {MAX_DOMAINS}")),
    }
}

fn authorities(acme: &Acme) -> Result<Option<Vec<u8>>, Problem> {
    let Some(file) = &acme.ca_file else { return Ok(None) };
    let key = format!("{ACME}.ca-file");
    let text = tls::read(&key, file)?;
    match check_authorities(&text) {
        Ok(()) => Ok(Some(text)),
        Err(error) => Err(Problem::new(key, format!("{} {error}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::{Config, Draft};

    fn load_in(folder: &Path, text: &str) -> Result<Config, String> {
        let text = format!("server.access-keys = ['{}']\nserver.data-dir = 'data'\n{text}", "k".repeat(32));
        let draft = Draft::parse(&folder.join("hubgate.toml"), &text).map_err(|error| error.to_string())?;
        draft.settled().map_err(|error| error.to_string())
    }

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        fs::write(folder.path().join("secret"), "hidden").expect("the folder is ours");
        load_in(folder.path(), text)
    }

    #[test]
    fn a_gateway_gets_its_certificate_for_the_names_that_are_listed() {
        assert_eq!(load("").expect("valid").net.acme, None);
        let config = load("server.tls.acme.domains = ['b.example', 'A.example', 'b.example']").expect("valid");
        assert_eq!(config.net.scheme(), "https");
        let acme = config.net.acme.expect("it is configured");
        let domains: Vec<&str> = acme.domains.iter().map(|domain| domain.as_str()).collect();
        assert_eq!(domains, ["a.example", "b.example"]);
        assert_eq!(acme.directory.to_string(), "https://acme-v02.api.letsencrypt.org/directory");
        assert!(acme.folder.ends_with("data/acme") && acme.email.is_none() && acme.authorities.is_none(), "{acme:?}");
    }

    #[test]
    fn what_cannot_stay_is_named_by_its_key() {
        let many: Vec<String> = (0..101).map(|number| format!("'a{number}.example'")).collect();
        let many = format!("server.tls.acme.domains = [{}]", many.join(", "));
        let one = "server.tls.acme.domains = ['a.example']";
        for (text, expected) in [
            ("server.tls.acme = {}", "server.tls.acme.domains: must list the names"),
            ("server.tls.acme.email = 'a@b.example'", "server.tls.acme.domains: must list the names"),
            (&many, "server.tls.acme.domains: lists 101 names"),
            ("server.tls.acme.domains = ['a.example', '*.example']", "domains[1]: \"*.example\" is a wildcard"),
            ("server.tls.acme.domains = ['192.0.2.1']", "domains[0]: \"192.0.2.1\" is an IP address"),
            ("server.tls.acme.domains = ['a b']", "domains[0]: \"a b\" is not a name in the DNS"),
            (
                &format!("{one}\nserver.tls.acme.directory = 'http://ca.example'"),
                "directory: is not the URL of an ACME",
            ),
            (&format!("{one}\nserver.tls.acme.email = 'nobody'"), "email: \"nobody\" is not one address"),
            (&format!("{one}\nserver.tls.acme.email = 'a@b.example,c@d.example'"), "is not one address"),
            (&format!("{one}\nserver.tls.acme.ca-file = 'gone'"), "server.tls.acme.ca-file: cannot read"),
            (&format!("{one}\nserver.tls.acme.ca-file = 'secret'"), "secret holds no certificate in PEM"),
            (
                &format!("{one}\nserver.tls.certificate = 'a'\nserver.tls.key = 'b'"),
                "and `server.tls.certificate` is set too",
            ),
            (&format!("{one}\nserver.tls.key = 'b'"), "and `server.tls.key` is set too"),
            (
                &format!("{one}\n[cluster]\nservers = ['nats://a']"),
                "server.tls.acme: is set, and `[cluster]` is set too",
            ),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(expected) && !error.contains("hidden"), "{text}: {error}");
        }
    }
}
