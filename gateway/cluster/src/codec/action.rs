//! What senders ask of a hub.

use hubgate_core::delivery::{Action, Except, Member, Target};
use hubgate_core::filter::Origin;

use crate::field::{choice, record};

choice!(Action {
    0 Send { to, message, except },
    1 Join { member, group, ttl_seconds, plugin },
    2 Leave { member, group },
    3 LeaveAll(member),
    4 Close { target, except, reason, allow_reconnect },
});
choice!(Target {
    0 All,
    1 Group(group),
    2 User(user),
    3 Connection(connection),
});
choice!(Member {
    0 Connection(connection),
    1 User(user),
});
choice!(Origin {
    0 HubServer(server),
    1 Plugin(plugin),
    2 Webhook,
    3 Rest,
    4 Management,
});
record!(Except { connections, users });
