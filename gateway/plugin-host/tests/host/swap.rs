//! Plugins whose files change while they serve.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hubgate_plugin_host::{
    BadPlugins, Compilation, Folders, HostSettings, PluginHost, PluginSource, RollbackError, StartError,
};
use tempfile::TempDir;

use crate::support::{
    Shard, asks_whether, foreign_guest, future_guest, guest, host_settings, http_guest, on_a_shard, settings, start,
    unready_guest, until,
};

/// A plugin whose file is `plugin.wasm` in a directory of its own.
struct Served {
    shard: Shard,
    file: PathBuf,
    _directory: TempDir,
}

fn served() -> Served {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("plugins");
    fs::create_dir(&folder).expect("a directory");
    let file = folder.join("plugin.wasm");
    fs::write(&file, guest("1.0.000")).expect("a file");
    Served { shard: Shard::start(settings(PluginSource::File(file.clone()))), file, _directory: directory }
}

fn rename_over(file: &Path, content: &[u8]) {
    let beside = file.with_extension("new");
    fs::write(&beside, content).expect("a file");
    fs::rename(&beside, file).expect("a file renamed");
}

impl Served {
    fn generation(&self) -> u64 {
        self.shard.host.statuses()[0].generation
    }

    fn last_error(&self) -> Option<String> {
        self.shard.host.statuses().remove(0).last_error.map(|error| error.reason)
    }

    /// The next call after the status says so is the new version's.
    async fn expect(&self, generation: u64, version: &str) {
        until(&format!("generation {generation}"), || self.generation() == generation).await;
        assert_eq!(self.shard.version().await, version);
        assert_eq!(self.last_error(), None);
    }
}

#[test]
fn a_file_may_be_replaced_in_every_way() {
    on_a_shard(async {
        let served = served();
        served.expect(1, "1.0.000").await;
        rename_over(&served.file, &guest("2.0.000"));
        served.expect(2, "2.0.000").await;
        fs::write(&served.file, guest("3.0.000")).unwrap();
        served.expect(3, "3.0.000").await;
        fs::remove_file(&served.file).unwrap();
        fs::write(&served.file, guest("4.0.000")).unwrap();
        served.expect(4, "4.0.000").await;
        let digest = served.shard.host.statuses()[0].digest.clone().expect("it serves");
        assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
    });
}

#[test]
fn the_directory_may_be_replaced_as_well() {
    on_a_shard(async {
        let served = served();
        let folder = served.file.parent().unwrap();
        fs::rename(folder, folder.with_extension("old")).unwrap();
        fs::create_dir(folder).unwrap();
        fs::write(&served.file, guest("2.0.000")).unwrap();
        served.expect(2, "2.0.000").await;
        fs::remove_dir_all(folder).unwrap();
        until("the file is missed", || served.last_error().is_some()).await;
        assert_eq!(served.shard.version().await, "2.0.000");
        fs::create_dir(folder).unwrap();
        fs::write(&served.file, guest("3.0.000")).unwrap();
        served.expect(3, "3.0.000").await;
        rename_over(&served.file, &guest("4.0.000"));
        served.expect(4, "4.0.000").await;
    });
}

#[test]
fn a_bad_file_leaves_the_last_good_version_serving_and_says_why() {
    on_a_shard(async {
        let served = served();
        let whole = guest("2.0.000");
        let bad: [(&[u8], &str); 8] = [
            (&whole[..whole.len() / 2], "truncated"),
            (b"", "truncated"),
            (b"hello", "not a WebAssembly component"),
            (&wat::parse_str("(module)").unwrap(), "core WebAssembly module"),
            (&foreign_guest(), "it serves no world that this gateway has"),
            (&future_guest(), "it was built for contract 0.2, and this gateway serves 0.1"),
            (&http_guest(), "needs the `http` import: say what it may reach in `plugins.p.allow-http`"),
            (&unready_guest(), "`init` failed: no thanks"),
        ];
        for (content, reason) in bad {
            rename_over(&served.file, content);
            let said = || served.last_error().is_some_and(|error| error.contains(reason));
            until(reason, said).await;
            assert_eq!(served.shard.version().await, "1.0.000", "after a file that is {reason}");
            assert_eq!(served.generation(), 1);
        }
        rename_over(&served.file, &whole);
        served.expect(2, "2.0.000").await;
    });
}

