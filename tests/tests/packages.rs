//! What a service manager is told, and the files that packages are made of.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hubgate_tests::Gateway;
use hubgate_tests::command::{binary, repository};
use hubgate_tests::wait::DEADLINE;

/// The next thing that the service manager is told.
fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("it is told in good time");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().expect("kill").success());
}

#[test]
fn the_service_manager_hears_of_the_start_of_reloads_and_of_the_end() {
    let (folder, config) = Gateway::probe().written();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("the folder is empty");
    socket.set_read_timeout(Some(DEADLINE)).expect("a socket has the option");
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&config).env("NOTIFY_SOCKET", &path);
    let mut process = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary is there");
    assert_eq!(told(&socket).trim(), "READY=1");
    signal(process.id(), "HUP");
    let reloading = told(&socket);
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(told(&socket).trim(), "READY=1");
    signal(process.id(), "TERM");
    let stopping = told(&socket);
    assert!(stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000"), "{stopping}");
    assert!(process.wait().expect("it ends").success());
}

/// Starts a gateway in a shell that has set this up before; gives its process when it is ready.
fn started(set_up: &str) -> (tempfile::TempDir, Child) {
    let (folder, config) = Gateway::probe().written();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("the folder is empty");
    socket.set_read_timeout(Some(DEADLINE)).expect("a socket has the option");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{set_up}; exec \"$0\" \"$@\"")]).arg(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&config).env("NOTIFY_SOCKET", &path);
    let process = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("there is a shell");
    assert_eq!(told(&socket).trim(), "READY=1");
    (folder, process)
}

#[test]
fn no_core_file_has_the_keys_wherever_the_gateway_runs() {
    let (_folder, mut process) = started("ulimit -c unlimited 2> /dev/null || true");
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("the process runs");
    signal(process.id(), "TERM");
    assert!(process.wait().expect("it ends").success());
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("Linux tells this limit");
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
}

#[test]
fn systemd_takes_the_unit_as_it_is() {
    let unit = fs::read_to_string(repository().join("packaging/hubgate.service")).expect("the unit is there");
    assert!(!unit.contains("\nMemoryDenyWriteExecute"), "plugins are compiled to machine code");
    for needed in ["Type=notify", "WatchdogSec=30", "Restart=on-failure", "OOMPolicy=continue", "LimitCORE=0"] {
        assert!(unit.lines().any(|line| line == needed), "{needed}");
    }
    let analyze = Path::new("/usr/bin/systemd-analyze");
    if !analyze.is_file() {
        println!("systemd is not installed here: its verdict on the unit is not asked for");
        return;
    }
    let ours = binary().display().to_string();
    // By itself, and as the package for Debian has it.
    for addition in [None, Some("packaging/deb/service.conf")] {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let [service, socket] = ["hubgate.service", "hubgate.socket"].map(|name| folder.path().join(name));
        fs::write(&service, unit.replace("/usr/local/bin/hubgate", &ours)).expect("it is empty");
        fs::copy(repository().join("packaging/hubgate.socket"), &socket).expect("the unit is there");
        if let Some(addition) = addition {
            let addition = fs::read_to_string(repository().join(addition)).expect("it is there");
            let beside = folder.path().join("hubgate.service.d");
            fs::create_dir(&beside).expect("it is empty");
            fs::write(beside.join("10-package.conf"), addition.replace("/usr/bin/hubgate", &ours))
                .expect("it is empty");
        }
        let verdict =
            Command::new(analyze).arg("verify").arg("--man=no").args([&service, &socket]).output().expect("it runs");
        let said = String::from_utf8_lossy(&verdict.stderr);
        let about_it: Vec<&str> =
            said.lines().filter(|line| line.contains("hubgate.service") || line.contains("hubgate.socket")).collect();
        assert!(about_it.is_empty(), "{addition:?}: {about_it:?}");
    }
}

