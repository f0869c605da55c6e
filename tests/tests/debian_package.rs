//! The package for Debian, on a system like this one that keeps nothing of it: installed, used, upgraded, removed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http::Method;
use hubgate_tests::command::{Finished, binary, repository};
use hubgate_tests::gateway::signal;
use hubgate_tests::http::Request;
use hubgate_tests::wait::until;
use hubgate_tests::{guests, private_network, root};
use tempfile::TempDir;

/// Makes the packages of this version in a folder.
fn packages(folder: &Path, version: &str) -> PathBuf {
    let plugins = guests::ready_made("redact");
    let mut command = Command::new(repository().join("scripts/package.sh"));
    command.arg("--binary").arg(binary()).arg("--plugins").arg(plugins.parent().expect("it is in a folder"));
    command.args(["--fast", "--version", version]).arg(folder).env("SOURCE_DATE_EPOCH", "1700000000");
    let made = Finished::of(&mut command).success();
    made.lines().find(|file| file.ends_with(".deb")).expect("it says what it has made").into()
}

/// A system of its own: whatever is written there is kept in memory, over the files of this one. It is gone with the value.
struct System {
    holder: Child,
    folder: TempDir,
}

impl System {
    fn like_this_one() -> System {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let script = "set -e; mount -t tmpfs tmpfs \"$0\"; cd \"$0\"; mkdir upper work root
            mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
            mount --bind /proc root/proc; mount --bind /dev root/dev; echo made; exec sleep infinity";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(folder.path());
        let mut holder = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("util-linux is there");
        let mut made = String::new();
        let told = holder.stdout.take().expect("it is piped");
        BufReader::new(told).read_line(&mut made).expect("it says something, or ends");
        assert_eq!(made, "made\n", "the file system of this machine can be laid under another one");
        System { holder, folder }
    }

    fn inside(&self, part: &str) -> PathBuf {
        holder_root(&self.holder).join(self.folder.path().strip_prefix("/").expect("it is absolute")).join(part)
    }

    /// What is at a path of the system.
    fn path(&self, path: &str) -> PathBuf {
        self.inside("root").join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command in it, as root.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg("chroot");
        command.arg(self.folder.path().join("root")).args(words);
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        command
    }

    fn runs(&self, words: &[&str]) -> String {
        Finished::of(&mut self.command(words)).success()
    }

    fn installs(&self, package: &Path) {
        fs::copy(package, self.path("/hubgate.deb")).expect("there is room");
        // Whoever looks for new manual pages takes seconds, and is no part of the package.
        self.runs(&["dpkg", "--no-triggers", "--install", "/hubgate.deb"]);
        fs::remove_file(self.path("/hubgate.deb")).expect("it is there");
    }

    /// Who may do what with a file: its mode, owner and group.
    fn access(&self, path: &str) -> String {
        self.runs(&["stat", "--format=%a %U %G", path]).trim().to_owned()
    }

    /// The service, as systemd would start it: by this user, who has this one capability.
    fn serves(&self) -> Child {
        let unit = self.read("/usr/lib/systemd/system/hubgate.service.d/10-package.conf");
        let started = unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")).next_back().expect("it starts");
        self.runs(&["install", "--directory", "--owner=hubgate", "--mode=0700", "/run/hubgate"]);
        let capability = "+net_bind_service";
        let mut words = vec!["setpriv", "--reuid=hubgate", "--regid=hubgate", "--clear-groups", "--no-new-privs"];
        let sets = ["--inh-caps", "--ambient-caps"].map(|set| format!("{set}={capability}"));
        words.extend(sets.iter().map(String::as_str));
        let bounds = format!("--bounding-set=-all,{capability}");
        words.push(&bounds);
        words.extend(started.split(' '));
        self.command(&words).spawn().expect("there is a shell")
    }

    /// Files that anybody has made or changed since the system is there, and whose name tells of the package.
    fn left(&self) -> String {
        Finished::of(Command::new("find").arg(self.inside("upper")).args(["-iname", "*hubgate*"])).success()
    }
}

fn holder_root(holder: &Child) -> PathBuf {
    format!("/proc/{}/root", holder.id()).into()
}

