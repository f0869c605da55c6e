//! What the configuration says.

/// A roster is one value of `state`, which has a bound in bytes.
const MOST_IN_A_ROOM: usize = 5_000;

#[derive(Debug)]
pub struct Settings {
    /// What the names of rooms begin with.
    rooms: String,
    /// Connections in a room.
    pub most: usize,
    /// The claim that lists the rooms that a client may enter; all if there is none.
    pub claim: Option<String>,
    /// The names of methods: those that clients call, and those by which rooms are told.
    pub enter: String,
    pub leave: String,
    pub entered: String,
    pub left: String,
}

impl Settings {
    /// Reads them from `get`, the configuration. An error names the key and says what it may be.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Settings, String> {
        let or = |key: &str, default: &str| get(key).unwrap_or_else(|| default.to_owned());
        let most = or("most", "1000").parse().ok().filter(|most| (1..=MOST_IN_A_ROOM).contains(most));
        let settings = Settings {
            rooms: or("rooms", ""),
            most: most.ok_or_else(|| format!("`most` is how many connections a room has: 1 to {MOST_IN_A_ROOM}"))?,
            claim: get("claim"),
            enter: or("enter", "enter"),
            leave: or("leave", "leave"),
            entered: or("entered", "entered"),
            left: or("left", "left"),
        };
        match settings.enter == settings.leave {
            true => Err("`enter` and `leave` are the names of two methods".to_owned()),
            false => Ok(settings),
        }
    }

    /// Whether it is the name of a room.
    pub fn is_room(&self, name: &str) -> bool {
        name.starts_with(&self.rooms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(given: &[(&str, &str)]) -> Result<Settings, String> {
        let of = |key: &str| given.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
        Settings::read(of)
    }

    #[test]
    fn it_serves_without_a_configuration() {
        let settings = settings(&[]).unwrap();
        assert!(settings.is_room("any"));
        assert_eq!((settings.most, settings.enter.as_str()), (1_000, "enter"));
    }

    #[test]
    fn rooms_are_those_that_begin_as_the_configuration_says() {
        let settings = settings(&[("rooms", "room-")]).unwrap();
        assert!(settings.is_room("room-1") && !settings.is_room("1"));
    }

    #[test]
    fn what_is_wrong_is_an_error_that_names_the_key() {
        for (key, value) in [("most", "0"), ("most", "5001"), ("most", "all"), ("enter", "leave")] {
            let error = settings(&[(key, value)]).unwrap_err();
            assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
        }
    }
}
