//! The chart for Kubernetes, the file for Compose, the dashboards: read by the programs that they are for, as far as these need no
//! cluster and no engine. `tests/deployment` has them, and Helm itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hubgate_tests::command::{Finished, binary, leavings, repository};
use hubgate_tests::gateway::signal;
use hubgate_tests::wait::until_compiled;
use hubgate_tests::{Gateway, root};
use serde_json::Value;
use tempfile::TempDir;

const CHART: &str = "packaging/helm/hubgate";

/// All that can be switched on.
const ALL: &str = r#"
replicas: 3
config:
  server: { endpoints: ["https://realtime.example.com"], limits: { connections: 1000000, post: 2MiB } }
  hubs: { chat: { mode: serverless, cors-origins: ["https://*.example.com"], negotiate: { anonymous: true } } }
  upstream: [{ hubs: [chat], url: "http://app.default.svc/{hub}/{event}?a=1&b=2", streams: true }]
  network-rules: [{ action: deny, kinds: [server, rest], networks: ["203.0.113.0/24", "2001:db8::/32"] }]
tls: { secretName: certificate }
drain: { delaySeconds: 30, timeoutSeconds: 60 }
cluster: { enabled: true, name: realtime }
nats: { enabled: true }
networkPolicy: { enabled: true }
serviceMonitor: { enabled: true }
prometheusRule: { enabled: true, runbooks: "https://wiki.example.com/runbooks" }
dashboards: { enabled: true }
"#;

/// A program that `scripts/test.sh` builds.
fn program(name: &str) -> Command {
    let program = leavings("deployment").join(name);
    assert!(program.is_file(), "{} is not there: scripts/test.sh builds it", program.display());
    Command::new(program)
}

/// What Helm says to a chart with these values.
fn helm(arguments: &[&str], values: &str) -> Finished {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("values.yaml");
    fs::write(&file, values).expect("there is room");
    let mut command = program("helm");
    command.args(arguments).arg("--values").arg(file).current_dir(repository());
    // Nothing of this machine's, and no cluster.
    command.env_clear().env("HOME", folder.path()).env("KUBECONFIG", "/nonexistent");
    Finished::of(&mut command)
}

/// The objects of a chart with these values, by kind and name, as Kubernetes reads them.
fn objects(values: &str) -> BTreeMap<String, Value> {
    let rendered = helm(&["template", "live", CHART, "--kube-version", "1.30"], values).success();
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("rendered.yaml");
    fs::write(&file, rendered).expect("there is room");
    let mut command = program("deployment");
    let output = command.arg("manifests").stdin(fs::File::open(&file).expect("it is there")).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects: Vec<Value> = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let name = |object: &Value| format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"));
    objects.into_iter().map(|object| (name(&object), object)).collect()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {path}: {value}"))
}

/// The gateway's own opinion of a configuration whose files are elsewhere.
fn is_valid(config: &str, elsewhere: &[(&str, &str)]) -> toml::Table {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let mut config = config.to_owned();
    for (path, content) in elsewhere {
        let name = path.trim_start_matches('/').replace('/', "-");
        fs::write(folder.path().join(&name), content).expect("there is room");
        assert!(config.contains(path), "{path} is not in {config}");
        config = config.replace(path, &folder.path().join(&name).display().to_string());
    }
    let file = folder.path().join("hubgate.toml");
    fs::write(&file, &config).expect("there is room");
    let checked = Finished::of(Command::new(binary()).args(["config", "check", "--config"]).arg(&file));
    assert!(checked.code == Some(0) && !checked.stderr.contains("error"), "{checked:?}\n{config}");
    config.parse().expect("it has been read")
}

const SECRET: &str = "0123456789012345678901234567890123456789\n";

/// The time of a key of `server`, in seconds.
fn seconds(config: &toml::Table, key: &str) -> u64 {
    let time = config["server"][key].as_str().and_then(|time| time.strip_suffix('s')).expect("a time in seconds");
    time.parse().expect("a number")
}

