//! `[telemetry]`: for those who have a collector, and the resource logs.

use std::path::Path;
use std::time::Duration;

use hubgate_net::settings::{HeaderName, HeaderValue, ResourceLogSettings, TelemetrySettings};

use super::Warning;
use super::origins::{Origin, Origins};
use super::problem::{Problem, Problems};
use super::schema::{ResourceLogs, Telemetry};
use super::secrets;

const HEADERS_FILE: &str = "telemetry.headers-file";
const SERVICE_NAME: &str = "telemetry.service-name";
const METRICS_INTERVAL: &str = "telemetry.metrics-interval";
const CATEGORIES: &str = "telemetry.resource-logs.categories";
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Keys that say how telemetry is exported, if it is.
const KEYS: [&str; 4] = [HEADERS_FILE, "telemetry.sample-ratio", SERVICE_NAME, METRICS_INTERVAL];

/// None without a collector, or where something of it cannot stay.
pub(super) fn settings(telemetry: &Telemetry, problems: &mut Problems) -> Option<TelemetrySettings> {
    let otlp = telemetry.otlp.clone()?;
    let service_name = telemetry.service_name.clone().unwrap_or_default();
    if service_name.trim().is_empty() {
        problems.push(SERVICE_NAME, "must not be empty");
    }
    let interval = telemetry.metrics_interval.0;
    if !interval.is_zero() && interval < SHORTEST_INTERVAL {
        problems.push(METRICS_INTERVAL, "is less than \"1s\"; \"0s\" is for no metrics at all");
    }
    let headers = telemetry.headers_file.as_deref().map_or_else(|| Ok(Vec::new()), headers);
    Some(TelemetrySettings {
        otlp,
        headers: problems.take(headers)?,
        sample_ratio: telemetry.sample_ratio.0,
        service_name,
        metrics_interval: Some(interval).filter(|interval| !interval.is_zero()),
    })
}

/// None without a file.
pub(super) fn resource_log(logs: &ResourceLogs, problems: &mut Problems) -> Option<ResourceLogSettings> {
    let file = logs.file.clone()?;
    if logs.categories.is_empty() {
        problems.push(CATEGORIES, "names no category: leave it out for all of them");
    }
    Some(ResourceLogSettings { file, categories: logs.categories.clone() })
}

/// A `name: value` on each line. No line is repeated: it may be a secret.
fn headers(file: &Path) -> Result<Vec<(HeaderName, HeaderValue)>, Problem> {
    let text = secrets::secret_in(HEADERS_FILE, file)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = |(number, line): (usize, &str)| {
        read_header(line).ok_or_else(|| {
            let text =
                format!("{}, line {}: is not a header such as `Authorization: Bearer …`", file.display(), number + 1);
            Problem::new(HEADERS_FILE, text)
        })
    };
    lines.map(header).collect()
}

fn read_header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value: HeaderValue = value.trim().parse().ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

