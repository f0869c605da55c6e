//! Speaks to a running gateway through its admin listener.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hubgate_plugin_host::RegularFile;
use serde_json::Value;

use super::plugin_test::shown;
use crate::Failure;

/// How long the gateway may take to be reached, and for each part of its answer where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer, and the largest file with a token or of a ready gateway, in bytes.
const MAX_ANSWER_BYTES: u64 = 16 << 20;
const MAX_FILE_BYTES: usize = 64 << 10;
/// Where the token is, if no option says.
const TOKEN_VARIABLE: &str = "HUBGATE_ADMIN_TOKEN";

/// How the admin listener begins what it says of something that is not there, where it knows the path.
const NOT_THERE: [&str; 5] = [
    "Nothing was ",
    "This gateway serves alone",
    "No connection of this gateway",
    "That is not a hub's name",
    "The configuration does not name this hub",
];

/// Which gateway, and its token.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminOptions {
    /// Address of the gateway's admin listener; required unless --ready-file is given.
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// A token for the admin API; the read token is enough for what changes nothing and shows no secret. It is better off in a file, or in the variable HUBGATE_ADMIN_TOKEN: others see command lines.
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<String>,
    /// A file with that token.
    #[arg(long, value_name = "FILE", conflicts_with = "admin_token")]
    admin_token_file: Option<PathBuf>,
    /// The gateway's ready file: supplies the address and the token unless an option above gives them. It takes precedence over HUBGATE_ADMIN_TOKEN.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// Which gateway, for what needs no token.
#[derive(Debug, clap::Args)]
pub(crate) struct GatewayOptions {
    /// The gateway's admin listener; that of a gateway on this machine if nothing is said.
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// The ready file of the gateway, which says where that is.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// Where the admin listener is if nothing else is said.
const DEFAULT_ADMIN: &str = "127.0.0.1:8889";

/// A gateway's admin listener.
#[derive(Debug)]
pub(crate) struct AdminClient {
    address: String,
    /// None: what is asked needs none.
    token: Option<String>,
    /// How long each part of an answer may take.
    patience: Duration,
}

/// The request has gone out, and what came of it is not known.
#[derive(Debug, thiserror::Error)]
#[error("it did not answer")]
pub(crate) struct NoAnswer;

impl AdminClient {
    pub(crate) fn new(options: &AdminOptions) -> Result<AdminClient, Failure> {
        let ready = options.ready_file.as_ref().map(|file| read_json(file)).transpose()?;
        let of_ready = |field: &str| ready.as_ref().and_then(|ready| ready[field].as_str()).map(str::to_owned);
        let of_file = match &options.admin_token_file {
            Some(file) => Some(read_text(file)?.trim().to_owned()),
            None => None,
        };
        let of_environment = || std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let address = options.admin.clone().or_else(|| of_ready("admin"));
        let token = options.admin_token.clone().or(of_file).or_else(|| of_ready("adminToken")).or_else(of_environment);
        let usage = |what: &str| Failure::Usage(anyhow!("{what}"));
        let address = address.ok_or_else(|| usage("name the gateway: --admin HOST:PORT, or --ready-file FILE"))?;
        Ok(AdminClient {
            patience: TIMEOUT,
            address: authority(&address)
                .ok_or_else(|| usage("--admin: the admin listener has no TLS, write HOST:PORT"))?,
            token: Some(token.ok_or_else(|| {
                usage("the admin token is missing: --admin-token-file FILE, HUBGATE_ADMIN_TOKEN, or --ready-file FILE")
            })?),
        })
    }

    /// For what needs no token. A ready file that is not there is one of a gateway that is not ready.
    pub(crate) fn without_token(options: &GatewayOptions) -> Result<AdminClient, Failure> {
        if let Some(file) = options.ready_file.as_ref().filter(|file| !file.exists()) {
            let why = "it is not there, so the gateway is not ready, or writes another one";
            return Err(Failure::Failed(anyhow!("{}: {why}", file.display())));
        }
        let ready = options.ready_file.as_ref().map(|file| read_json(file)).transpose()?;
        let of_ready = || ready.as_ref().and_then(|ready| ready["admin"].as_str()).map(str::to_owned);
        let address = options.admin.clone().or_else(of_ready).unwrap_or_else(|| DEFAULT_ADMIN.to_owned());
        let address = authority(&address)
            .ok_or_else(|| Failure::Usage(anyhow!("--admin: the admin listener has no TLS, write HOST:PORT")))?;
        Ok(AdminClient { address, token: None, patience: TIMEOUT })
    }