impl Drop for System {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to be done about it here.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Waits until a gateway answers there.
async fn is_healthy(address: &str) {
    let address = address.parse().expect("an address");
    until("the gateway to answer", async || {
        tokio::net::TcpStream::connect(address).await.ok()?;
        assert_eq!(Request::new(Method::GET, address, "/healthz").send().await.body, "ok\n");
        Some(())
    })
    .await;
}

fn ends(mut service: Child) {
    assert!(signal(service.id(), "TERM"));
    assert!(service.wait().expect("it ends").success());
}

#[tokio::test]
async fn a_debian_package_is_installed_upgraded_and_removed_without_a_trace() {
    if !root::is_at_hand() || !private_network::enter() {
        return;
    }
    let system = System::like_this_one();
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let [first, second] = ["0.1.0", "0.1.1-rc.1"].map(|version| packages(folder.path(), version));

    system.installs(&first);
    assert!(system.runs(&["hubgate", "--version"]).starts_with("hubgate "));
    assert_eq!(system.access("/etc/hubgate/keys/access-keys"), "600 hubgate hubgate");
    assert_eq!(system.access("/etc/hubgate/admin-token"), "640 root hubgate");
    assert_eq!(system.access("/etc/hubgate/hubgate.toml"), "640 root hubgate");
    assert_eq!(system.access("/var/lib/hubgate"), "750 hubgate hubgate");
    let secrets = || ["/etc/hubgate/keys/access-keys", "/etc/hubgate/admin-token"].map(|path| system.read(path));
    let made = secrets();
    assert!(made.iter().all(|secret| secret.trim().len() == 64) && made[0] != made[1]);
    system.runs(&["hubgate", "config", "check", "--deep", "--config", "/etc/hubgate/hubgate.toml"]);

    let service = system.serves();
    is_healthy("127.0.0.1:8888").await;
    let admin = "127.0.0.1:8889".parse().expect("an address");
    let metrics = Request::new(Method::GET, admin, "/metrics").bearer(made[1].trim()).send().await;
    assert_eq!(metrics.status, 200, "{}", metrics.body);
    system.runs(&["hubgate", "keys", "regenerate", "secondary", "--ready-file", "/run/hubgate/ready.json"]);
    let renewed = secrets();
    assert_eq!(renewed[0].lines().count(), 2, "the service may write its keys");
    ends(service);

    // An operator goes to another port, and has more plugins.
    let changed = system.read("/etc/hubgate/hubgate.toml").replace("127.0.0.1:8888\"\n#", "127.0.0.1:443\"\n#");
    fs::write(system.path("/etc/hubgate/hubgate.toml"), &changed).expect("root may write it");
    system.installs(&second);
    assert_eq!(system.runs(&["dpkg-query", "--show", "hubgate"]).trim(), "hubgate\t0.1.1~rc.1");
    system.installs(&second);
    assert_eq!(system.read("/etc/hubgate/hubgate.toml"), changed);
    assert_eq!(secrets(), renewed);
    assert_eq!(system.access("/etc/hubgate/hubgate.toml"), "640 root hubgate");
    let service = system.serves();
    is_healthy("127.0.0.1:443").await;
    ends(service);

    system.runs(&["dpkg", "--no-triggers", "--remove", "hubgate"]);
    assert!(!system.path("/usr/bin/hubgate").exists());
    assert_eq!((secrets(), system.read("/etc/hubgate/hubgate.toml")), (renewed, changed));
    system.runs(&["rm", "--recursive", "/run/hubgate"]);
    system.runs(&["dpkg", "--no-triggers", "--purge", "hubgate"]);
    assert_eq!(system.left(), "");
    for file in ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"] {
        assert!(!system.read(file).contains("hubgate"), "{file}");
    }
}

/// The file of a folder whose name ends so.
fn file_of(folder: &Path, end: &str) -> PathBuf {
    let files = fs::read_dir(folder).expect("it can be listed").map(|entry| entry.expect("it can be listed").path());
    files.into_iter().find(|file| file.to_string_lossy().ends_with(end)).unwrap_or_else(|| panic!("no {end}"))
}

#[test]
fn packages_are_the_same_bytes_wherever_they_are_made_and_the_archive_has_all_that_a_gateway_needs() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("there is room for a folder"));
    for folder in &folders {
        packages(folder.path(), "0.1.0");
    }
    for end in [".deb", ".tar.gz"] {
        let [one, other] =
            folders.each_ref().map(|folder| fs::read(file_of(folder.path(), end)).expect("it can be read"));
        assert!(one == other, "{end}");
    }
    let folder = folders[0].path();
    let archive = file_of(folder, ".tar.gz");
    Finished::of(Command::new("tar").args(["--extract", "--file"]).arg(&archive).arg("-C").arg(folder)).success();
    let root = archive.with_extension("").with_extension("");
    for file in ["LICENSE", "README.md", "docs/install.md", "grafana/overview.json", "prometheus/rules.yaml"] {
        assert!(root.join(file).is_file(), "{file}");
    }
    for file in ["systemd/hubgate.service", "compose/compose.yaml", "helm/hubgate/files/rules.yaml"] {
        assert!(root.join(file).is_file(), "{file}");
    }
    assert!(Finished::of(Command::new(root.join("bin/hubgate")).arg("--version")).success().starts_with("hubgate "));
    for plugin in ["history", "json-schema", "presence", "rate-limit", "redact"] {
        let file = fs::read(root.join(format!("plugins/{plugin}.wasm"))).expect("it is there");
        assert!(file == guests::bytes(&guests::ready_made(plugin)), "{plugin}");
    }
}
