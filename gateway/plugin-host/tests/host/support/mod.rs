//! Guests made of WAT, and a shard for them, so that most tests need no toolchain of a guest's language.
#![allow(dead_code, reason = "the benchmark and the example use their parts")]

use std::cell::RefCell;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::Poll;
use std::time::{Duration, Instant};

use hubgate_core::delivery::Target;
use hubgate_core::event::{ConnectionFacts, UpstreamAnswer, UpstreamCall, UpstreamEvent};
use hubgate_core::id::{ConnectionId, HubName, PluginName, ShardIndex, UserId};
use hubgate_core::pairs::Pairs;
use hubgate_plugin_host::{
    AllowHttp, BadPlugins, Budgets, Compilation, Folders, HostSettings, Payloads, PluginHost, PluginSettings,
    PluginSource, Rollback, ShardPlugins, ShardQuestion, StartError, StateScope, Uses,
};
use hubgate_wire::payload::{JsonText, Payload};
use hubgate_wire::signalr::HubProtocol;
use tokio::sync::{mpsc, oneshot};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../../../../wit/plugin.wit");
const WASI: &str = include_str!("wasi.wit");
const GUEST: &str = include_str!("guest.wat");

/// A guest that answers `version` with `version`, of 7 characters, and is ready after `init`.
pub(crate) fn guest(version: &str) -> Vec<u8> {
    assert_eq!(version.len(), 7, "the guest has room for 7 characters");
    component(&GUEST.replace("VERSION", version).replace("INIT", "(call $ok)"), WIT, "handler")
}

/// A guest whose `init` says "no thanks".
pub(crate) fn unready_guest() -> Vec<u8> {
    let init = "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 768)) \
                (i32.store (i32.const 24) (i32.const 9)) (i32.const 16)";
    component(&GUEST.replace("INIT", init), WIT, "handler")
}

/// A guest whose `init` never ends.
pub(crate) fn looping_guest() -> Vec<u8> {
    component(&GUEST.replace("INIT", "(loop $forever (br $forever)) unreachable"), WIT, "handler")
}

/// A guest whose `init` takes memory, 1 MiB after the other, and traps when there is no more.
pub(crate) fn growing_guest() -> Vec<u8> {
    let init = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    component(&GUEST.replace("INIT", init), WIT, "handler")
}

/// A guest that breaks off at a method that it does not know.
pub(crate) fn trapping_guest() -> Vec<u8> {
    let says_no = "(i32.const 104)) (then";
    assert!(GUEST.contains(says_no), "it does otherwise");
    component(
        &GUEST.replace("INIT", "(call $ok)").replace(says_no, "(i32.const 104)) (then unreachable"),
        WIT,
        "handler",
    )
}

/// A guest without a `lifecycle`.
pub(crate) fn lifeless_guest() -> Vec<u8> {
    let wit = WIT.replace("world handler { include imports; export lifecycle;", "world handler { include imports;");
    let module = GUEST.replace("INIT", "(call $ok)").replace("hubgate:plugin/lifecycle@0.1.0#init", "unused");
    component(&module, &wit, "handler")
}

/// A guest that asks for the `http` import.
pub(crate) fn http_guest() -> Vec<u8> {
    let import = "(module (import \"hubgate:plugin/http@0.1.0\" \"send\" (func PARAMETERS))"
        .replace("PARAMETERS", &"(param i32)".repeat(11));
    let module = GUEST.replacen("(module", &import, 1).replace("INIT", "(call $ok)");
    component(&module, WIT, "handler-with-http")
}

/// A guest built for a later version of the contract.
pub(crate) fn future_guest() -> Vec<u8> {
    let wit = WIT.replace("hubgate:plugin@0.1.0", "hubgate:plugin@0.2.0");
    component(&GUEST.replace("@0.1.0", "@0.2.0").replace("INIT", "(call $ok)"), &wit, "handler")
}

/// A guest that imports an interface that no gateway has.
pub(crate) fn stranger_guest() -> Vec<u8> {
    let wit = WIT.replace("world handler {", "world handler { import stranger: interface { f: func(); }");
    let module = GUEST.replacen("(module", "(module (import \"stranger\" \"f\" (func))", 1);
    component(&module.replace("INIT", "(call $ok)"), &wit, "handler")
}