    pub(crate) fn with_patience(self, patience: Duration) -> AdminClient {
        AdminClient { patience, ..self }
    }

    /// Posts a request without a body; gives the answer's JSON. An answer that says no is an error with its text.
    pub(crate) fn post(&self, path: &str) -> Result<Value> {
        self.ask("POST", path, None)
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask("POST", path, Some(("application/json", body.to_string().as_bytes())))
    }

    pub(crate) fn put_json(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask("PUT", path, Some(("application/json", body.to_string().as_bytes())))
    }

    pub(crate) fn post_component(&self, path: &str, component: &[u8]) -> Result<Value> {
        self.ask("POST", path, Some(("application/wasm", component)))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value> {
        self.ask("DELETE", path, None)
    }

    /// The same without a change of anything.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.ask("GET", path, None)
    }

    /// Status and text of an answer, whatever it says.
    pub(crate) fn get_text(&self, path: &str) -> Result<(u16, String)> {
        let answer = self.answer("GET", path, None)?;
        let (status, body) = self.parsed(&answer)?;
        Ok((status, body.to_owned()))
    }

    /// An answer that has no end: its lines, as they come.
    pub(crate) fn follow(&self, path: &str) -> Result<impl Iterator<Item = io::Result<String>>> {
        let reached = || format!("the gateway at {}", self.address);
        // To HTTP/1.0 no answer comes in chunks.
        let request = format!("GET {path} HTTP/1.0");
        let mut lines = BufReader::new(self.begin(&request, "").with_context(reached)?).lines();
        let mut head = String::new();
        for line in lines.by_ref() {
            match line.context(NoAnswer).with_context(reached)? {
                line if line.is_empty() => break,
                line => head.push_str(&format!("{line}\r\n")),
            }
        }
        let head = head + "\r\n";
        let (status, _) = self.parsed(&head)?;
        if status != 200 {
            let body: Vec<String> = lines.by_ref().map_while(Result::ok).collect();
            self.accept(status, &body.join("\n"), path)?;
        }
        Ok(lines)
    }

