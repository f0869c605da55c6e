//! Items of every kind, for tests of all.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hubgate_cluster::codec::{Envelope, Item, Recipient, Sends, Shards, TunnelEnd, TunnelMessage, TunnelPart};
use hubgate_core::delivery::{Action, Except, Member, Target};
use hubgate_core::event::ConnectionFacts;
use hubgate_core::filter::Origin;
use hubgate_core::id::{
    ConnectionId, GroupName, HubName, NodeId, PluginName, ServerConnectionId, ServerId, ShardAddress, ShardIndex,
    UserId,
};
use hubgate_core::pairs::Pairs;
use hubgate_core::question::{
    Answer, AskError, ClientAnswer, ClientQuestion, Command, Joined, Query, Question, Sought, TokenCommand,
};
use hubgate_core::refresh::{NewEnd, NewUser, Refresh, RefreshRefusal};
use hubgate_core::stream::{Finish, Room, StreamCommand, StreamDeed, StreamError, StreamId, StreamReply, Unsuited};
use hubgate_core::time::Millis;
use hubgate_core::{
    Answerable, ClaimAnswer, Claimed, DirectoryChange, ForwardedQuestion, Leaving, Negotiated, Order, Outgoing,
    Reconnect, ServerOrder, Stamp, TokenClaim, TokenRefusal, TooManyTokens, WhenLost,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::payload::{JsonText, MessagePackValue, Payload};
use hubgate_wire::signalr::HubProtocol;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![8 => "[a-z]{0,12}", 1 => "\\PC{0,40}", 1 => Just("x".repeat(300))]
}

fn user() -> impl Strategy<Value = UserId> + Clone {
    text().prop_map(UserId::new)
}

fn group() -> impl Strategy<Value = GroupName> + Clone {
    text().prop_map(GroupName::new)
}

fn server() -> impl Strategy<Value = ServerId> + Clone {
    text().prop_map(ServerId::new)
}

fn plugin() -> impl Strategy<Value = PluginName> + Clone {
    text().prop_map(PluginName::new)
}

fn hub() -> impl Strategy<Value = HubName> + Clone {
    "[a-z][a-z0-9_.]{0,20}".prop_map(|name| HubName::parse(&name).expect("a name"))
}

fn address() -> impl Strategy<Value = ShardAddress> + Clone {
    any::<(u32, u16)>().prop_map(|(node, shard)| ShardAddress { node: NodeId(node), shard: ShardIndex(shard) })
}

fn connection() -> impl Strategy<Value = ConnectionId> + Clone {
    (address(), any::<[u8; 12]>()).prop_map(|(owner, random)| ConnectionId::new(owner, random))
}

fn server_connection() -> impl Strategy<Value = ServerConnectionId> + Clone {
    (address(), any::<u32>()).prop_map(|(owner, number)| ServerConnectionId { owner, number })
}

fn bytes() -> impl Strategy<Value = Bytes> + Clone {
    let lengths = prop_oneof![9 => 0..300usize, 1 => 15_000..18_000usize];
    lengths.prop_flat_map(|length| vec(any::<u8>(), length)).prop_map(Bytes::from)
}

fn json(text: &str) -> Payload {
    Payload::Json(JsonText::parse_text(text.to_owned()).expect("JSON"))
}

fn messagepack(bytes: &[u8]) -> Payload {
    Payload::MessagePack(MessagePackValue::parse(bytes.to_vec()).expect("a value"))
}

/// Arguments, in the encoding of whoever sends them.
fn arguments() -> impl Strategy<Value = Payload> + Clone {
    prop_oneof![
        Just(json("[]")),
        Just(json(" [ 1.50, {\"a\":\"\\u0041\"} ]")),
        Just(json(&format!("{}{}", "[".repeat(63), "]".repeat(63)))),
        Just(messagepack(b"\x90")),
        Just(messagepack(b"\x93\x01\xc0\xa1a")),
        (0..40_000usize).prop_map(|length| json(&format!("[\"{}\"]", "x".repeat(length)))),
    ]
}