/// A guest whose `init` has WASI at hand: `$environment`, `$directories`, `$network`, `$resolve`, `$stderr`, `$write`,
/// `$write-at-once`, `$after`, `$block`, `$poll` and `$exit`. It starts with `init` in WAT.
pub(crate) fn wasi_guest(init: &str) -> Vec<u8> {
    let imports = "(module
        (import \"wasi:cli/environment@0.2.0\" \"get-environment\" (func $environment (param i32)))
        (import \"wasi:filesystem/preopens@0.2.0\" \"get-directories\" (func $directories (param i32)))
        (import \"wasi:sockets/instance-network@0.2.0\" \"instance-network\" (func $network (result i32)))
        (import \"wasi:sockets/ip-name-lookup@0.2.0\" \"resolve-addresses\"
            (func $resolve (param i32 i32 i32 i32)))
        (import \"wasi:cli/exit@0.2.0\" \"exit\" (func $exit (param i32)))
        (import \"wasi:cli/stderr@0.2.0\" \"get-stderr\" (func $stderr (result i32)))
        (import \"wasi:io/streams@0.2.0\" \"[method]output-stream.blocking-write-and-flush\"
            (func $write (param i32 i32 i32 i32)))
        (import \"wasi:io/streams@0.2.0\" \"[method]output-stream.write\"
            (func $write-at-once (param i32 i32 i32 i32)))
        (import \"wasi:io/poll@0.2.0\" \"poll\" (func $poll (param i32 i32 i32)))
        (import \"wasi:clocks/monotonic-clock@0.2.0\" \"subscribe-duration\" (func $after (param i64) (result i32)))
        (import \"wasi:io/poll@0.2.0\" \"[method]pollable.block\" (func $block (param i32)))";
    let world = "world handler {
        import wasi:cli/environment@0.2.0;
        import wasi:filesystem/preopens@0.2.0;
        import wasi:sockets/instance-network@0.2.0;
        import wasi:sockets/ip-name-lookup@0.2.0;
        import wasi:cli/exit@0.2.0;
        import wasi:cli/stderr@0.2.0;
        import wasi:clocks/monotonic-clock@0.2.0;";
    let wit = WIT.replace("world handler {", world) + WASI;
    let module = GUEST.replacen("(module", imports, 1).replace("INIT", &format!("{init} (call $ok)"));
    component(&module, &wit, "handler")
}

/// A guest that asks for the HTTP of WASI.
pub(crate) fn wasi_http_guest() -> Vec<u8> {
    let import = "(module (import \"wasi:http/outgoing-handler@0.2.0\" \"handle\" (func))";
    let world = "world handler { import wasi:http/outgoing-handler@0.2.0;";
    let wit = WIT.replace("world handler {", world)
        + "package wasi:http@0.2.0 { interface outgoing-handler { handle: func(); } }";
    component(&GUEST.replacen("(module", import, 1).replace("INIT", "(call $ok)"), &wit, "handler")
}

/// A component of a world that is none of ours.
pub(crate) fn foreign_guest() -> Vec<u8> {
    let wit = "package other:thing; world w { export run: func(); }";
    component("(module (func (export \"run\")))", wit, "w")
}

fn component(module: &str, wit: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("the WAT is valid");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", wit).expect("the WIT is valid");
    let world = resolve.select_world(&[package], Some(world)).expect("the world exists");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the module takes metadata");
    let encoder = ComponentEncoder::default().validate(true).module(&module);
    encoder.expect("the module fits its world").encode().expect("the module becomes a component")
}

/// A guest of `scripts/build-guests.sh`.
pub(crate) fn built_guest(name: &str) -> PathBuf {
    let folder = std::env::var_os("HUBGATE_GUESTS")
        .expect("HUBGATE_GUESTS must name the folder that scripts/build-guests.sh has built the guests into");
    let path = PathBuf::from(folder).join(name);
    assert!(path.is_file(), "{} is missing: run scripts/build-guests.sh", path.display());
    path
}

pub(crate) fn settings(source: PluginSource) -> PluginSettings {
    PluginSettings {
        name: PluginName::new("p"),
        source,
        config: vec![("greeting".to_owned(), "hello".to_owned())],
        uses: Uses::default(),
        budgets: Budgets {
            memory_bytes: 16 << 20,
            call_time: Duration::from_secs(10),
            cpu_time: Duration::from_secs(10),
            ..Budgets::default()
        },
        payloads: Payloads::default(),
        rollback: Rollback::default(),
        allow_http: Arc::new(AllowHttp { key: "plugins.p.allow-http".to_owned(), ..AllowHttp::default() }),
        state_scope: StateScope::Node,
    }
}

/// A host that keeps nothing and has no plugin that cannot serve.
pub(crate) fn start(plugins: Vec<PluginSettings>) -> Result<PluginHost, StartError> {
    PluginHost::start(host_settings(plugins), Compilation::default(), Folders::default(), BadPlugins::Fail)
}

/// With a gibibyte for all instances.
pub(crate) fn host_settings(plugins: Vec<PluginSettings>) -> HostSettings {
    HostSettings { plugins, hubs: Vec::new(), shards: 1, memory_bytes: 1 << 30 }
}

/// One plugin `p` and one shard.
pub(crate) struct Shard {
    pub(crate) host: PluginHost,
    pub(crate) plugins: ShardPlugins,
    pub(crate) questions: mpsc::Receiver<ShardQuestion>,
}

impl Shard {
    pub(crate) fn start(settings: PluginSettings) -> Shard {
        Shard::of(&start(vec![settings]).expect("the plugin serves"))
    }

    /// Of a component that stays in memory.
    pub(crate) fn embedded(component: Vec<u8>, change: impl FnOnce(&mut PluginSettings)) -> Shard {
        let mut settings = settings(PluginSource::Embedded(component.leak()));
        change(&mut settings);
        Shard::start(settings)
    }

    pub(crate) fn of(host: &PluginHost) -> Shard {
        let (ask, questions) = mpsc::channel(1_000);
        Shard { host: host.clone(), plugins: host.shard(ask), questions }
    }

    /// Calls a method of `p` as the client `ann`.
    pub(crate) fn invoke(&self, method: &str, arguments: &str) -> impl Future<Output = UpstreamAnswer> + use<> {
        self.invoke_as(client("ann"), method, arguments)
    }

    pub(crate) fn invoke_as(
        &self,
        client: Arc<ConnectionFacts>,
        method: &str,
        arguments: &str,
    ) -> impl Future<Output = UpstreamAnswer> + use<> {
        self.plugins.call(invocation(client, method, arguments))
    }

    pub(crate) fn event(&self, event: UpstreamEvent) -> impl Future<Output = UpstreamAnswer> + use<> {
        self.plugins.call(UpstreamCall { plugin: PluginName::new("p"), client: client("ann"), event })
    }

    /// What the guest says its version is.
    pub(crate) async fn version(&self) -> String {
        let answer = self.invoke("version", "[]").await;
        let Ok(Some(Payload::Json(text))) = answer.result else { panic!("no version: {:?}", answer.result) };
        text.as_str().trim_matches('"').to_owned()
    }
}

pub(crate) fn invocation(client: Arc<ConnectionFacts>, method: &str, arguments: &str) -> UpstreamCall {
    let event = UpstreamEvent::Invocation {
        target: method.into(),
        arguments: json(arguments),
        invocation_id: Some("1".into()),
        headers: Pairs::from_iter([("traceparent", "00-1")]),
    };
    UpstreamCall { plugin: PluginName::new("p"), client, event }
}

pub(crate) fn json(text: &str) -> Payload {
    Payload::Json(JsonText::parse(text.to_owned()).expect("the test's JSON is valid"))
}

pub(crate) fn client(user: &str) -> Arc<ConnectionFacts> {
    Arc::new(ConnectionFacts {
        hub: HubName::parse("chat").expect("a hub's name"),
        id: connection_id(1),
        user_id: Some(UserId::new(user)),
        protocol: HubProtocol::Json,
        claims: Pairs::from_iter([("role", "a"), ("role", "b")]),
        query: "room=1".into(),
        headers: Pairs::from_iter([("user-agent", "test")]),
        remote_address: "127.0.0.1".into(),
    })
}

pub(crate) fn connection_id(number: u8) -> ConnectionId {
    ConnectionId::new(ShardIndex(0).into(), [number; 12])
}

/// The target of which a guest asks whether it exists, and where the answer goes.
pub(crate) fn asks_whether(question: Option<ShardQuestion>) -> (Target, oneshot::Sender<bool>) {
    match question {
        Some(ShardQuestion::Exists { target, answer, .. }) => (target, answer),
        other => panic!("the guest asks whether a target exists: {other:?}"),
    }
}

/// Runs a test as a shard runs: on one thread with its own runtime. A test that waits for what does not come fails.
pub(crate) fn on_a_shard<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let test = async { tokio::time::timeout(Duration::from_secs(300), test).await.expect("it ends within 5 minutes") };
    local.block_on(&runtime, test)
}

thread_local! {
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is logged on this thread from now on. One subscriber serves all tests: those that come and go race for
/// tracing's cache of who listens.
pub(crate) fn capture_log() -> Log {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(|| Log).init();
    });
    LOGGED.take();
    Log
}

/// What was logged on this thread.
pub(crate) struct Log;

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(LOGGED.with_borrow(Vec::clone)).expect("the log is UTF-8")
    }

    /// Is there a line with all of these parts?
    pub(crate) fn has(&self, parts: &[&str]) -> bool {
        self.text().lines().any(|line| parts.iter().all(|part| line.contains(part)))
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Polls a call once: does it let its shard go on before it is over?
pub(crate) async fn is_pending<T>(call: &mut Pin<Box<impl Future<Output = T>>>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await
}

/// Waits until `condition` holds, and fails naming `what` when it does not in good time.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come about in good time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
