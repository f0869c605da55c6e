//! `[cluster]` for those who join others.

use std::path::Path;
use std::time::Duration;

use hubgate_net::settings::{ClientCertificate, ClusterSettings, NatsSignIn, NatsTls, Secret, Settings};
use hubgate_net::{Tls, check_authorities};

use super::Warning;
use super::problem::{Problem, Problems};
use super::schema::{Cluster, ClusterTls};
use super::{secrets, tls};

/// The longest name of a cluster, in characters.
const LONGEST_NAME: usize = 64;

/// What a node needs to find others, with some to spare.
const SHORTEST_START: Duration = Duration::from_secs(5);

const CREDENTIALS_FILE: &str = "cluster.credentials-file";
const TOKEN_FILE: &str = "cluster.token-file";
const USER: &str = "cluster.user";
const PASSWORD_FILE: &str = "cluster.password-file";
const CA_FILE: &str = "cluster.tls.ca-file";
const CERT_FILE: &str = "cluster.tls.cert-file";
const KEY_FILE: &str = "cluster.tls.key-file";

/// None where something of it cannot stay.
pub(super) fn settings(cluster: &Cluster, problems: &mut Problems) -> Option<ClusterSettings> {
    if cluster.servers.is_empty() {
        problems.push("cluster.servers", "must list the NATS servers, such as [\"nats://127.0.0.1:4222\"]");
    }
    let name = &cluster.name;
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(is_of_it) {
        let what = format!("must have 1 to {LONGEST_NAME} characters, letters of ASCII, digits, `-` and `_`");
        problems.push("cluster.name", format!("{what}, and not be \"{name}\""));
    }
    let start_alone = cluster.start_alone.0;
    if !start_alone.is_zero() && start_alone < SHORTEST_START {
        let text = "is shorter than it takes to find other nodes that are there: at least \"5s\", or \"0s\" for a node that never serves alone";
        problems.push("cluster.start-alone", text);
    }
    let sign_in = problems.take(sign_in(cluster));
    let tls = problems.take(nats_tls(&cluster.tls));
    Some(ClusterSettings {
        servers: cluster.servers.clone(),
        name: name.clone(),
        sign_in: sign_in?,
        tls: tls?,
        node_timeout: cluster.node_timeout.0,
        outage_grace: cluster.outage_grace.0,
        start_alone,
        resend_buffer: cluster.resend_buffer.0,
        node_endpoint: cluster.node_endpoint.clone(),
    })
}

/// By one way at most.
fn sign_in(cluster: &Cluster) -> Result<NatsSignIn, Problem> {
    let Cluster { credentials_file, token_file, user, password_file, .. } = cluster;
    let user_key = if user.is_some() { USER } else { PASSWORD_FILE };
    let ways = [
        (credentials_file.is_some(), CREDENTIALS_FILE),
        (token_file.is_some(), TOKEN_FILE),
        (user.is_some() || password_file.is_some(), user_key),
    ];
    let mut set = ways.into_iter().filter(|(is_set, _)| *is_set).map(|(_, key)| key);
    if let (Some(first), Some(other)) = (set.next(), set.next()) {
        return Err(Problem::new(other, format!("is set, and `{first}` is set too: keep one way to sign in at NATS")));
    }
    match (credentials_file, token_file, user, password_file) {
        (Some(file), ..) => credentials(file),
        (_, Some(file), ..) => {
            secrets::only_secret_in(TOKEN_FILE, file).map(|token| NatsSignIn::Token(Secret::new(token)))
        }
        (_, _, Some(user), _) if user.is_empty() => Err(Problem::new(USER, "must not be empty")),
        (_, _, Some(user), Some(file)) => {
            let password = Secret::new(secrets::only_secret_in(PASSWORD_FILE, file)?);
            Ok(NatsSignIn::User { user: user.clone(), password })
        }
        (_, _, Some(_), None) => Err(Problem::new(PASSWORD_FILE, "must name a file with the password of `user`")),
        (_, _, None, Some(_)) => Err(Problem::new(USER, "must say whose password is in `password-file`")),
        (None, None, None, None) => Ok(NatsSignIn::Nobody),
    }
}

