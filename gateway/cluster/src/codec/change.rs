//! What changes in what all nodes know of a hub.

use hubgate_core::{DirectoryChange, Reconnect, Stamp};

use crate::field::{choice, record};

choice!(DirectoryChange {
    0 ClientsEntered(clients),
    1 ClientsLeft(clients),
    2 UserEntered { user, shard },
    3 UserLeft { user, shard },
    4 ServerConnected { id, server, reconnect, when_lost },
    5 SenderConnected { id, server },
    6 ServerLeft(id),
    7 ServerDrains(id),
    8 ServerCongested { id, is_congested },
    9 ClientsRouted { to, by, clients },
    10 HubUsed(shard),
    11 HubUnused(shard),
    12 GroupWatched { plugin, group },
    13 GroupUnwatched { plugin, group },
    14 MembershipBegins { user, group, ends, plugin, stamp },
    15 MembershipEnds { user, group, stamp },
    16 ConnectionMoved { id, token, to },
    17 ConnectionOver { id, at },
});
choice!(Reconnect {
    0 No,
    1 Stateful,
});
record!(Stamp { time, node });
