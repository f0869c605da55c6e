//! What the configuration says.

use std::time::Duration;

/// Reading more values of `state` for one `join` would take too long.
const MOST_KEPT: u64 = 1_000;

/// Whether a message tells its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// Messages go on as they came.
    None,
    /// As one more argument, after the others.
    Append,
}

/// How a client that joins is told what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// As the result of `join`.
    Result,
    /// The same calls once more, before `join` is answered.
    Calls,
}

#[derive(Debug)]
pub struct Settings {
    /// What the names of groups whose messages are kept begin with.
    groups: String,
    /// How many messages of each group, at most.
    pub keep: u64,
    pub time: Duration,
    pub ids: Ids,
    pub replay: Replay,
    /// The claim that lists the groups that a client may use; all if there is none.
    pub claim: Option<String>,
    /// The names of methods: those that clients call, and that by which they are told what `send` sends.
    pub join: String,
    pub leave: String,
    pub send: String,
    pub message: String,
}

impl Settings {
    /// Reads them from `get`, the configuration. An error names the key and says what it may be.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Settings, String> {
        let or = |key: &str, default: &str| get(key).unwrap_or_else(|| default.to_owned());
        let settings = Settings {
            groups: or("groups", ""),
            keep: or("keep", "50")
                .parse()
                .ok()
                .filter(|keep| (1..=MOST_KEPT).contains(keep))
                .ok_or_else(|| format!("`keep` is how many messages of a group are kept: 1 to {MOST_KEPT}"))?,
            time: duration(&or("time", "1d"))
                .ok_or("`time` is how long messages are kept: \"30s\", \"10m\", \"12h\", \"7d\"")?,
            ids: match or("ids", "none").as_str() {
                "none" => Ids::None,
                "append" => Ids::Append,
                other => return Err(format!("`ids` is \"none\" or \"append\", not \"{other}\"")),
            },
            replay: match or("replay", "result").as_str() {
                "result" => Replay::Result,
                "calls" => Replay::Calls,
                other => return Err(format!("`replay` is \"result\" or \"calls\", not \"{other}\"")),
            },
            claim: get("claim"),
            join: or("join", "join"),
            leave: or("leave", "leave"),
            send: or("send", "send"),
            message: or("message", "message"),
        };
        match settings.join == settings.leave || settings.join == settings.send || settings.leave == settings.send {
            true => Err("`join`, `leave` and `send` are the names of three methods".to_owned()),
            false => Ok(settings),
        }
    }

    /// Whether messages of a group are kept.
    pub fn keeps(&self, group: &str) -> bool {
        group.starts_with(&self.groups)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    // A hundred years are enough, and fit into any count of milliseconds.
    let seconds = count.parse::<u64>().ok()?.checked_mul(unit)?;
    Some(Duration::from_secs(seconds)).filter(|_| (1..=3_155_760_000).contains(&seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(given: &[(&str, &str)]) -> Result<Settings, String> {
        let given: Vec<(String, String)> =
            given.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Settings::read(|key| given.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()))
    }

    #[test]
    fn it_serves_without_a_configuration() {
        let settings = settings(&[]).unwrap();
        assert!(settings.keeps("any"));
        assert_eq!((settings.keep, settings.time), (50, Duration::from_secs(86_400)));
        assert_eq!((settings.ids, settings.replay), (Ids::None, Replay::Result));
    }

    #[test]
    fn groups_are_those_that_begin_as_the_configuration_says() {
        let settings = settings(&[("groups", "room-")]).unwrap();
        assert!(settings.keeps("room-1") && !settings.keeps("1") && !settings.keeps("ROOM-1"));
    }

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "10", "0s", "-1s", "1 s", "1w", "1µ", "18446744073709551615d", "36526d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_an_error_that_names_the_key() {
        for (key, value) in
            [("keep", "0"), ("keep", "1001"), ("time", "soon"), ("ids", "yes"), ("replay", "no"), ("join", "leave")]
        {
            let error = settings(&[(key, value)]).unwrap_err();
            assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
        }
    }
}