fn credentials(file: &Path) -> Result<NatsSignIn, Problem> {
    let text = secrets::secret_in(CREDENTIALS_FILE, file)?;
    NatsSignIn::with_credentials(text)
        .map_err(|error| Problem::new(CREDENTIALS_FILE, format!("{} {error}", file.display())))
}

/// None where nothing is said of it.
fn nats_tls(files: &ClusterTls) -> Result<Option<NatsTls>, Problem> {
    let ClusterTls { ca_file, cert_file, key_file } = files;
    if let Some(file) = ca_file {
        check_authorities(&tls::read(CA_FILE, file)?)
            .map_err(|error| Problem::new(CA_FILE, format!("{} {error}", file.display())))?;
    }
    let client = match (cert_file, key_file) {
        (Some(certificate), Some(key)) => Some(client(certificate, key)?),
        (Some(_), None) => return Err(Problem::new(KEY_FILE, "must name the key's file, as `cert-file` names one")),
        (None, Some(_)) => {
            return Err(Problem::new(CERT_FILE, "must name the certificate's file, as `key-file` names one"));
        }
        (None, None) => None,
    };
    let is_set = ca_file.is_some() || client.is_some();
    Ok(is_set.then(|| NatsTls { ca_file: ca_file.clone(), client }))
}

/// A certificate that goes with its key.
fn client(certificate: &Path, key: &Path) -> Result<ClientCertificate, Problem> {
    let wrong = |name, file: &Path, error| Problem::new(name, format!("{} {error}", file.display()));
    Tls::new(&tls::read(CERT_FILE, certificate)?, &tls::read(KEY_FILE, key)?).map_err(|error| {
        match error.is_of_key() {
            true => wrong(KEY_FILE, key, error),
            false => wrong(CERT_FILE, certificate, error),
        }
    })?;
    Ok(ClientCertificate { certificate: certificate.to_owned(), key: key.to_owned() })
}