/// Values of all kinds, one of them nil.
fn payload() -> impl Strategy<Value = Payload> + Clone {
    prop_oneof![arguments(), Just(json("null")), Just(json("\"é\"")), Just(messagepack(b"\xc0"))]
}

fn pairs() -> impl Strategy<Value = Pairs> + Clone {
    vec((text(), text()), 0..12).prop_map(Pairs::from_iter)
}

fn outgoing() -> impl Strategy<Value = Outgoing> {
    let answer = (pairs(), option::of(text()))
        .prop_map(|(headers, id)| Answerable { headers, invocation_id: id.map(Into::into) });
    let call = (text(), arguments(), option::of(answer))
        .prop_map(|(method, arguments, answer)| Outgoing::new(method, arguments, answer));
    let encoded = vec((proptest::sample::select(&HubProtocol::ALL[..]), bytes()), 0..3).prop_map(Outgoing::encoded);
    let item = (text(), payload()).prop_map(|(stream, item)| Outgoing::stream_item(&stream, item));
    let completion = (text(), option::of(payload()), option::of(text()))
        .prop_map(|(id, result, error)| Outgoing::completion(&id, result, error));
    prop_oneof![call, encoded, item, completion]
}

fn target() -> impl Strategy<Value = Target> + Clone {
    prop_oneof![
        Just(Target::All),
        group().prop_map(Target::Group),
        user().prop_map(Target::User),
        connection().prop_map(Target::Connection),
    ]
}

fn member() -> impl Strategy<Value = Member> {
    prop_oneof![connection().prop_map(Member::Connection), user().prop_map(Member::User)]
}

fn action() -> impl Strategy<Value = Action> {
    let except = (vec(connection(), 0..20), vec(user(), 0..20));
    let send = (target(), outgoing().boxed(), except).prop_map(|(to, message, (connections, users))| Action::Send {
        to,
        message,
        except: Except { connections, users },
    });
    let join = (member(), group(), option::of(any::<u32>()), option::of(plugin()))
        .prop_map(|(member, group, ttl_seconds, plugin)| Action::Join { member, group, ttl_seconds, plugin });
    let close = (target(), vec(connection(), 0..4), option::of(text()), any::<bool>()).prop_map(
        |(target, except, reason, allow_reconnect)| Action::Close { target, except, reason, allow_reconnect },
    );
    prop_oneof![
        send,
        join,
        (member(), group()).prop_map(|(member, group)| Action::Leave { member, group }),
        member().prop_map(Action::LeaveAll),
        close,
    ]
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        server().prop_map(Origin::HubServer),
        plugin().prop_map(Origin::Plugin),
        Just(Origin::Webhook),
        Just(Origin::Rest),
        Just(Origin::Management),
    ]
}

fn when_lost() -> impl Strategy<Value = WhenLost> {
    prop_oneof![Just(WhenLost::DropsClients), Just(WhenLost::MovesClients)]
}

fn server_order() -> impl Strategy<Value = ServerOrder> {
    let leaving =
        prop_oneof![Just(Leaving::DropsClients), Just(Leaving::MovesClients), when_lost().prop_map(Leaving::Lost),];
    prop_oneof![
        (server_connection(), bytes()).prop_map(|(to, messages)| ServerOrder::Pass { to, messages }),
        (server_connection(), connection(), bytes()).prop_map(|(to, client, messages)| ServerOrder::Opens {
            to,
            client,
            messages
        }),
        (server_connection(), connection(), bytes()).prop_map(|(to, client, messages)| ServerOrder::Ends {
            to,
            client,
            messages
        }),
        (server_connection(), server(), bytes()).prop_map(|(first, server, message)| ServerOrder::PassToServer {
            first,
            server,
            message
        }),
        (server_connection(), connection(), bytes(), option::of(any::<i64>()))
            .prop_map(|(from, to, payload, data_type)| ServerOrder::Says { from, to, payload, data_type }),
        (server_connection(), connection(), option::of(text()))
            .prop_map(|(from, client, error)| { ServerOrder::Closes { from, client, error: error.map(Into::into) } }),
        (server_connection(), leaving).prop_map(|(server, leaving)| ServerOrder::Leaves { server, leaving }),
        (server_connection(), any::<bool>())
            .prop_map(|(server, is_congested)| ServerOrder::Congested { server, is_congested }),
        (server_connection(), origin(), connection(), bytes()).prop_map(|(from, origin, client, message)| {
            ServerOrder::Invoke { from, origin: Box::new(origin), client, message }
        }),
        (connection(), bytes()).prop_map(|(client, message)| ServerOrder::Complete { client, message }),
        (server_connection(), connection()).prop_map(|(from, to)| ServerOrder::SaysTooMuch { from, to }),
    ]
}

