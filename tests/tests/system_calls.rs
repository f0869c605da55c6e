//! The unit for systemd bounds the system calls of the gateway: whatever it makes must be among those, or the kernel ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hubgate_tests::Gateway;
use hubgate_tests::command::{Finished, binary, repository};
use hubgate_tests::gateway::signal;
use hubgate_tests::http::Request;
use hubgate_tests::wait::until_compiled;
use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};
use serde_json::Value;

const ANALYZE: &str = "/usr/bin/systemd-analyze";

/// The numbers of this machine's system calls, as its C library knows them.
fn numbers() -> BTreeMap<String, u32> {
    let architecture = std::env::consts::ARCH;
    let files =
        [format!("/usr/include/{architecture}-linux-gnu/asm/unistd_64.h"), "/usr/include/asm-generic/unistd.h".into()];
    let file = files.iter().find(|file| Path::new(file).is_file()).expect("the headers of the C library are there");
    let header = fs::read_to_string(file).expect("it can be read");
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(char::is_whitespace));
    defined.filter_map(|(name, number)| Some((name.to_owned(), number.trim().parse().ok()?))).collect()
}

/// The calls of a word of the unit: a call, or a set as `@system-service`.
fn calls_of(word: &str) -> BTreeSet<String> {
    if !word.starts_with('@') {
        return BTreeSet::from([word.to_owned()]);
    }
    let listed = Finished::of(Command::new(ANALYZE).args(["syscall-filter", word])).success();
    let members = listed.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    members.flat_map(calls_of).collect()
}

/// What the unit allows, as systemd reads it: what stands later changes what stands before.
fn allowed() -> BTreeSet<String> {
    let unit = fs::read_to_string(repository().join("packaging/hubgate.service")).expect("the unit is there");
    let mut allowed = calls_of("@default");
    for words in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let taken = words.strip_prefix('~');
        let calls: BTreeSet<String> = taken.unwrap_or(words).split(' ').flat_map(calls_of).collect();
        match taken {
            Some(_) => allowed.retain(|call| !calls.contains(call)),
            None => allowed.extend(calls),
        }
    }
    allowed
}

/// A filter of the kernel's that ends a process at any other call than these.
fn filter(allowed: &BTreeSet<String>) -> Vec<sock_filter> {
    let step = |code: u32, yes: u8, no: u8, k: u32| sock_filter { code: code as u16, jt: yes, jf: no, k };
    // The number of the call is what the kernel's structure begins with.
    let mut program = vec![step(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0)];
    let numbers = numbers();
    for number in allowed.iter().filter_map(|call| numbers.get(call)) {
        program.push(step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, *number));
        program.push(step(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    }
    program.push(step(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS));
    program
}

/// A process that makes these calls only.
fn confined(command: &mut Command, allowed: &BTreeSet<String>) -> Child {
    let mut program = filter(allowed);
    let set = move || {
        let program = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: the program lives until both calls are over; the kernel copies it.
        let result = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec it makes two system calls, and takes no memory.
    unsafe { command.pre_exec(set) };
    command.stdin(Stdio::null()).spawn().expect("the binary is there")
}

#[tokio::test]
async fn the_unit_allows_the_system_calls_that_the_gateway_makes() {
    if !Path::new(ANALYZE).is_file() {
        println!("systemd is not installed here: it is not known which calls its sets have");
        return;
    }
    let allowed = allowed();
    assert!(allowed.len() > 200 && !allowed.contains("mount") && !allowed.contains("sched_setaffinity"));
    // A call that is not allowed ends a process, so that one which goes on has made none.
    let without = allowed.iter().filter(|call| *call != "getcwd").cloned().collect();
    let ended = confined(Command::new("pwd").env_clear().stdout(Stdio::null()), &without).wait().expect("it ends");
    assert!(!ended.success(), "{ended}");

    let (folder, config) = Gateway::probe().written();
    let ready_file = folder.path().join("ready.json");
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&config).arg("--ready-file").arg(&ready_file);
    let mut process = confined(&mut command, &allowed);
    let ready: Value = until_compiled("the gateway to serve", async || {
        let ended = process.try_wait().expect("a child can be waited for");
        assert!(ended.is_none(), "it made a call that the unit does not allow, or failed: {ended:?}");
        serde_json::from_str(&fs::read_to_string(&ready_file).ok()?).ok()
    })
    .await;
    let ask = |listener: &str, path: &str| {
        let address = ready[listener].as_str().and_then(|address| address.parse().ok()).expect("an address");
        let token = ready["adminToken"].as_str().expect("a token");
        Request::new(http::Method::GET, address, path).bearer(token).send()
    };
    assert_eq!(ask("listen", "/readyz").await.status, 200);
    let plugins = ask("admin", "/admin/plugins").await.json();
    assert_eq!(
        plugins["plugins"][0]["state"], "serving",
        "its component was compiled by a process with the same bounds"
    );
    assert!(signal(process.id(), "HUP"));
    assert!(signal(process.id(), "TERM"));
    let ended = process.wait().expect("it ends");
    assert!(ended.success(), "{ended}");
}