/// Clients of a cluster come to any node, with tokens that each node takes for its own address alone.
pub(super) fn addresses_apart(net: &Settings) -> Option<Warning> {
    let text = "is not set: each node takes tokens for its own address alone, and clients come to any node: set the URL that they use, \
                the same on all nodes";
    (net.cluster.is_some() && net.endpoints.is_empty())
        .then(|| Warning { key: "server.endpoints".to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::{Config, Draft};
    use super::*;

    const CREDENTIALS: &str = "-----BEGIN NATS USER JWT-----\neyJ0eXAiOiJKV1QifQ.e30.c2ln\n------END NATS USER JWT------\n\n\
                               -----BEGIN USER NKEY SEED-----\nSUAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM\n\
                               ------END USER NKEY SEED------\n";

    /// What a configuration with this `[cluster]` comes to, beside files of these names.
    fn load(cluster: &str, files: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("the folder is ours");
        }
        let text = format!("server.access-keys = ['{}']\n{cluster}", "k".repeat(32));
        let draft = Draft::parse(&folder.path().join("hubgate.toml"), &text).map_err(|error| error.to_string())?;
        draft.settled().map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    fn joined(cluster: &str, files: &[(&str, &str)]) -> ClusterSettings {
        let cluster = format!("[cluster]\nservers = ['nats://a']\n{cluster}");
        load(&cluster, files).expect("valid").net.cluster.expect("it joins others")
    }

    #[test]
    fn a_gateway_joins_others_if_it_has_servers_for_that() {
        assert!(load("", &[]).expect("valid").net.cluster.is_none());
        let joined = joined("", &[]);
        assert_eq!((joined.servers[0].to_string().as_str(), joined.name.as_str()), ("nats://a:4222", "hubgate"));
        assert_eq!((joined.sign_in, joined.tls, joined.node_endpoint), (NatsSignIn::Nobody, None, None));
        let times = [joined.node_timeout, joined.outage_grace, joined.start_alone];
        assert_eq!(times, [5, 60, 60].map(Duration::from_secs));
        assert_eq!(joined.resend_buffer, 16 << 20);
        assert_eq!(self::joined("start-alone = '0s'", &[]).start_alone, Duration::ZERO);
    }

    #[test]
    fn one_way_to_sign_in_is_read_from_its_file() {
        let token = |text: &str| NatsSignIn::Token(Secret::new(text));
        assert_eq!(joined("token-file = 'token'", &[("token", "\u{feff} hidden\n")]).sign_in, token("hidden"));
        let user = joined("user = 'ann'\npassword-file = 'password'", &[("password", "hidden\r\n")]).sign_in;
        assert_eq!(user, NatsSignIn::User { user: "ann".to_owned(), password: Secret::new("hidden") });
        let credentials = joined("credentials-file = 'creds'", &[("creds", CREDENTIALS)]).sign_in;
        assert_eq!(credentials, NatsSignIn::Credentials(Secret::new(CREDENTIALS)));
    }

    #[test]
    fn what_cannot_stay_is_named_by_its_key_and_without_secrets() {
        let files = [("secret", "hidden"), ("empty", "\n"), ("part", &CREDENTIALS[..90])];
        for (cluster, expected) in [
            ("[cluster]", "line 2: cluster.servers: must list the NATS servers"),
            ("[cluster]\nservers = []", "line 3: cluster.servers: must list"),
            ("[cluster]\nservers = ['nats://a', 'http://b']", "cluster.servers[1]: must be nats:// or tls://"),
            ("[cluster]\nservers = ['nats://hidden@b']", "cluster.servers[0]: holds a user or a token before the `@`"),
            ("cluster.name = 'a.b'", "cluster.name: must have 1 to 64 characters"),
            ("cluster.name = ''", "cluster.name: must have 1 to 64 characters"),
            ("cluster.node-timeout = '500ms'", "cluster.node-timeout: \"500ms\" is less than \"1s\""),
            ("cluster.node-timeout = '61s'", "cluster.node-timeout: \"61s\" is more than \"1m\""),
            ("cluster.start-alone = '4s'", "cluster.start-alone: is shorter than it takes to find other nodes"),
            ("cluster.resend-buffer = '1kB'", "cluster.resend-buffer: \"1kB\" is less than \"1MiB\""),
            (
                "cluster.servers = ['nats://a']\nserver.limits.server-message = '65MiB'",
                "line 3: server.limits.server-message: \"65MiB\" is more than \"64MiB\", the longest message that passes between",
            ),
            (
                "cluster.servers = ['nats://a']\nserver.limits.post = '1GiB'",
                "server.limits.post: \"1GiB\" is more than",
            ),
            (
                "cluster.servers = ['nats://a']\nserver.limits.message = '65MiB'",
                "server.limits.message: \"65MiB\" is more",
            ),
            ("cluster.node-endpoint = 'a'", "cluster.node-endpoint: must be an http or https URL"),
            ("cluster.token-file = 'gone'", "cluster.token-file: cannot read gone"),
            ("cluster.token-file = 'empty'", "cluster.token-file: empty is empty"),
            ("cluster.credentials-file = 'secret'", "cluster.credentials-file: secret does not hold a user's JWT"),
            ("cluster.credentials-file = 'part'", "cluster.credentials-file: part does not hold a user's JWT"),
            (
                "[cluster]\ncredentials-file = 'a'\ntoken-file = 'b'",
                "line 4: cluster.token-file: is set, and `cluster.credentials-file` is set too",
            ),
            (
                "[cluster]\ntoken-file = 'a'\npassword-file = 'b'",
                "line 4: cluster.password-file: is set, and `cluster.token-file` is set too",
            ),
            ("cluster.user = 'ann'", "cluster.password-file: must name a file with the password of `user`"),
            ("cluster.user = ''\ncluster.password-file = 'secret'", "cluster.user: must not be empty"),
            ("cluster.password-file = 'secret'", "cluster.user: must say whose password"),
            ("cluster.tls.ca-file = 'secret'", "cluster.tls.ca-file: secret holds no certificate in PEM"),
            ("cluster.tls.cert-file = 'secret'", "cluster.tls.key-file: must name the key's file"),
            ("cluster.tls.key-file = 'secret'", "cluster.tls.cert-file: must name the certificate's file"),
        ] {
            let error = load(cluster, &files).expect_err(cluster);
            assert!(error.contains(expected) && !error.contains("hidden"), "{cluster}: {error}");
        }
    }

    /// A certificate that is its own authority, its key, and the key of another.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBdTCCARugAwIBAgIUQsuGbZiWhzfRlrHyWKsZaazErOgwCgYIKoZIzj0EAwIw\n\
        DzENMAsGA1UEAwwEbm9kZTAgFw0yNjExMzAxNTE0NTJaGA8yMTI2MTEwNjE1MTQ1\n\
        MlowDzENMAsGA1UEAwwEbm9kZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAXY\n\
        LPGlkDYrNzIVa6nWZgtk/Zu5rqAkS4oLruYSFOoZyRN3MNy86+Tsg9Bzhr3hFCKL\n\
        KD5afOMMV8ZhoN8+8aCjUzBRMB0GA1UdDgQWBBSOEttjZ6uBWt094j0pAP5Xnd4p\n\
        IzAfBgNVHSMEGDAWgBSOEttjZ6uBWt094j0pAP5Xnd4pIzAPBgNVHRMBAf8EBTAD\n\
        AQH/MAoGCCqGSM49BAMCA0gAMEUCIH/s0MfAG5i+Cha3L9wcBYt7LkAnK8GqDrPx\n\
        a5Ek9DHyAiEAhLVrBZsWOT8NXrFHv6uG/NfG3GyHCW5KuozLAKRInUQ=\n\
        -----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4UbhzG3gLX/nQqyB\n\
        MSjuWIYP1+jmtgS/IbEA66SLJ4mhRANCAAQF2CzxpZA2KzcyFWup1mYLZP2bua6g\n\
        JEuKC67mEhTqGckTdzDcvOvk7IPQc4a94RQiiyg+WnzjDFfGYaDfPvGg\n\
        -----END PRIVATE KEY-----\n";
    const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQd8M83UNNTlBBsce\n\
        OorI3HrGMkZ3q5W/iy3zCB18K3ChRANCAAT4aqyKfsAgSLu1+LorfIZ6v12D+oQI\n\
        6FtnbF99UKrCMp3SZrvUasWd7Hg7LzgvoMycmH7dnkIa+QmgzazGKEdX\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn tls_has_an_authority_and_a_certificate_that_goes_with_its_key() {
        let files = [("ca", CERTIFICATE), ("cert", CERTIFICATE), ("key", KEY), ("other", OTHER_KEY)];
        let joined = joined("tls = { ca-file = 'ca', cert-file = 'cert', key-file = 'key' }", &files);
        let tls = joined.tls.expect("it is set");
        assert!(tls.ca_file.is_some_and(|file| file.is_absolute() && file.ends_with("ca")));
        let names = tls.client.map(|client| [client.certificate, client.key].map(|file| name_of(&file)));
        assert_eq!(names, Some(["cert".into(), "key".into()]));
        let mixed = "[cluster]\nservers = ['nats://a']\ntls = { cert-file = 'cert', key-file = 'other' }";
        let error = load(mixed, &files).expect_err("another key");
        assert!(error.contains("cluster.tls.key-file: other does not go with the certificate"), "{error}");
    }

    fn name_of(file: &Path) -> PathBuf {
        file.file_name().expect("it is one").into()
    }

    #[test]
    fn a_node_that_no_client_can_know_by_its_address_is_warned_of() {
        let warned = |server: &str| {
            let config = load(&format!("{server}\n[cluster]\nservers = ['nats://a']"), &[]).expect("valid");
            config.warnings.into_iter().map(|warning| (warning.key, warning.text)).collect::<Vec<_>>()
        };
        let [(key, text)] = &warned("")[..] else { panic!("one warning") };
        assert!(key == "server.endpoints" && text.contains("the same on all nodes"), "{key}: {text}");
        assert_eq!(warned("server.endpoints = ['https://realtime.example.com']"), []);
        assert_eq!(warned("server.listen = '0.0.0.0:8888'").len(), 1, "the same key is told of once");
    }

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        let config = load("[cluster]\nservers = ['nats://a', 'tls://[::1]:1']\nname = 'b'", &[]).expect("valid");
        let shown = config.show();
        assert!(shown.contains("[cluster]\nservers = [\"nats://a:4222\", \"tls://[::1]:1\"]"), "{shown}");
        let table: toml::Table = shown.parse().expect("it is TOML");
        let again = load(&toml::Table::from_iter([("cluster".to_owned(), table["cluster"].clone())]).to_string(), &[]);
        let again = again.expect("valid").net.cluster.expect("it is there");
        assert_eq!((again.servers.len(), again.name.as_str()), (2, "b"));
        assert!(!load("", &[]).expect("valid").show().contains("cluster"));
    }
}