#[test]
fn helm_finds_nothing_to_say_about_the_chart() {
    for values in ["", ALL] {
        let said = helm(&["lint", "--strict", CHART, "--kube-version", "1.30"], values);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(!said.stdout.contains("[WARNING]") && !said.stdout.contains("[ERROR]"), "{}", said.stdout);
    }
    let chart: Value = serde_saphyr::from_str(&read(&format!("{CHART}/Chart.yaml"))).expect("valid YAML");
    let workspace: toml::Table = read("Cargo.toml").parse().expect("valid TOML");
    assert_eq!(workspace["workspace"]["package"]["version"].as_str(), chart["appVersion"].as_str());
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_smallest_release_is_one_gateway_that_reads_its_configuration() {
    let objects = objects("");
    assert_eq!(
        objects.keys().collect::<Vec<_>>(),
        [
            "ConfigMap live-hubgate",
            "Secret live-hubgate",
            "Service live-hubgate",
            "Service live-hubgate-pods",
            "StatefulSet live-hubgate"
        ]
    );
    let files = [("/etc/hubgate/secret/access-keys", SECRET), ("/etc/hubgate/secret/admin-token", SECRET)];
    let config = is_valid(text(&objects["ConfigMap live-hubgate"], "/data/hubgate.toml"), &files);
    serves_as_it_should(&objects["StatefulSet live-hubgate"], &config, "HTTP");
    let secret = &objects["Secret live-hubgate"];
    for key in ["access-keys", "admin-token", "nats-password"] {
        assert!(text(secret, &format!("/data/{key}")).len() > 80, "{key} is long enough, in base64");
    }
}

/// What the gateway's pods owe to its ways of starting and stopping.
fn serves_as_it_should(set: &Value, config: &toml::Table, scheme: &str) {
    let pod = &set["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a number");
    assert!(grace > seconds(config, "drain-delay") + seconds(config, "drain-timeout") + 15, "{grace}");
    let container = &pod["containers"][0];
    for (probe, path) in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        assert_eq!(text(container, &format!("/{probe}/httpGet/path")), path);
        assert_eq!(text(container, &format!("/{probe}/httpGet/scheme")), scheme, "{probe}");
    }
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    let help = Finished::of(Command::new(binary()).args(["serve", "--help"])).success();
    for argument in container["args"].as_array().expect("it has arguments").iter().skip(1) {
        let option = argument.as_str().and_then(|text| text.split('=').next()).expect("an option");
        assert!(help.contains(option), "{option}");
    }
}

