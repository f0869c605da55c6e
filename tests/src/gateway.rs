//! A running gateway: its configuration, its process, its admin listener.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use ::http::Method;
use serde_json::Value;
use tempfile::TempDir;
use toml::Table;

use crate::client::Connecting;
use crate::command::binary;
use crate::guests;
use crate::http::{Answer, Request};
use crate::network::Machine;
use crate::token::Token;
use crate::wait::{DEADLINE, LONG_DEADLINE, pause, until};

/// The first access key of every gateway that [`Gateway::serve`] makes: the one that signs.
pub const KEY: &str = "dGVzdHMtb25seS1maXJzdC1hY2Nlc3Mta2V5LTAxMjM0NTY3ODk=";
/// The second one.
pub const SECOND_KEY: &str = "dGVzdHMtb25seS1zZWNvbmQtYWNjZXNzLWtleS0wMTIzNDU2Nzg5";

/// A gateway that is not started yet.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    start: Start,
    surroundings: Surroundings,
}

/// What its process runs with beside its configuration.
#[derive(Debug)]
struct Surroundings {
    log_format: &'static str,
    environment: Vec<(&'static str, String)>,
    descriptors: Option<u32>,
    /// None: where the test runs.
    machine: Option<Machine>,
}

#[derive(Debug)]
enum Start {
    Serve(Box<Table>),
    Dev(Vec<String>),
}

/// A running gateway. Dropped, it is killed; its log is shown if the test fails.
#[derive(Debug)]
pub struct Gateway {
    folder: TempDir,
    start: Start,
    surroundings: Surroundings,
    process: Child,
    ready: Ready,
}

/// The ready file.
#[derive(Debug, Clone)]
pub struct Ready {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub connection_string: String,
    pub admin_token: String,
}

impl Gateway {
    /// `hubgate serve` with two access keys and nothing to serve yet.
    pub fn serve() -> Setup {
        let folder = TempDir::new().expect("there is room for a folder");
        fs::create_dir(folder.path().join("plugins")).expect("the folder is empty");
        let data = folder.path().join("data");
        Setup::new(folder, Start::Serve(Box::default())).with(&format!(
            r#"
            [server]
            access-keys = ["{KEY}", "{SECOND_KEY}"]
            data-dir = '{}'
            shards = 2
            [admin]
            listen = "127.0.0.1:0"
            "#,
            data.display()
        ))
    }

    /// `hubgate serve` with the probe as upstream of hub `probe`, which anybody may enter.
    pub fn probe() -> Setup {
        Gateway::serve().plugin("probe", &guests::probe()).with(
            r#"
            [hubs.probe]
            mode = "serverless"
            negotiate = { anonymous = true }
            [[upstream]]
            hubs = ["probe"]
            plugin = "probe"
            "#,
        )
    }

    /// The same with the probe of a whole hub.
    pub fn probe_hub() -> Setup {
        Gateway::probe().plugin("probe", &guests::probe_hub())
    }

    /// `hubgate dev`.
    pub fn dev<const N: usize>(arguments: [&str; N]) -> Setup {
        let folder = TempDir::new().expect("there is room for a folder");
        Setup::new(folder, Start::Dev(arguments.map(str::to_owned).to_vec()))
    }

    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The address of clients.
    pub fn address(&self) -> SocketAddr {
        self.ready.listen
    }

    /// The base URL of clients.
    pub fn url(&self) -> String {
        let has_tls = match &self.start {
            Start::Serve(config) => config["server"].get("tls").is_some(),
            Start::Dev(_) => false,
        };
        let scheme = if has_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.ready.listen)
    }

    /// The key in the connection string.
    pub fn key(&self) -> &str {
        let fields = self.ready.connection_string.split(';');
        let key = fields.filter_map(|field| field.strip_prefix("AccessKey=")).next();
        key.expect("the connection string has a key")
    }

    /// The folder in which it was started.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of a plugin of [`Setup::plugin`].
    pub fn plugin_file(&self, name: &str) -> PathBuf {
        plugin_file(&self.folder, name)
    }