fn sought() -> impl Strategy<Value = Sought> {
    prop_oneof![
        target().prop_map(Sought::ConnectionOf),
        (user(), group()).prop_map(|(user, group)| Sought::UserInGroup { user, group }),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let query = prop_oneof![
        sought().boxed().prop_map(Query::Find),
        connection().prop_map(Query::Facts),
        connection().prop_map(Query::FactsByToken),
        target().prop_map(Query::Count),
        (target(), option::of(connection()), any::<u32>()).prop_map(|(of, after, most)| Query::Members {
            of,
            after,
            most: most as usize
        }),
    ];
    let user = prop_oneof![Just(NewUser::InClaims), option::of(user()).prop_map(NewUser::OfToken)];
    let end = prop_oneof![Just(NewEnd::AsBefore), any::<u64>().prop_map(NewEnd::At)];
    let refresh = (connection(), pairs(), user, end)
        .prop_map(|(token, claims, user, end)| Box::new(Refresh { token, claims, user, end }));
    let command = prop_oneof![
        (connection(), group()).prop_map(|(connection, group)| Command::Join { connection, group }),
        (connection(), option::of(group())).prop_map(|(connection, group)| Command::Leave { connection, group }),
        refresh.prop_map(Command::Refresh),
    ];
    prop_oneof![
        query.prop_map(Question::Query),
        command.prop_map(Question::Command),
        Just(Question::Barrier),
        Just(Question::HandedOn),
    ]
}

fn facts() -> impl Strategy<Value = Arc<ConnectionFacts>> {
    let protocol = proptest::sample::select(&HubProtocol::ALL[..]);
    let texts = (text(), text());
    (hub(), connection(), option::of(user()), protocol, (pairs(), pairs()), texts).prop_map(
        |(hub, id, user_id, protocol, (claims, headers), (query, remote_address))| {
            let (query, remote_address) = (query.into(), remote_address.into());
            Arc::new(ConnectionFacts { hub, id, user_id, protocol, claims, query, headers, remote_address })
        },
    )
}

fn room() -> impl Strategy<Value = Room> {
    any::<(u32, u32)>().prop_map(|(items, bytes)| Room { items: items as usize, bytes: bytes as usize })
}

fn reply() -> impl Strategy<Value = StreamReply> {
    prop_oneof![
        room().prop_map(Ok),
        Just(Err(StreamError::NoSuchStream)),
        room().prop_map(|room| Err(StreamError::Full(room))),
        Just(Err(StreamError::TooLarge)),
        Just(Err(StreamError::Invalid(Unsuited::Items))),
        Just(Err(StreamError::Invalid(Unsuited::Value))),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let refusals = [RefreshRefusal::NoSuchConnection, RefreshRefusal::AnotherUser, RefreshRefusal::TooLarge];
    let joined = [Joined::Yes, Joined::NoSuchConnection, Joined::TooManyGroups];
    prop_oneof![
        any::<bool>().prop_map(Answer::Found),
        option::of(facts().boxed()).prop_map(Answer::Facts),
        any::<u64>().prop_map(Answer::Count),
        vec((connection(), option::of(user())), 0..30).prop_map(Answer::Members),
        proptest::sample::select(joined.to_vec()).prop_map(Answer::Joined),
        facts().boxed().prop_map(|facts| Answer::Refreshed(Ok(facts))),
        proptest::sample::select(refusals.to_vec()).prop_map(|refusal| Answer::Refreshed(Err(refusal))),
        Just(Answer::InEffect),
        reply().prop_map(Answer::Stream),
        Just(Answer::Kept(Ok(()))),
        Just(Answer::Kept(Err(TooManyTokens))),
        claimed().prop_map(|claimed| Answer::Claimed(Box::new(claimed))),
    ]
}

fn reconnect() -> impl Strategy<Value = Reconnect> + Clone {
    prop_oneof![Just(Reconnect::No), Just(Reconnect::Stateful)]
}

fn transport() -> impl Strategy<Value = Transport> + Clone {
    proptest::sample::select(&Transport::ALL[..])
}

fn claimed() -> impl Strategy<Value = ClaimAnswer> {
    let first = (connection(), connection(), reconnect(), bytes())
        .prop_map(|(token, id, reconnect, early)| Claimed::First { token, id, reconnect, early });
    let refusal = prop_oneof![
        Just(TokenRefusal::Unknown),
        transport().prop_map(TokenRefusal::InUse),
        Just(TokenRefusal::NoRoom),
    ];
    prop_oneof![first.prop_map(Ok), connection().prop_map(|id| Ok(Claimed::Again { id })), refusal.prop_map(Err),]
}

fn token_command() -> impl Strategy<Value = TokenCommand> {
    let negotiated = (connection(), connection(), reconnect())
        .prop_map(|(id, token, reconnect)| TokenCommand::Keep(Negotiated { id, token, reconnect }));
    let claim =
        (connection(), transport(), address(), any::<bool>()).prop_map(|(token, transport, holder, has_room)| {
            TokenCommand::Claim(TokenClaim { token, transport, holder, has_room })
        });
    prop_oneof![negotiated, claim]
}

fn stream_command() -> impl Strategy<Value = StreamCommand> {
    let finish = prop_oneof![
        Just(Finish::Void),
        payload().prop_map(Finish::Value),
        text().prop_map(Finish::Rejected),
        text().prop_map(Finish::Failed),
    ];
    let does = prop_oneof![vec(payload(), 0..6).prop_map(StreamDeed::Push), finish.prop_map(StreamDeed::Finish)];
    (connection(), any::<u32>(), plugin(), does).prop_map(|(connection, number, plugin, does)| StreamCommand {
        stream: StreamId { connection, number },
        plugin,
        does,
    })
}

fn forwarded() -> impl Strategy<Value = ForwardedQuestion> {
    let asked = (connection(), option::of(connection()), origin(), text(), arguments());
    (asked, any::<u64>(), address(), any::<u32>()).prop_map(
        |((connection, caller, origin, method, arguments), within, asker, number)| ForwardedQuestion {
            question: ClientQuestion { connection, caller, origin, method, arguments },
            within: Millis(within),
            asker,
            number,
        },
    )
}

fn client_answer() -> impl Strategy<Value = ClientAnswer> {
    prop_oneof![
        option::of(payload()).prop_map(Ok),
        Just(Err(AskError::NoSuchConnection)),
        text().prop_map(|error| Err(AskError::Failed(error))),
        Just(Err(AskError::TimedOut)),
        Just(Err(AskError::Left)),
        Just(Err(AskError::Busy)),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        4 => action().boxed().prop_map(Order::Act),
        4 => server_order().boxed().prop_map(Order::Server),
        4 => (question().boxed(), address(), any::<u32>())
            .prop_map(|(question, asker, number)| Order::Ask { question, asker, number }),
        2 => (stream_command().boxed(), address(), any::<u32>())
            .prop_map(|(command, asker, number)| Order::Stream { command: Box::new(command), asker, number }),
        4 => (any::<u32>(), answer().boxed()).prop_map(|(number, answer)| Order::Answer { number, answer }),
        1 => (token_command().boxed(), address(), any::<u32>())
            .prop_map(|(command, asker, number)| Order::Token { command: Box::new(command), asker, number }),
        1 => connection().prop_map(|token| Order::TokenOver { token }),
        1 => forwarded().boxed().prop_map(|forwarded| Order::AskClient(Box::new(forwarded))),
        2 => (any::<u32>(), client_answer().boxed())
            .prop_map(|(number, answer)| Order::ClientAnswered { number, answer: Box::new(answer) }),
    ]
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (any::<u64>(), any::<u32>()).prop_map(|(time, node)| Stamp { time, node: NodeId(node) })
}

fn change() -> impl Strategy<Value = DirectoryChange> {
    let clients = || any::<u32>().prop_map(|clients| clients as usize);
    prop_oneof![
        clients().prop_map(DirectoryChange::ClientsEntered),
        clients().prop_map(DirectoryChange::ClientsLeft),
        (user(), address()).prop_map(|(user, shard)| DirectoryChange::UserEntered { user, shard }),
        (user(), address()).prop_map(|(user, shard)| DirectoryChange::UserLeft { user, shard }),
        (server_connection(), server(), reconnect(), when_lost()).prop_map(|(id, server, reconnect, when_lost)| {
            DirectoryChange::ServerConnected { id, server, reconnect, when_lost }
        }),
        (server_connection(), server()).prop_map(|(id, server)| DirectoryChange::SenderConnected { id, server }),
        server_connection().prop_map(DirectoryChange::ServerLeft),
        server_connection().prop_map(DirectoryChange::ServerDrains),
        (server_connection(), any::<bool>())
            .prop_map(|(id, is_congested)| DirectoryChange::ServerCongested { id, is_congested }),
        (server_connection(), address(), clients()).prop_map(|(to, by, clients)| DirectoryChange::ClientsRouted {
            to,
            by,
            clients
        }),
        address().prop_map(DirectoryChange::HubUsed),
        address().prop_map(DirectoryChange::HubUnused),
        (plugin(), group()).prop_map(|(plugin, group)| DirectoryChange::GroupWatched { plugin, group }),
        (plugin(), group()).prop_map(|(plugin, group)| DirectoryChange::GroupUnwatched { plugin, group }),
        (user(), group(), option::of(any::<u64>()), option::of(plugin()), stamp()).prop_map(
            |(user, group, ends, plugin, stamp)| DirectoryChange::MembershipBegins { user, group, ends, plugin, stamp }
        ),
        (user(), option::of(group()), stamp()).prop_map(|(user, group, stamp)| DirectoryChange::MembershipEnds {
            user,
            group,
            stamp
        }),
        (connection(), connection(), address()).prop_map(|(id, token, to)| DirectoryChange::ConnectionMoved {
            id,
            token,
            to
        }),
        (connection(), address()).prop_map(|(id, at)| DirectoryChange::ConnectionOver { id, at }),
    ]
}

fn tunnel() -> impl Strategy<Value = TunnelMessage> + Clone {
    let part = prop_oneof![
        any::<SocketAddr>()
            .prop_map(|remote| TunnelPart::Opens { remote: SocketAddr::new(remote.ip(), remote.port()) }),
        vec(any::<u8>(), 0..64).prop_map(|bytes| TunnelPart::Bytes(bytes.into())),
        any::<u32>().prop_map(TunnelPart::Taken),
        Just(TunnelPart::Ends),
        Just(TunnelPart::BreaksOff),
        Just(TunnelPart::Leaves),
    ];
    let end = prop_oneof![Just(TunnelEnd::Near), Just(TunnelEnd::Far)];
    (address(), any::<u16>(), end, any::<u64>(), part).prop_map(|(from, to, end, number, part)| TunnelMessage {
        from,
        to: ShardIndex(to),
        end,
        number,
        part,
    })
}

/// Any item.
pub(crate) fn item() -> impl Strategy<Value = Item> {
    let to = prop_oneof![Just(Shards::All), any::<u16>().prop_map(|shard| Shards::One(ShardIndex(shard)))];
    let recipient = (to.clone(), target()).prop_map(|(shards, target)| Recipient { shards, target });
    let sends = (address(), hub(), outgoing(), vec(recipient, 0..4))
        .prop_map(|(from, hub, message, to)| Item::Sends(Sends { from, hub, message, to }));
    let envelope = (address(), to, hub(), order().boxed())
        .prop_map(|(from, to, hub, order)| Item::Envelope(Envelope { from, to, hub, order }));
    let change = (hub(), change().boxed()).prop_map(|(hub, change)| Item::Change { hub, change });
    prop_oneof![5 => envelope, 1 => change, 1 => Just(Item::Complete), 1 => tunnel().prop_map(Item::Tunnel), 1 => sends]
}
