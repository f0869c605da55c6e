//! What shards order each other.

use hubgate_core::{ForwardedQuestion, Leaving, Order, ServerOrder, WhenLost};

use crate::field::{choice, record};

choice!(Order {
    0 Act(action),
    1 Server(order),
    2 Ask { question, asker, number },
    3 Stream { command, asker, number },
    4 Answer { number, answer },
    5 AskClient(question),
    6 ClientAnswered { number, answer },
    7 Token { command, asker, number },
    8 TokenOver { token },
});
choice!(ServerOrder {
    0 Pass { to, messages },
    1 PassToServer { first, server, message },
    2 Says { from, to, payload, data_type },
    3 Closes { from, client, error },
    4 Leaves { server, leaving },
    5 Congested { server, is_congested },
    6 Invoke { from, origin, client, message },
    7 Complete { client, message },
    8 Opens { to, client, messages },
    9 Ends { to, client, messages },
    10 SaysTooMuch { from, to },
});
choice!(Leaving {
    0 DropsClients,
    1 MovesClients,
    2 Lost(when),
});
choice!(WhenLost {
    0 DropsClients,
    1 MovesClients,
});
record!(ForwardedQuestion { question, within, asker, number });