    /// Gives a plugin's file another content at one stroke, as `mv` does.
    pub fn replace_plugin(&self, name: &str, content: &[u8]) {
        let file = self.plugin_file(name);
        let new = file.with_extension("new");
        fs::write(&new, content).expect("the folder can be written");
        fs::rename(&new, &file).expect("the folder can be written");
    }

    /// A client of `hub`, not connected yet.
    pub fn client(&self, hub: &str) -> Connecting {
        Connecting::to(self.address(), hub, self.token(hub))
    }

    /// A token for clients of `hub`, not signed yet.
    pub fn token(&self, hub: &str) -> Token {
        Token::new(&format!("{}/client/?hub={hub}", self.url()), self.key())
    }

    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(method, self.address(), path)
    }

    /// A request of the REST API, with a token for its path.
    pub fn rest(&self, method: Method, path: &str) -> Request {
        let audience = format!("{}{}", self.url(), path.split('?').next().unwrap_or_default());
        self.request(method, path).bearer(&Token::new(&audience, self.key()).sign())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.request(Method::POST, path).send().await
    }

    /// What the admin listener says at `path`.
    pub async fn admin(&self, path: &str) -> Value {
        self.admin_request(path).bearer(&self.ready.admin_token).send().await.json()
    }

    /// A request to the admin listener, with the admin token.
    pub fn operate(&self, method: Method, path: &str) -> Request {
        Request::new(method, self.ready.admin, path).bearer(&self.ready.admin_token)
    }

    /// Without the token.
    pub fn admin_request(&self, path: &str) -> Request {
        Request::new(Method::GET, self.ready.admin, path)
    }

    /// What `/admin/plugins` says about one plugin.
    pub async fn plugin_status(&self, name: &str) -> Value {
        let plugins = self.admin("/admin/plugins").await;
        let found = plugins["plugins"].as_array().and_then(|all| all.iter().find(|each| each["name"] == name));
        found.cloned().unwrap_or_else(|| panic!("no plugin {name}: {plugins}"))
    }

    /// The value of a metric that has all of these labels, 0 where it has not been counted yet.
    pub async fn metric<const N: usize>(&self, name: &str, labels: [(&str, &str); N]) -> f64 {
        let answer = self.admin_request("/metrics").bearer(&self.ready.admin_token).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let has = |line: &str| labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")));
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = answer.body.lines().filter(of_name).filter(|line| has(line));
        values.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect(line)).sum()
    }

    /// How many clients of `hub` there are.
    pub async fn clients_of(&self, hub: &str) -> u64 {
        let asked = self.admin_request(&format!("/admin/hubs/{hub}")).bearer(&self.ready.admin_token).send().await;
        if asked.status == 404 {
            // Nobody uses it, and the configuration does not name it.
            return 0;
        }
        let status = asked.json();
        status["clients"].as_u64().unwrap_or_else(|| panic!("no number of clients: {status}"))
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        text(&self.folder.path().join("stderr.log"))
    }

    /// All that it has printed as a result.
    pub fn printed(&self) -> String {
        text(&self.folder.path().join("stdout.log"))
    }

    /// Waits for a line of the log that has all of `parts`.
    pub async fn logs(&self, parts: &[&str]) {
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        until(&format!("a log line with {parts:?}"), async || self.log().lines().any(has).then_some(())).await;
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Asks it to read its configuration again.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        assert!(signal(self.process.id(), name), "the gateway runs");
    }

    /// Changes the configuration file at one stroke: tables are merged.
    pub fn reconfigure(&mut self, config: &str) {
        let Start::Serve(own) = &mut self.start else { panic!("`dev` has no configuration file") };
        merge(own, config.parse().unwrap_or_else(|error| panic!("{error}: {config}")));
        write_config(&self.folder, own);
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("hubgate.toml")
    }

    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The processes that it has started and that have not ended: compilers.
    pub fn children(&self) -> Vec<u32> {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.process.id())) else { return Vec::new() };
        let children = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let all: String = threads.flatten().map(children).collect();
        all.split_whitespace().map(|id| id.parse().expect("Linux lists numbers")).collect()
    }

    /// A compiler that is at work. One that is not its own program yet is left out: whoever starts it waits for that, so that all of the watching
    /// of plugins would stop with it.
    pub fn compiler(&self) -> Option<u32> {
        let command = |id: u32| fs::read(format!("/proc/{id}/cmdline")).ok();
        let own = command(self.process.id());
        self.children().into_iter().find(|child| command(*child).is_some_and(|command| Some(command) != own))
    }

    /// The memory that its process holds now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that its process has held so far, in bytes.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let file = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(file).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells the size");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kib * 1024
    }

    /// How it ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let process = &mut self.process;
        until("the gateway to stop", async || process.try_wait().expect("a child can be waited for")).await
    }

    /// Ends it at once, as a crash does.
    pub fn crash(&mut self) {
        self.process.kill().expect("a child can be killed");
        self.process.wait().expect("a child can be waited for");
    }

    /// Ends it at once, as a crash does, and starts it again on the same port.
    pub async fn crash_and_restart(&mut self) {
        self.crash();
        self.start_again().await;
    }

    /// Asks it to stop, and starts it again on the same port.
    pub async fn restart(&mut self) {
        self.terminate();
        self.start_again().await;
    }

    /// Starts it again on the same port when it has ended.
    pub async fn start_again(&mut self) {
        self.ended().await;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let listen = Some(self.ready.listen);
            self.process = spawn(&self.folder, &self.start, &self.surroundings, listen);
            match ready(&self.folder, &mut self.process).await {
                Ok(ready) => break self.ready = ready,
                // A connection of another test may have got the port as its own for a moment.
                Err(_) if self.log().contains("in use") && Instant::now() < deadline => pause().await,
                Err(why) => panic!("{why}\n{}", self.log()),
            }
        }
    }
}

