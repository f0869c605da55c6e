//! The gateway that serves the probes of one language.

use std::fs;

use hubgate_tests::command::leavings;
use hubgate_tests::webhook::Webhook;
use hubgate_tests::{Client, Gateway, guests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A language, and what is known of it beforehand.
pub(crate) struct Language {
    /// As the page has it.
    pub(crate) name: &'static str,
    /// As `plugin new` has it, and the folder of its probes.
    pub(crate) id: &'static str,
    /// The integers that come back from a calculation as they are.
    pub(crate) integers: Integers,
    /// What becomes of "\ud800", half of a surrogate pair, in an argument.
    pub(crate) halves: Halves,
    /// How it refuses wrong arguments.
    pub(crate) refusals: Refusals,
    /// The file with the handler's `crash`, where a logged traceback leads to.
    pub(crate) source: &'static str,
    /// The file of a new project that an editor learns the contract from.
    pub(crate) types: &'static str,
    /// The command that tests a new project's functions without a component, as its README has it.
    pub(crate) tested_by: &'static str,
}

/// How far integers are exact.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Integers {
    Of64Bits,
    /// Doubles.
    Of53Bits,
}

/// UTF-8 has nothing for half of a surrogate pair, which JSON can carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halves {
    /// U+FFFD stands for it.
    Replaced,
    /// The call is refused.
    Refused,
}

/// The words after "Wrong arguments: ".
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusals {
    OfAllLanguages,
    /// Those of the library that reads JSON.
    OfItsOwn,
}

impl Language {
    pub(crate) const RUST: Language = Language {
        name: "Rust",
        id: "rust",
        integers: Integers::Of64Bits,
        halves: Halves::Refused,
        refusals: Refusals::OfItsOwn,
        source: "src/lib.rs",
        types: "hubgate/src/lib.rs",
        tested_by: "cargo test",
    };
    pub(crate) const JAVASCRIPT: Language = Language {
        name: "JavaScript",
        id: "js",
        integers: Integers::Of53Bits,
        halves: Halves::Replaced,
        refusals: Refusals::OfAllLanguages,
        source: "plugin.js",
        types: "hubgate/index.d.ts",
        tested_by: "npm test",
    };
    pub(crate) const TYPESCRIPT: Language = Language {
        name: "TypeScript",
        id: "ts",
        integers: Integers::Of53Bits,
        halves: Halves::Replaced,
        refusals: Refusals::OfAllLanguages,
        source: "plugin.ts",
        types: "hubgate/index.d.ts",
        tested_by: "npm test",
    };
    pub(crate) const GO: Language = Language {
        name: "Go",
        id: "go",
        integers: Integers::Of64Bits,
        halves: Halves::Replaced,
        refusals: Refusals::OfAllLanguages,
        source: "plugin.go",
        types: "hubgate/hubgate.go",
        tested_by: "go test",
    };
    pub(crate) const C: Language = Language {
        name: "C",
        id: "c",
        integers: Integers::Of64Bits,
        halves: Halves::Replaced,
        refusals: Refusals::OfAllLanguages,
        source: "plugin.c",
        types: "hubgate/hubgate.h",
        tested_by: "cc -I. -o test",
    };
    pub(crate) const PYTHON: Language = Language {
        name: "Python",
        id: "python",
        integers: Integers::Of64Bits,
        halves: Halves::Replaced,
        refusals: Refusals::OfAllLanguages,
        source: "app.py",
        types: "hubgate/py.typed",
        tested_by: "python3 -m unittest",
    };
}

/// What the server for `fetch` answers.
pub(crate) const BODY: &str = "from elsewhere: ä 漢";
/// The value of the configuration's `greeting`.
pub(crate) const GREETING: &str = "Grüß Gott, \"you\"";

pub(crate) struct Rig {
    pub(crate) language: &'static Language,
    pub(crate) gateway: Gateway,
    /// Answers with [`BODY`].
    pub(crate) answering: String,
    /// Never answers.
    pub(crate) silent: String,
    /// Its tasks live as long as it does.
    _silent: Webhook,
}

impl Rig {
    /// Compiled components are kept from run to run: those with an interpreter inside take long.
    pub(crate) async fn of(language: &'static Language) -> Rig {
        let data = leavings("conformance").join(language.id);
        for kept in ["state", "components"] {
            let _ = fs::remove_dir_all(data.join(kept));
        }
        let (webhook, answering) = (Webhook::silent().await, answering().await);
        let silent = webhook.url().replace("/{category}/{event}", "");
        let probe = guests::conformance(language.id, "handler");
        let filter = guests::conformance(language.id, "filter");
        let gateway = Gateway::serve();
        let gateway = gateway.plugin("probe", &probe).plugin("hasty", &probe).plugin("native", &probe);
        let config = format!(
            r#"
            [server]
            data-dir = '{data}'
            [hubs."*"]
            mode = "serverless"
            [hubs.filtered]
            filters = ["filter"]
            [[upstream]]
            hubs = ["hasty"]
            plugin = "hasty"
            [[upstream]]
            hubs = ["native"]
            plugin = "native"
            [[upstream]]
            plugin = "probe"
            [plugins]
            probe = {{ call-time = "60s", allow-http = ["{answering}"], rollback = false, config = {{ greeting = '{GREETING}' }} }}
            hasty = {{ call-time = "5s", cpu-time = "500ms", allow-http = ["{silent}"], rollback = false }}
            native = {{ call-time = "60s", payload = "native", allow-http = ["{answering}"] }}
            filter = {{ call-time = "60s", rollback = false, config = {{ mark = "marked" }} }}
            "#,
            data = data.display(),
        );
        let gateway = gateway.plugin("filter", &filter).with(&config).start().await;
        Rig { language, gateway, answering, silent, _silent: webhook }
    }

    /// A client of the probe that answers as all should.
    pub(crate) async fn client(&self) -> Client {
        self.gateway.client("probe").connect().await
    }

    pub(crate) async fn user(&self, name: &str) -> Client {
        self.gateway.client("probe").user(name).connect().await
    }
}

/// A server that answers every request, until the test ends; gives its origin.
async fn answering() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("the gateway connects");
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("the gateway sends a head"));
                }
                stream.write_all(answer.as_bytes()).await.expect("the gateway reads");
            });
        }
    });
    format!("http://{address}")
}