    fn ask(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<Value> {
        let answer = self.answer(method, path, body)?;
        let (status, body) = self.parsed(&answer)?;
        self.accept(status, body, path)
    }

    fn answer(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<String> {
        self.exchange(method, path, body).with_context(|| format!("the gateway at {}", self.address))
    }

    fn parsed<'a>(&self, answer: &'a str) -> Result<(u16, &'a str)> {
        parse(answer).ok_or(NoAnswer).with_context(|| format!("{} gave no answer in HTTP", self.address))
    }

    /// What an answer says, or why it is none.
    fn accept(&self, status: u16, body: &str, path: &str) -> Result<Value> {
        let is_about_it = NOT_THERE.iter().any(|text| body.starts_with(text));
        match status {
            200..=299 => serde_json::from_str(body).context("the gateway's answer is not JSON"),
            404 | 405 if !is_about_it => Err(anyhow!(
                "{} is not an admin listener that knows {path} ({status}): it is `admin.listen`",
                self.address
            )),
            status => Err(anyhow!("the gateway refused it ({status}): {}", shown(body.trim()))),
        }
    }

    fn exchange(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<String> {
        let content_type = body.map(|(content_type, _)| format!("Content-Type: {content_type}\r\n"));
        let body = body.map_or(&[][..], |(_, body)| body);
        let about_body = format!("{}Content-Length: {}\r\n", content_type.unwrap_or_default(), body.len());
        let mut stream = self.begin(&format!("{method} {path} HTTP/1.1"), &about_body)?;
        // What has not gone out as a whole is not carried out. The gateway may have refused it by then, and says why.
        let sent = stream.write_all(body);
        let mut answer = String::new();
        let read = stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer);
        match (sent, read) {
            (Err(error), _) if answer.is_empty() => Err(error.into()),
            (Ok(()), Err(error)) => Err(error).context(NoAnswer),
            (Err(_), _) | (Ok(()), Ok(_)) => Ok(answer),
        }
    }

    /// Sends the head of a request, whose answer ends with the connection.
    fn begin(&self, request_line: &str, about_body: &str) -> Result<TcpStream> {
        let token = self.token.as_deref().unwrap_or_default();
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        if token.bytes().chain(self.address.bytes()).any(|byte| !(0x21..0x7f).contains(&byte)) {
            bail!("its address, or the admin token, has characters that no request can have");
        }
        let authorization = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let authorization = authorization.unwrap_or_default();
        let host = &self.address;
        let head = format!("{request_line}\r\nHost: {host}\r\n{authorization}{about_body}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        Ok(stream)
    }

    fn connect(&self) -> Result<TcpStream> {
        let addresses: Vec<SocketAddr> = self.address.to_socket_addrs().context("it cannot be found")?.collect();
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(anyhow!(last).context("it cannot be reached"))
    }
}

/// The host and port of an address, which may be written as a URL.
fn authority(address: &str) -> Option<String> {
    let bare = match address.split_once("://") {
        None => address,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return None,
    };
    Some(bare.trim_end_matches('/').to_owned())
}

/// All but letters, digits and `-` as their bytes in hexadecimal.
pub(crate) fn percent_encode(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

/// Status and body of an answer that ends with its connection.
fn parse(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.strip_prefix(['0', '1'])?.strip_prefix(' ')?.get(..3)?.parse().ok()?;
    Some((status, body))
}

fn read_text(file: &Path) -> Result<String, Failure> {
    let text = RegularFile::read_text(file, MAX_FILE_BYTES);
    text.map_err(|error| Failure::Usage(anyhow!(error).context(format!("{}: cannot be read", file.display()))))
}

fn read_json(file: &Path) -> Result<Value, Failure> {
    let not_ready = |error| Failure::Usage(anyhow!("{}: is not a ready file: {error}", file.display()));
    serde_json::from_str(&read_text(file)?).map_err(not_ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_written_as_a_url() {
        for address in ["127.0.0.1:8889", "http://127.0.0.1:8889", "HTTP://127.0.0.1:8889/"] {
            assert_eq!(authority(address).as_deref(), Some("127.0.0.1:8889"), "{address}");
        }
        assert_eq!(authority("https://127.0.0.1:8889"), None);
    }

    #[test]
    fn what_is_not_there_is_told_from_a_path_that_is_not_there() {
        let client = AdminClient { address: "127.0.0.1:8889".to_owned(), token: None, patience: TIMEOUT };
        let refused = |body| client.accept(404, body, "/admin/cluster").expect_err("404").to_string();
        let alone = "This gateway serves alone: its configuration has no [cluster].\n";
        assert_eq!(refused(alone), format!("the gateway refused it (404): {}", alone.trim()));
        let nothing = refused("Nothing is here.");
        assert!(nothing.contains("127.0.0.1:8889 is not an admin listener that knows /admin/cluster"), "{nothing}");
    }

    #[test]
    fn what_a_refusal_says_steers_no_terminal() {
        let client = AdminClient { address: "127.0.0.1:8889".to_owned(), token: None, patience: TIMEOUT };
        let refused =
            client.accept(409, "no\u{1b}[2J\u{9b}1m\u{202e}\n", "/admin/hubs/chat").expect_err("409").to_string();
        assert!(refused.contains("(409): no") && !refused.contains(crate::one_line::is_active), "{refused}");
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        assert_eq!(parse("HTTP/1.1 409 Conflict\r\na: b\r\n\r\nno\n"), Some((409, "no\n")));
        assert_eq!(parse("SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(parse("HTTP/1.1 x\r\n\r\n"), None);
    }
}
