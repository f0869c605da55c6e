//! Who is in a room, as the room was told.

use std::collections::BTreeMap;

use hubgate_plugin::presence::Member;
use serde::{Deserialize, Serialize};

/// The connections in a room, each with its user.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    pub room: String,
    connections: BTreeMap<String, Option<String>>,
}

/// Somebody in a room: a user, with however many connections, or a connection without a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Who<'a> {
    pub user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<&'a str>,
}

/// Somebody, and the number of connections.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Listed<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    pub connections: usize,
}

impl Roster {
    /// Of a room in which these are.
    pub fn of(room: &str, members: Vec<Member>, most: usize) -> Roster {
        let mut roster = Roster { room: room.to_owned(), ..Roster::default() };
        roster.change(members, &[], most);
        roster
    }

    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Some have joined and left. Whoever comes when there are `most` connections already is not known, nor missed later.
    pub fn change(&mut self, joined: Vec<Member>, left: &[Member], most: usize) {
        for member in left {
            self.connections.remove(&member.connection);
        }
        for member in joined {
            if self.connections.len() < most {
                self.connections.insert(member.connection, member.user_id);
            }
        }
    }

    /// Takes out those of whom it is not so.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.connections.retain(|connection, _| is_there(connection));
    }

    /// Everybody, users by their names after those without one.
    pub fn listed(&self) -> Vec<Listed<'_>> {
        self.counted().into_iter().map(|(who, connections)| Listed { who, connections }).collect()
    }

    /// Who is here and not in another roster.
    pub fn beyond<'a>(&'a self, other: &Roster) -> Vec<Who<'a>> {
        let others = other.counted();
        self.counted().into_keys().filter(|who| !others.contains_key(who)).collect()
    }

    fn counted(&self) -> BTreeMap<Who<'_>, usize> {
        let mut counted = BTreeMap::new();
        for (connection, user) in &self.connections {
            let who = match user {
                Some(user) => Who { user: Some(user), connection: None },
                None => Who { user: None, connection: Some(connection) },
            };
            *counted.entry(who).or_default() += 1;
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 10;

    fn member(connection: &str, user: Option<&str>) -> Member {
        Member { connection: connection.to_owned(), user_id: user.map(str::to_owned) }
    }

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn a_user_is_one_with_all_connections_and_others_are_each_their_own() {
        let members = vec![member("1", Some("ann")), member("2", None), member("3", Some("ann")), member("4", None)];
        let roster = Roster::of("tea", members, MOST);
        assert_eq!(
            json(&roster.listed()),
            concat!(
                r#"[{"user":null,"connection":"2","connections":1},{"user":null,"connection":"4","connections":1},"#,
                r#"{"user":"ann","connections":2}]"#
            )
        );
    }

    #[test]
    fn a_user_comes_with_the_first_connection_and_goes_with_the_last() {
        let nobody = Roster::of("tea", vec![], MOST);
        let mut roster = nobody.clone();
        for (joined, left, entered, gone) in [
            (vec![member("1", Some("ann"))], vec![], r#"[{"user":"ann"}]"#, "[]"),
            (vec![member("2", Some("ann"))], vec![], "[]", "[]"),
            (vec![member("3", None)], vec![member("1", Some("ann"))], r#"[{"user":null,"connection":"3"}]"#, "[]"),
            (vec![], vec![member("2", Some("ann")), member("9", Some("bob"))], "[]", r#"[{"user":"ann"}]"#),
        ] {
            let before = roster.clone();
            roster.change(joined, &left, MOST);
            assert_eq!(
                (json(&roster.beyond(&before)).as_str(), json(&before.beyond(&roster)).as_str()),
                (entered, gone)
            );
        }
        roster.retain(|_| false);
        assert_eq!(roster, nobody);
    }

    #[test]
    fn a_roster_has_a_bound() {
        let members = (0..MOST + 5).map(|number| member(&number.to_string(), None)).collect();
        let mut roster = Roster::of("tea", members, MOST);
        assert_eq!(roster.listed().len(), MOST);
        roster.change(vec![member("x", None)], &[member("1", None)], MOST);
        assert_eq!(roster.listed().len(), MOST, "there is a place again");
    }

    #[test]
    fn a_roster_is_read_as_it_was_kept() {
        let roster = Roster::of("tea", vec![member("1", Some("ann")), member("2", None)], MOST);
        assert_eq!(serde_json::from_str::<Roster>(&json(&roster)).unwrap(), roster);
    }
}
