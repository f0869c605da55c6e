//! What shards ask each other, and answer.

use hubgate_core::question::{Answer, AskError, Command, Joined, Query, Question, Sought};

use crate::field::choice;

choice!(Question {
    0 Query(query),
    1 Command(command),
    2 Barrier,
    3 HandedOn,
});
choice!(Query {
    0 Find(sought),
    1 Facts(connection),
    2 FactsByToken(token),
    3 Count(target),
    4 Members { of, after, most },
});
choice!(Sought {
    0 ConnectionOf(target),
    1 UserInGroup { user, group },
});
choice!(Command {
    0 Join { connection, group },
    1 Leave { connection, group },
    2 Refresh(refresh),
});
choice!(Answer {
    0 Found(is_there),
    1 Facts(facts),
    2 Count(count),
    3 Members(members),
    4 Joined(joined),
    5 Refreshed(refreshed),
    6 InEffect,
    7 Stream(reply),
    8 Kept(kept),
    9 Claimed(claimed),
});
choice!(Joined {
    0 Yes,
    1 NoSuchConnection,
    2 TooManyGroups,
});
choice!(AskError {
    0 NoSuchConnection,
    1 Failed(error),
    2 TimedOut,
    3 Left,
    4 Busy,
});