/// Sends a signal to a process; says whether it was there.
pub fn signal(process: u32, name: &str) -> bool {
    let killed = Command::new("sh").args(["-c", &format!("kill -{name} {process} 2> /dev/null")]).status();
    killed.expect("there is a shell").success()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to be done about it here.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- what the gateway logged ---\n{}", self.log());
        }
    }
}

impl Setup {
    fn new(folder: TempDir, start: Start) -> Setup {
        let surroundings =
            Surroundings { log_format: "text", environment: Vec::new(), descriptors: None, machine: None };
        Setup { folder, start, surroundings }
    }

    /// Adds configuration, or replaces what is there; tables are merged.
    pub fn with(mut self, config: &str) -> Setup {
        self.merge(config);
        self
    }

    /// Adds a plugin whose file is a copy of `component`.
    pub fn plugin(self, name: &str, component: &Path) -> Setup {
        let file = plugin_file(&self.folder, name);
        fs::write(&file, guests::bytes(component)).expect("the folder can be written");
        self.with(&format!("plugins.{name}.path = '{}'", file.display()))
    }

    /// The file of a plugin of [`Setup::plugin`].
    pub fn plugin_file(&self, name: &str) -> PathBuf {
        plugin_file(&self.folder, name)
    }

    /// With a log of JSON objects, one a line.
    pub fn logging_json(mut self) -> Setup {
        self.surroundings.log_format = "json";
        self
    }

    /// With a variable of its environment.
    pub fn environment(mut self, name: &'static str, value: &str) -> Setup {
        self.surroundings.environment.push((name, value.to_owned()));
        self
    }

    /// With at most `limit` open file descriptors.
    pub fn descriptors(mut self, limit: u32) -> Setup {
        self.surroundings.descriptors = Some(limit);
        self
    }

    /// On a machine of its own.
    pub fn on(mut self, machine: Machine) -> Setup {
        self.merge(&format!("[admin]\nlisten = '{}:0'", machine.address()));
        self.surroundings.machine = Some(machine);
        self
    }

    /// Puts a file beside the configuration.
    pub fn file(self, name: &str, content: &str) -> Setup {
        fs::write(self.folder.path().join(name), content).expect("the folder can be written");
        self
    }