#[test]
fn the_file_that_serves_put_back_is_no_swap() {
    on_a_shard(async {
        let served = served();
        fs::write(&served.file, b"bad").unwrap();
        until("the bad file is refused", || served.last_error().is_some()).await;
        rename_over(&served.file, &guest("1.0.000"));
        until("the error is gone", || served.last_error().is_none()).await;
        assert_eq!(served.generation(), 1);
    });
}

#[test]
fn a_call_ends_on_the_version_it_began_with() {
    on_a_shard(async {
        let mut served = served();
        let call = tokio::task::spawn_local(served.shard.invoke("x", "[]"));
        let (_, answer) = asks_whether(served.shard.questions.recv().await);
        rename_over(&served.file, &guest("2.0.000"));
        served.expect(2, "2.0.000").await;
        assert!(!call.is_finished());
        answer.send(true).expect("the guest waits");
        assert_eq!(call.await.unwrap().result, Ok(Some(crate::support::json("\"1.0.000\""))));
        served.expect(2, "2.0.000").await;
    });
}

#[test]
fn no_call_fails_while_versions_change_under_load() {
    on_a_shard(async {
        let served = served();
        let versions: Vec<Vec<u8>> = (2..=6).map(|number| guest(&format!("{number}.0.000"))).collect();
        for (content, generation) in versions.iter().zip(2..) {
            rename_over(&served.file, b"bad");
            until("the bad file is refused", || served.last_error().is_some()).await;
            rename_over(&served.file, content);
            let mut seen = Vec::new();
            let mut calls = 0;
            while seen.last().is_none_or(|last| *last != format!("{generation}.0.000")) {
                let version = served.shard.version().await;
                if seen.last() != Some(&version) {
                    seen.push(version);
                }
                calls += 1;
                tokio::task::yield_now().await;
                assert!(calls < 100_000_000, "the swap did not come about: {seen:?}");
            }
            assert!(seen.len() <= 2, "versions went back and forth: {seen:?}");
        }
        let status = &served.shard.host.statuses()[0];
        assert_eq!((status.generation, status.traps), (6, 0));
    });
}

#[test]
fn two_shards_swap_at_once() {
    on_a_shard(async {
        let served = served();
        let other = Shard::of(&served.shard.host);
        assert_eq!(other.version().await, "1.0.000");
        rename_over(&served.file, &guest("2.0.000"));
        served.expect(2, "2.0.000").await;
        assert_eq!(other.version().await, "2.0.000");
    });
}

#[test]
fn a_plugin_that_cannot_serve_from_the_start_is_refused_by_name_file_and_reason() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plugin.wasm");
    let refusal = || {
        let error: StartError =
            start(vec![settings(PluginSource::File(file.clone()))]).expect_err("the plugin cannot serve");
        error.to_string()
    };
    let missing = refusal();
    assert!(missing.contains("plugin p") && missing.contains("plugin.wasm"), "{missing}");
    fs::write(&file, unready_guest()).unwrap();
    let unready = refusal();
    assert!(unready.contains("plugin.wasm") && unready.contains("no thanks"), "{unready}");
}

#[test]
fn stopping_ends_the_watch() {
    on_a_shard(async {
        let served = served();
        let stopped_in = std::time::Instant::now();
        served.shard.host.stop();
        served.shard.host.stop();
        assert!(stopped_in.elapsed() < Duration::from_secs(5));
        assert_eq!(served.shard.version().await, "1.0.000");
    });
}

#[test]
fn a_version_that_serves_is_not_the_one_before_itself() {
    on_a_shard(async {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("plugin.wasm");
        fs::write(&file, guest("1.0.000")).expect("a file");
        let plugins = || vec![settings(PluginSource::File(file.clone()))];
        let start = |memory_bytes| {
            let folders = Folders { components: Some(directory.path().join("components")), ..Folders::default() };
            let settings = HostSettings { memory_bytes, ..host_settings(plugins()) };
            PluginHost::start(settings, Compilation::default(), folders, BadPlugins::Refuse).expect("it starts")
        };
        start(1 << 30).stop();
        // It has served, and now it cannot: there is no memory.
        let host = start(1);
        assert_eq!(host.statuses()[0].generation, 0, "{:?}", host.statuses());
        host.configure(host_settings(plugins())).expect("the plugins are the same");
        rename_over(&file, &guest("1.0.000"));
        until("the version", || host.statuses()[0].generation == 1).await;
        assert_eq!(host.roll_back("p").err(), Some(RollbackError::NoVersionBefore));
    });
}