#[test]
fn a_release_with_all_parts_is_what_kubernetes_and_the_gateway_can_read() {
    let objects = objects(ALL);
    let config = text(&objects["ConfigMap live-hubgate"], "/data/hubgate.toml");
    let made = rcgen::generate_simple_self_signed(["realtime.example.com".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let files = [
        ("/etc/hubgate/secret/access-keys", SECRET),
        ("/etc/hubgate/secret/admin-token", SECRET),
        ("/etc/hubgate/secret/nats-password", SECRET),
        ("/etc/hubgate/tls/tls.crt", &certificate),
        ("/etc/hubgate/tls/tls.key", &key),
    ];
    let config = is_valid(config, &files);
    assert_eq!(config["server"]["limits"]["connections"].as_integer(), Some(1_000_000));
    assert_eq!(config["upstream"][0]["url"].as_str(), Some("http://app.default.svc/{hub}/{event}?a=1&b=2"));
    serves_as_it_should(&objects["StatefulSet live-hubgate"], &config, "HTTPS");
    // The budget protects the gateways that there are.
    let budget = &objects["PodDisruptionBudget live-hubgate"];
    let labels = &objects["StatefulSet live-hubgate"]["spec"]["selector"]["matchLabels"];
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    // Each server that the gateways know is a pod of NATS.
    let nats = &objects["StatefulSet live-hubgate-nats"];
    let servers = config["cluster"]["servers"].as_array().expect("a list");
    assert_eq!(Some(servers.len() as u64), nats["spec"]["replicas"].as_u64());
    for (place, server) in servers.iter().enumerate() {
        let service = text(nats, "/spec/serviceName");
        let expected = format!("nats://{}-{place}.{service}:4222", text(nats, "/metadata/name"));
        assert_eq!(server.as_str(), Some(expected.as_str()));
        assert!(objects.contains_key(&format!("Service {service}")));
    }
    let rules = read("packaging/prometheus/rules.yaml");
    let rules = rules.replace("file:///usr/share/doc/hubgate/runbooks.md", "https://wiki.example.com/runbooks");
    let rules: Value = serde_saphyr::from_str(&rules).expect("valid YAML");
    assert_eq!(objects["PrometheusRule live-hubgate"]["spec"], rules);
    for name in ["overview", "hubs", "plugins", "cluster"] {
        let map = &objects[&format!("ConfigMap live-hubgate-dashboard-{name}")];
        assert_eq!(text(map, &format!("/data/hubgate-{name}.json")), read(&format!("packaging/grafana/{name}.json")));
    }
    let monitor = &objects["ServiceMonitor live-hubgate"];
    let labels = &objects["Service live-hubgate-pods"]["metadata"]["labels"];
    assert_eq!(labels[text(monitor, "/spec/jobLabel")], "hubgate", "the job that the alerts go by");
}

#[test]
fn nats_takes_the_configuration_of_the_chart() {
    let objects = objects(ALL);
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let config = folder.path().join("nats.conf");
    fs::write(&config, text(&objects["ConfigMap live-hubgate-nats"], "/data/nats.conf")).expect("there is room");
    let mut command = Command::new(leavings("nats").join("bin/nats-server"));
    command.arg("-t").arg("--config").arg(&config).env("POD_NAME", "nats-0").env("NATS_PASSWORD", "k0123456789");
    let checked = Finished::of(&mut command);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn values_that_cannot_be_served_are_refused_before_anything_is_installed() {
    for (values, why) in [
        ("replica: 3", "additional properties 'replica' not allowed"),
        ("replicas: 3", "set cluster.enabled"),
        ("nats: { enabled: true }", "unless cluster.enabled is set"),
        ("cluster: { enabled: true }", "name the NATS servers"),
        ("drain: { delaySeconds: -1 }", "minimum"),
        ("config: { server: text }", "'/config/server'"),
    ] {
        let refused = helm(&["template", "live", CHART, "--kube-version", "1.30"], values);
        assert!(refused.code != Some(0) && refused.stderr.contains(why), "{values}: {refused:?}");
    }
}

#[test]
fn compose_reads_its_file_and_what_is_mounted_is_there() {
    let file = repository().join("packaging/compose/compose.yaml");
    let read_by_compose = Finished::of(program("deployment").arg("compose").arg(&file)).success();
    let project: Value = serde_json::from_str(&read_by_compose).expect("it prints JSON");
    let services = project["services"].as_object().expect("it has services");
    assert_eq!(services.keys().collect::<Vec<_>>(), ["grafana", "hubgate", "nats", "prometheus"]);
    for service in services.values() {
        for volume in service["volumes"].as_array().into_iter().flatten().filter(|volume| volume["type"] == "bind") {
            assert!(Path::new(text(volume, "/source")).exists(), "{volume}");
        }
    }
    let gateway = &services["hubgate"];
    assert_eq!(gateway["read_only"], true);
    let files = [("/run/secrets/access-keys", SECRET), ("/run/secrets/admin-token", SECRET)];
    let config = is_valid(&read("packaging/compose/hubgate.toml"), &files);
    let hosts = config["admin"]["hosts"].as_array().expect("a list");
    assert!(hosts.iter().any(|host| host.as_str() == Some("hubgate")), "by the service's name Prometheus asks");
    // The gateway's defaults for going away, and the 15 seconds of its end.
    assert_eq!(text(gateway, "/stop_grace_period"), "30s");
    let prometheus: Value = serde_saphyr::from_str(&read("packaging/compose/prometheus.yml")).expect("valid YAML");
    let jobs: Vec<&str> =
        prometheus["scrape_configs"].as_array().expect("a list").iter().map(|job| text(job, "/job_name")).collect();
    assert_eq!(jobs, ["hubgate"], "the job that the alerts go by");
    let secrets = tempfile::tempdir().expect("there is room for a folder");
    let script = secrets.path().join("secrets.sh");
    fs::copy(repository().join("packaging/compose/secrets.sh"), &script).expect("there is room");
    let made = || {
        Finished::of(&mut Command::new(&script)).success();
        ["access-keys", "admin-token"].map(|name| {
            let secret = fs::read_to_string(secrets.path().join("secrets").join(name)).expect("it is made");
            assert_eq!(secret.len(), 65, "{name}");
            secret
        })
    };
    assert_eq!(made(), made(), "what is there stays");
}

#[test]
fn grafana_knows_every_field_of_the_dashboards() {
    let files = ["overview", "hubs", "plugins", "cluster"]
        .map(|name| repository().join(format!("packaging/grafana/{name}.json")));
    Finished::of(program("deployment").arg("dashboards").args(files)).success();
}

/// A gateway as it is in a container: nobody's process, on a file system that it can only read, but for a folder for its data.
struct Contained {
    folder: TempDir,
    process: std::process::Child,
}

impl Contained {
    fn start() -> Contained {
        let (folder, config) = Gateway::probe().written();
        let [data, copy] = ["data", "hubgate"].map(|name| folder.path().join(name));
        fs::create_dir_all(&data).expect("there is room");
        fs::write(&copy, "").expect("there is room");
        let script = r#"set -e
            chmod -R a+rX "$1"; mount --bind "$2" "$1/hubgate"
            mount -t tmpfs -o mode=0700,uid=65532,gid=65532 tmpfs "$1/data"; mount -o remount,bind,ro /
            exec setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs --bounding-set=-all \
                "$1/hubgate" serve --config "$3" --listen 127.0.0.1:0 --ready-file "$1/data/ready.json""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(folder.path()).arg(binary()).arg(config);
        let process = command.env("PATH", std::env::var_os("PATH").expect("there is a PATH")).stdin(Stdio::null());
        Contained { process: process.spawn().expect("util-linux is there"), folder }
    }

    /// A file of its data, which only its own view of the file system has.
    fn data(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().strip_prefix("/").expect("it is absolute");
        PathBuf::from(format!("/proc/{}/root", self.process.id())).join(folder).join("data").join(name)
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to be done about it here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_gateway_serves_plugins_from_a_file_system_that_it_cannot_write() {
    if !root::is_at_hand() {
        return;
    }
    let mut gateway = Contained::start();
    let ready: Value = until_compiled("the ready file", async || {
        assert!(gateway.process.try_wait().expect("a child can be waited for").is_none(), "it runs");
        serde_json::from_str(&fs::read_to_string(gateway.data("ready.json")).ok()?).ok()
    })
    .await;
    let ask = |address: &str, path: &str| {
        let address = text(&ready, address).parse().expect("an address");
        hubgate_tests::http::Request::new(http::Method::GET, address, path).bearer(text(&ready, "/adminToken")).send()
    };
    assert_eq!(ask("/listen", "/readyz").await.status, 200);
    let plugins = ask("/admin", "/admin/plugins").await.json();
    assert_eq!(text(&plugins, "/plugins/0/state"), "serving");
    assert!(gateway.data("state").is_dir(), "what plugins keep is kept");
    assert!(signal(gateway.process.id(), "TERM"));
    assert!(gateway.process.wait().expect("it ends").success());
}