/// Keys without a collector, or without a file of resource logs.
pub(super) fn without_effect(telemetry: &Telemetry, origins: &Origins) -> impl Iterator<Item = Warning> {
    let is_set = |key: &&str| matches!(origins.of(key), Origin::Line(_));
    let of_collector = KEYS.into_iter().find(is_set).filter(|_| telemetry.otlp.is_none());
    let of_collector = of_collector.map(|key| (key, "has no effect: `telemetry.otlp` names no collector"));
    let of_log = Some(CATEGORIES).filter(is_set).filter(|_| telemetry.resource_logs.file.is_none());
    let of_log = of_log.map(|key| (key, "has no effect: `telemetry.resource-logs` names no file"));
    let warning = |(key, text): (&str, &str)| Warning { key: key.to_owned(), text: text.to_owned() };
    of_collector.into_iter().chain(of_log).map(warning)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::{Config, Draft};

    fn load_in(folder: &Path, text: &str) -> Result<Config, String> {
        let text = format!("server.access-keys = ['{}']\n{text}", "k".repeat(32));
        let draft = Draft::parse(&folder.join("hubgate.toml"), &text).map_err(|error| error.to_string())?;
        draft.settled().map_err(|error| error.to_string())
    }

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        fs::write(folder.path().join("headers"), "Authorization: Bearer hidden\n\nx-team: a\n").expect("it is ours");
        fs::write(folder.path().join("broken"), "x-team: a\nhidden\n").expect("it is ours");
        load_in(folder.path(), text)
    }

    /// The keys of `[telemetry]` that have no effect.
    fn warned(config: &Config) -> impl Iterator<Item = &str> {
        config.warnings.iter().map(|warning| &*warning.key).filter(|key| key.starts_with("telemetry"))
    }

    #[test]
    fn a_collector_is_what_telemetry_needs() {
        assert_eq!(load("").expect("valid").net.telemetry, None);
        let config =
            load("telemetry.otlp = 'http://127.0.0.1:4318'\ntelemetry.headers-file = 'headers'").expect("valid");
        let telemetry = config.net.telemetry.expect("it is configured");
        assert_eq!(telemetry.sample_ratio, 1.0);
        let names: Vec<&str> = telemetry.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["authorization", "x-team"]);
        assert!(!format!("{telemetry:?}").contains("hidden"), "{telemetry:?}");
        let config = load("telemetry.sample-ratio = 0.5").expect("valid");
        let keys: Vec<&str> = warned(&config).collect();
        assert_eq!(keys, ["telemetry.sample-ratio"]);
        let config = load("telemetry.otlp = 'http://a'\ntelemetry.sample-ratio = 0").expect("valid");
        assert_eq!(warned(&config).count(), 0);
    }

    #[test]
    fn a_file_is_what_resource_logs_need() {
        assert_eq!(load("").expect("valid").net.resource_log, None);
        let config = load("telemetry.resource-logs.file = 'log'").expect("valid");
        let log = config.net.resource_log.as_ref().expect("it is configured");
        assert!(log.file.is_absolute(), "{log:?}");
        assert_eq!(log.categories.len(), 3, "{log:?}");
        assert_eq!(warned(&config).count(), 0);
        let config = load("telemetry.resource-logs.categories = ['messaging']").expect("valid");
        assert_eq!(warned(&config).collect::<Vec<_>>(), ["telemetry.resource-logs.categories"]);
    }

    #[test]
    fn what_cannot_stay_is_named_by_its_key() {
        let one = "telemetry.otlp = 'http://127.0.0.1:4318'";
        for (text, expected) in [
            ("telemetry.otlp = '127.0.0.1:4318'", "telemetry.otlp: must be the http:// or https:// URL"),
            ("telemetry.otlp = 'http://a:hidden@b'", "telemetry.otlp: holds a user or a password"),
            ("telemetry.otlp = 'http://a?key=hidden'", "telemetry.otlp: has a query"),
            ("telemetry.sample-ratio = 2", "telemetry.sample-ratio: 2 is not a number from 0 to 1"),
            ("telemetry.sample-ratio = nan", "is not a number from 0 to 1"),
            (&format!("{one}\ntelemetry.service-name = ' '"), "telemetry.service-name: must not be empty"),
            (&format!("{one}\ntelemetry.metrics-interval = '10ms'"), "telemetry.metrics-interval: is less than \"1s\""),
            (
                "telemetry.resource-logs = { file = 'a', categories = [] }",
                "telemetry.resource-logs.categories: names no category",
            ),
            ("telemetry.resource-logs = { file = 'a', categories = ['b'] }", "telemetry.resource-logs.categories"),
            (&format!("{one}\ntelemetry.headers-file = 'gone'"), "telemetry.headers-file: cannot read"),
            (&format!("{one}\ntelemetry.headers-file = 'broken'"), "broken, line 2: is not a header"),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(expected) && !error.contains("hidden"), "{text}: {error}");
        }
    }
}