#[test]
fn the_image_runs_as_nobody_and_its_command_is_one_of_ours() {
    let dockerfile = fs::read_to_string(repository().join("Dockerfile")).expect("the file is there");
    let last_stage = dockerfile.rsplit("\nFROM ").next().expect("it has stages");
    assert!(last_stage.starts_with("gcr.io/distroless/cc-debian12:nonroot"), "{last_stage}");
    let command = last_stage.lines().find_map(|line| line.strip_prefix("CMD ")).expect("it has a command");
    let command: Vec<String> = serde_json::from_str(command).expect("in the form of a list");
    assert_eq!(command[..2], ["serve", "--config"]);
    let help = Command::new(binary()).args([&command[0], "--help"]).output().expect("the binary is there");
    assert!(String::from_utf8_lossy(&help.stdout).contains(&command[1]));
    let health = last_stage.lines().find_map(|line| Some(line.strip_prefix("HEALTHCHECK ")?.split_once("CMD ")?.1));
    let health: Vec<String> = serde_json::from_str(health.expect("it tells how it is")).expect("in the form of a list");
    assert!(last_stage.contains(&format!("ENTRYPOINT [\"{}\"]", health[0])), "{health:?}");
    let help = Command::new(binary()).args(&health[1..]).arg("--help").output().expect("the binary is there");
    assert!(help.status.success(), "{health:?}");
    // The configuration's folder is mounted read-only, so that what the gateway makes needs another.
    let folder =
        last_stage.lines().find_map(|line| line.strip_prefix("ENV STATE_DIRECTORY=")).expect("it has a folder");
    assert!(
        last_stage
            .lines()
            .any(|line| line.starts_with("COPY --from=build --chown=65532:65532 ") && line.ends_with(folder))
    );
    let guide = fs::read_to_string(repository().join("docs/deploy.md")).expect("the guide is there");
    assert!(guide.contains(&format!(" -v hubgate-data:{folder} ")), "the guide mounts a volume at {folder}");
}

#[test]
fn a_package_is_built_without_git_and_may_name_the_commit_itself() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let script = folder.path().join("build");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let source = repository().join("gateway/cli/build.rs");
    let compiled = Command::new(compiler).args(["--edition", "2024", "-o"]).arg(&script).arg(&source).status();
    assert!(compiled.expect("the compiler is there").success());
    // As an archive of the sources is unpacked, below somebody's repository.
    let root = folder.path().join("hubgate-0.1.0");
    for file in ["Cargo.lock", "wit/plugin.wit", "gateway/cli/build.rs"] {
        let copy = root.join(file);
        fs::create_dir_all(copy.parent().expect("a file is in a folder")).expect("the folder is empty");
        fs::copy(repository().join(file), copy).expect("the file is there");
    }
    let git = Command::new("git").args(["init", "--quiet"]).arg(folder.path()).status();
    assert!(git.is_ok_and(|status| status.success()), "git is there");
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(&script);
        command.env_remove("HUBGATE_COMMIT").env_remove("HUBGATE_COMMIT_DATE");
        command.env("CARGO_MANIFEST_DIR", root.join("gateway/cli")).envs(variables.iter().copied());
        let output = command.current_dir(&root).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for told in [run(&[]), run(&[("PATH", "")])] {
        assert!(told.contains("HUBGATE_COMMIT=unknown\n") && told.contains("HUBGATE_COMMIT_DATE=unknown\n"), "{told}");
        assert!(told.contains("HUBGATE_CONTRACT=hubgate:plugin@") && !told.contains("WASMTIME=unknown"), "{told}");
    }
    let told = run(&[("HUBGATE_COMMIT", "0123abcd"), ("HUBGATE_COMMIT_DATE", "2026-01-02")]);
    assert!(told.contains("HUBGATE_COMMIT=0123abcd\n") && told.contains("HUBGATE_COMMIT_DATE=2026-01-02\n"), "{told}");
}