    pub async fn start(self) -> Gateway {
        let Setup { folder, start, surroundings } = self;
        let mut process = spawn(&folder, &start, &surroundings, None);
        match ready(&folder, &mut process).await {
            Ok(ready) => Gateway { folder, start, surroundings, process, ready },
            Err(why) => panic!("{why}\n{}", text(&folder.path().join("stderr.log"))),
        }
    }

    /// Its configuration file, written but not used.
    pub fn written(self) -> (TempDir, PathBuf) {
        let Start::Serve(config) = &self.start else { panic!("`dev` has no configuration file") };
        let file = write_config(&self.folder, config);
        (self.folder, file)
    }

    fn merge(&mut self, config: &str) {
        let Start::Serve(own) = &mut self.start else { panic!("`dev` has no configuration file") };
        merge(own, config.parse().unwrap_or_else(|error| panic!("{error}: {config}")));
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn write_config(folder: &TempDir, config: &Table) -> PathBuf {
    let file = folder.path().join("hubgate.toml");
    let new = file.with_extension("new");
    fs::write(&new, config.to_string()).expect("the folder can be written");
    fs::rename(&new, &file).expect("the folder can be written");
    file
}

fn plugin_file(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join("plugins").join(name).with_extension("wasm")
}

fn spawn(folder: &TempDir, start: &Start, surroundings: &Surroundings, listen: Option<SocketAddr>) -> Child {
    let Surroundings { log_format, environment, descriptors, machine } = surroundings;
    let path = folder.path();
    let ready_file = path.join("ready.json");
    // What an earlier process of the same folder left.
    let _ = fs::remove_file(&ready_file);
    let mut command = match descriptors {
        None => Command::new(binary()),
        Some(limit) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]).arg(binary());
            shell
        }
    };
    command.args(["--log-format", log_format]);
    match start {
        Start::Serve(config) => command.arg("serve").arg("--config").arg(write_config(folder, config)),
        Start::Dev(arguments) => command.arg("dev").args(arguments),
    };
    let host = machine.as_ref().map_or(Ipv4Addr::LOCALHOST, Machine::address);
    command.arg("--listen").arg(listen.unwrap_or(SocketAddr::new(host.into(), 0)).to_string());
    command.arg("--ready-file").arg(ready_file);
    for name in ["HUBGATE_ACCESS_KEYS", "HUBGATE_ACCESS_KEYS_FILE", "RUST_LOG"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().cloned());
    command.current_dir(path).stdin(Stdio::null());
    command.stdout(log_file(&path.join("stdout.log"))).stderr(log_file(&path.join("stderr.log")));
    if let Some(machine) = machine {
        machine.runs(&mut command);
    }
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn log_file(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("the folder can be written")
}

/// What the ready file says once it is there, or why it never will be.
async fn ready(folder: &TempDir, process: &mut Child) -> Result<Ready, String> {
    let file = folder.path().join("ready.json");
    let deadline = Instant::now() + LONG_DEADLINE;
    loop {
        if let Ok(content) = fs::read_to_string(&file) {
            // The file is written atomically: once it is there, it is whole.
            let content: Value = serde_json::from_str(&content).map_err(|error| format!("{error}: {content}"))?;
            return Ready::parse(&content).ok_or(format!("the ready file lacks something: {content}"));
        }
        if let Some(status) = process.try_wait().expect("a child can be waited for") {
            return Err(format!("the gateway ended before it was ready: {status}"));
        }
        if Instant::now() >= deadline {
            return Err(format!("the gateway was not ready after {LONG_DEADLINE:?}"));
        }
        pause().await;
    }
}

impl Ready {
    pub(crate) fn parse(content: &Value) -> Option<Ready> {
        let field = |name: &str| content[name].as_str();
        Some(Ready {
            listen: field("listen")?.parse().ok()?,
            admin: field("admin")?.parse().ok()?,
            connection_string: field("connectionString")?.to_owned(),
            admin_token: field("adminToken")?.to_owned(),
        })
    }
}

fn text(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
