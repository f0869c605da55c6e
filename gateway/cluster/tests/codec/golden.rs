//! The bytes of each kind of item. Nodes of other versions read them: a number or an order of elements that was given never changes.

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
    Answer, AskError, ClientQuestion, Command, Joined, Query, Question, Sought, TokenCommand,
};
use hubgate_core::refresh::{NewEnd, NewUser, Refresh, RefreshRefusal};
use hubgate_core::stream::{Finish, Room, StreamCommand, StreamDeed, StreamError, StreamId, Unsuited};
use hubgate_core::time::Millis;
use hubgate_core::{
    Answerable, Claimed, DirectoryChange, ForwardedQuestion, Leaving, Negotiated, Order, Outgoing, Reconnect,
    ServerOrder, Stamp, TokenClaim, TokenRefusal, TooManyTokens, WhenLost,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::payload::{JsonText, MessagePackValue, Payload};
use hubgate_wire::signalr::HubProtocol;

const AT: ShardAddress = ShardAddress { node: NodeId(1), shard: ShardIndex(2) };
const SERVER: ServerConnectionId = ServerConnectionId { owner: AT, number: 3 };

fn client() -> ConnectionId {
    ConnectionId::new(AT, [0; 12])
}

fn hub() -> HubName {
    HubName::parse("chat").expect("a name")
}

fn user() -> UserId {
    UserId::new("ann")
}

fn group() -> GroupName {
    GroupName::new("room")
}

fn server() -> ServerId {
    ServerId::new("s")
}

fn plugin() -> PluginName {
    PluginName::new("p")
}

fn json(text: &'static str) -> Payload {
    Payload::Json(JsonText::parse(text).expect("JSON"))
}

fn messagepack(bytes: &'static [u8]) -> Payload {
    Payload::MessagePack(MessagePackValue::parse(bytes).expect("a value"))
}

fn pairs(entries: &[(&str, &str)]) -> Pairs {
    entries.iter().copied().collect()
}

fn facts() -> Arc<ConnectionFacts> {
    Arc::new(ConnectionFacts {
        hub: hub(),
        id: client(),
        user_id: Some(user()),
        protocol: HubProtocol::MessagePack,
        claims: pairs(&[("a", "1")]),
        query: "q=1".into(),
        headers: Pairs::default(),
        remote_address: "::1".into(),
    })
}

/// The bytes in hexadecimal digits, with C for the text that is the client's id, and S for the server's connection.
fn digits(bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let client = format!("b8{}", hex(client().as_bytes()));
    hex(bytes).replace(&client, "C").replace("9292010203", "S")
}

/// Whether the order is these bytes, after those of its envelope.
fn assert_order(order: Order, expected: &str) {
    let envelope = Envelope { from: AT, to: Shards::One(ShardIndex(7)), hub: hub(), order };
    let bytes = Item::Envelope(envelope).encode();
    let digits = digits(&bytes);
    let order = digits.strip_prefix("920094920102920107a463686174").expect("an envelope");
    assert_eq!(order, expected.replace(' ', ""));
}

fn assert_change(change: DirectoryChange, expected: &str) {
    let digits = digits(&Item::Change { hub: hub(), change }.encode());
    let change = digits.strip_prefix("9301a463686174").expect("a change");
    assert_eq!(change, expected.replace(' ', ""));
}

#[test]
fn the_end_of_what_a_stream_begins_with_is_these_bytes() {
    assert_eq!(digits(&Item::Complete.encode()), "9102");
}

#[test]
fn a_message_for_several_targets_is_these_bytes_and_one_order_for_each() {
    let message = Outgoing::encoded([(HubProtocol::Json, b"{}")]);
    let to = vec![
        Recipient { shards: Shards::All, target: Target::All },
        Recipient { shards: Shards::One(ShardIndex(7)), target: Target::Connection(client()) },
    ];
    let sends = Sends { from: AT, hub: hub(), message: message.clone(), to };
    let item = Item::Sends(sends.clone()).encode();
    assert_eq!(
        digits(&item),
        "92049492 0102a463686174 9201 92a46a736f6ec4027b7d 92 929100 9100 92920107 9203C".replace(' ', "")
    );
    let envelope = |to, target| {
        let action = Action::Send { to: target, message: message.clone(), except: Except::default() };
        Envelope { from: AT, to, hub: hub(), order: Order::Act(action) }
    };
    let envelopes =
        [envelope(Shards::All, Target::All), envelope(Shards::One(ShardIndex(7)), Target::Connection(client()))];
    assert_eq!(sends.into_envelopes().collect::<Vec<_>>(), envelopes);
}

#[test]
fn what_passes_through_tunnels_is_these_bytes() {
    let remote = |address: &str| TunnelPart::Opens { remote: address.parse().expect("an address") };
    for (end, part, expected) in [
        (TunnelEnd::Near, remote("127.0.0.1:258"), "9100 05 9200c4067f0000010102"),
        (TunnelEnd::Near, remote("[::1]:258"), "9100 05 9200c412000000000000000000000000000000010102"),
        (TunnelEnd::Far, TunnelPart::Bytes(Bytes::from_static(b"ab")), "9101 05 9201c4026162"),
        (TunnelEnd::Far, TunnelPart::Taken(9), "9101 05 920209"),
        (TunnelEnd::Near, TunnelPart::Ends, "9100 05 9103"),
        (TunnelEnd::Near, TunnelPart::BreaksOff, "9100 05 9104"),
        (TunnelEnd::Near, TunnelPart::Leaves, "9100 05 9105"),
    ] {
        let message = TunnelMessage { from: AT, to: ShardIndex(7), end, number: 5, part };
        assert_eq!(
            crate::frames::hex(&Item::Tunnel(message).encode()),
            format!("920395920102 07 {expected}").replace(' ', "")
        );
    }
}

#[test]
fn actions_are_these_bytes() {
    let send = |to, message, except| Action::Send { to, message, except };
    let call = Outgoing::call("say".to_owned(), json("[1]"));
    let answer = Answerable { headers: pairs(&[("a", "b")]), invocation_id: Some("7".into()) };
    let answered = Outgoing::new("say".to_owned(), messagepack(b"\x91\x01"), Some(answer));
    let encoded = Outgoing::encoded([(HubProtocol::Json, b"{}\x1e")]);
    let except = Except { connections: vec![client()], users: vec![user()] };
    let join = |member, ttl_seconds, plugin| Action::Join { member, group: group(), ttl_seconds, plugin };
    let close = |reason| Action::Close { target: Target::All, except: vec![client()], reason, allow_reconnect: true };
    for (action, expected) in [
        (send(Target::All, call, except), "9400 9100 9400a3736179a35b315dc0 92 91C 91a3616e6e"),
        (
            send(Target::Group(group()), answered, Except::default()),
            "9400 9201a4726f6f6d 9400a3736179c4029101 92 92a161a162 a137 92 90 90",
        ),
        (
            send(Target::User(user()), encoded, Except::default()),
            "9400 9202a3616e6e 9201 92a46a736f6e c4037b7d1e 92 90 90",
        ),
        (
            send(Target::All, Outgoing::stream_item("s", json("1")), Except::default()),
            "9400 9100 9302a173a131 92 90 90",
        ),
        (
            send(Target::All, Outgoing::stream_end("s", Some("e".to_owned())), Except::default()),
            "9400 9100 9403a173c0a165 92 90 90",
        ),
        (join(Member::Connection(client()), None, None), "9501 9200C a4726f6f6d c0 c0"),
        (join(Member::User(user()), Some(300), Some(plugin())), "9501 9201a3616e6e a4726f6f6d cd012c a170"),
        (Action::Leave { member: Member::User(user()), group: group() }, "9302 9201a3616e6e a4726f6f6d"),
        (Action::LeaveAll(Member::Connection(client())), "9203 9200C"),
        (close(Some("bye".to_owned())), "9504 9100 91C a3627965 c3"),
        (close(None), "9504 9100 91C c0 c3"),
    ] {
        assert_order(Order::Act(action), &format!("9200{expected}"));
    }
}

#[test]
fn orders_between_clients_and_hub_servers_are_these_bytes() {
    let (from, message) = (SERVER, Bytes::from_static(b"m"));
    let invoke =
        |origin| ServerOrder::Invoke { from, origin: Box::new(origin), client: client(), message: message.clone() };
    let leaves = |leaving| ServerOrder::Leaves { server: SERVER, leaving };
    for (order, expected) in [
        (ServerOrder::Pass { to: SERVER, messages: message.clone() }, "9300 S c4016d"),
        (ServerOrder::PassToServer { first: SERVER, server: server(), message: message.clone() }, "9401 S a173 c4016d"),
        (ServerOrder::Says { from, to: client(), payload: message.clone(), data_type: Some(-2) }, "9502 S C c4016d fe"),
        (ServerOrder::Closes { from, client: client(), error: Some("e".into()) }, "9403 S C a165"),
        (leaves(Leaving::DropsClients), "9304 S 9100"),
        (leaves(Leaving::MovesClients), "9304 S 9101"),
        (leaves(Leaving::Lost(WhenLost::DropsClients)), "9304 S 9202 9100"),
        (leaves(Leaving::Lost(WhenLost::MovesClients)), "9304 S 9202 9101"),
        (ServerOrder::Congested { server: SERVER, is_congested: false }, "9305 S c2"),
        (invoke(Origin::HubServer(server())), "9506 S 9200a173 C c4016d"),
        (invoke(Origin::Plugin(plugin())), "9506 S 9201a170 C c4016d"),
        (invoke(Origin::Webhook), "9506 S 9102 C c4016d"),
        (invoke(Origin::Rest), "9506 S 9103 C c4016d"),
        (invoke(Origin::Management), "9506 S 9104 C c4016d"),
        (ServerOrder::Complete { client: client(), message: message.clone() }, "9307 C c4016d"),
        (ServerOrder::SaysTooMuch { from, to: client() }, "930a S C"),
        (ServerOrder::Opens { to: SERVER, client: client(), messages: message.clone() }, "9408 S C c4016d"),
        (ServerOrder::Ends { to: SERVER, client: client(), messages: message.clone() }, "9409 S C c4016d"),
    ] {
        assert_order(Order::Server(order), &format!("9201{expected}"));
    }
}

#[test]
fn questions_are_these_bytes() {
    let refresh = |user, end| {
        let refresh = Refresh { token: client(), claims: pairs(&[("a", "1")]), user, end };
        Question::Command(Command::Refresh(Box::new(refresh)))
    };
    let find = |sought| Question::Query(Query::Find(sought));
    let members = Query::Members { of: Target::All, after: Some(client()), most: 200 };
    for (question, expected) in [
        (find(Sought::ConnectionOf(Target::Connection(client()))), "9200 9200 9200 9203C"),
        (find(Sought::UserInGroup { user: user(), group: group() }), "9200 9200 9301 a3616e6e a4726f6f6d"),
        (Question::Query(Query::Facts(client())), "9200 9201C"),
        (Question::Query(Query::FactsByToken(client())), "9200 9202C"),
        (Question::Query(Query::Count(Target::All)), "9200 9203 9100"),
        (Question::Query(members), "9200 9404 9100 C ccc8"),
        (Question::Command(Command::Join { connection: client(), group: group() }), "9201 9300 C a4726f6f6d"),
        (Question::Command(Command::Leave { connection: client(), group: None }), "9201 9301 C c0"),
        (refresh(NewUser::InClaims, NewEnd::AsBefore), "9201 9202 94 C 92a161a131 9100 9100"),
        (refresh(NewUser::OfToken(Some(user())), NewEnd::At(5)), "9201 9202 94 C 92a161a131 9201a3616e6e 920105"),
        (Question::Barrier, "9102"),
        (Question::HandedOn, "9103"),
    ] {
        assert_order(Order::Ask { question, asker: AT, number: 9 }, &format!("9402 {expected} 920102 09"));
    }
}

#[test]
fn answers_are_these_bytes() {
    let room = Room { items: 1, bytes: 300 };
    let claimed = |claimed| Answer::Claimed(Box::new(claimed));
    let (id, early) = (client(), Bytes::from_static(b"{"));
    let first = Claimed::First { token: id, id, reconnect: Reconnect::Stateful, early };
    let known = "98 a463686174 C a3616e6e 9101 92a161a131 a3713d31 90 a33a3a31";
    for (answer, expected) in [
        (Answer::Found(true), "9200c3"),
        (Answer::Facts(None), "9201c0"),
        (Answer::Facts(Some(facts())), &*format!("9201 {known}")),
        (Answer::Count(70_000), "9202 ce00011170"),
        (Answer::Members(vec![(client(), Some(user())), (client(), None)]), "9203 92 92Ca3616e6e 92Cc0"),
        (Answer::Joined(Joined::Yes), "9204 9100"),
        (Answer::Joined(Joined::NoSuchConnection), "9204 9101"),
        (Answer::Joined(Joined::TooManyGroups), "9204 9102"),
        (Answer::Refreshed(Ok(facts())), &*format!("9205 9200 {known}")),
        (Answer::Refreshed(Err(RefreshRefusal::NoSuchConnection)), "9205 9201 9100"),
        (Answer::Refreshed(Err(RefreshRefusal::AnotherUser)), "9205 9201 9101"),
        (Answer::Refreshed(Err(RefreshRefusal::TooLarge)), "9205 9201 9102"),
        (Answer::InEffect, "9106"),
        (Answer::Stream(Ok(room)), "9207 9200 9201cd012c"),
        (Answer::Stream(Err(StreamError::NoSuchStream)), "9207 9201 9100"),
        (Answer::Stream(Err(StreamError::Full(room))), "9207 9201 9201 9201cd012c"),
        (Answer::Stream(Err(StreamError::TooLarge)), "9207 9201 9102"),
        (Answer::Stream(Err(StreamError::Invalid(Unsuited::Items))), "9207 9201 9203 9100"),
        (Answer::Stream(Err(StreamError::Invalid(Unsuited::Value))), "9207 9201 9203 9101"),
        (Answer::Kept(Ok(())), "9208 9200 90"),
        (Answer::Kept(Err(TooManyTokens)), "9208 9201 90"),
        (claimed(Ok(first)), "9209 9200 9500 C C 9101 c4017b"),
        (claimed(Ok(Claimed::Again { id: client() })), "9209 9200 9201C"),
        (claimed(Err(TokenRefusal::Unknown)), "9209 9201 9100"),
        (claimed(Err(TokenRefusal::InUse(Transport::WebSockets))), "9209 9201 9201 9100"),
        (claimed(Err(TokenRefusal::InUse(Transport::ServerSentEvents))), "9209 9201 9201 9101"),
        (claimed(Err(TokenRefusal::InUse(Transport::LongPolling))), "9209 9201 9201 9102"),
        (claimed(Err(TokenRefusal::NoRoom)), "9209 9201 9102"),
    ] {
        assert_order(Order::Answer { number: 9, answer }, &format!("9304 09 {expected}"));
    }
}

#[test]
fn what_concerns_connection_tokens_is_these_bytes() {
    let negotiated = Negotiated { id: client(), token: client(), reconnect: Reconnect::No };
    let claim = TokenClaim { token: client(), transport: Transport::WebSockets, holder: AT, has_room: true };
    for (command, expected) in
        [(TokenCommand::Keep(negotiated), "9200 93 C C 9100"), (TokenCommand::Claim(claim), "9201 94 C 9100 920102 c3")]
    {
        let order = Order::Token { command: Box::new(command), asker: AT, number: 9 };
        assert_order(order, &format!("9407 {expected} 920102 09"));
    }
    assert_order(Order::TokenOver { token: client() }, "9208 C");
}

#[test]
fn what_is_done_to_streams_is_these_bytes() {
    let stream = StreamId { connection: client(), number: 4 };
    for (does, expected) in [
        (StreamDeed::Push(vec![json("1"), messagepack(b"\xc0")]), "9200 92a131c401c0"),
        (StreamDeed::Finish(Finish::Void), "9201 9100"),
        (StreamDeed::Finish(Finish::Value(json("2"))), "9201 9201a132"),
        (StreamDeed::Finish(Finish::Rejected("no".to_owned())), "9201 9202a26e6f"),
        (StreamDeed::Finish(Finish::Failed("no".to_owned())), "9201 9203a26e6f"),
    ] {
        let command = Box::new(StreamCommand { stream, plugin: plugin(), does });
        let expected = format!("9403 93 92C04 a170 {expected} 920102 09");
        assert_order(Order::Stream { command, asker: AT, number: 9 }, &expected);
    }
}

#[test]
fn what_clients_are_asked_and_answer_is_these_bytes() {
    let (connection, origin) = (client(), Origin::Rest);
    let question = ClientQuestion { connection, caller: None, origin, method: "ask".to_owned(), arguments: json("[]") };
    let forwarded = ForwardedQuestion { question, within: Millis(300), asker: AT, number: 9 };
    assert_order(Order::AskClient(Box::new(forwarded)), "9205 94 95 C c0 9103 a361736b a25b5d cd012c 920102 09");
    for (answer, expected) in [
        (Ok(Some(json("1"))), "9200a131"),
        (Ok(None), "9200c0"),
        (Err(AskError::NoSuchConnection), "9201 9100"),
        (Err(AskError::Failed("no".to_owned())), "9201 9201a26e6f"),
        (Err(AskError::TimedOut), "9201 9102"),
        (Err(AskError::Left), "9201 9103"),
        (Err(AskError::Busy), "9201 9104"),
    ] {
        assert_order(Order::ClientAnswered { number: 9, answer: Box::new(answer) }, &format!("9306 09 {expected}"));
    }
}

#[test]
fn changes_are_these_bytes() {
    let stamp = Stamp { time: 9, node: NodeId(1) };
    let begins = |ends, plugin| DirectoryChange::MembershipBegins { user: user(), group: group(), ends, plugin, stamp };
    let connected =
        |reconnect, when_lost| DirectoryChange::ServerConnected { id: SERVER, server: server(), reconnect, when_lost };
    for (change, expected) in [
        (DirectoryChange::ClientsEntered(300), "9200cd012c"),
        (DirectoryChange::ClientsLeft(1), "920101"),
        (DirectoryChange::UserEntered { user: user(), shard: AT }, "9302 a3616e6e 920102"),
        (DirectoryChange::UserLeft { user: user(), shard: AT }, "9303 a3616e6e 920102"),
        (connected(Reconnect::No, WhenLost::MovesClients), "9504 S a173 9100 9101"),
        (connected(Reconnect::Stateful, WhenLost::DropsClients), "9504 S a173 9101 9100"),
        (DirectoryChange::SenderConnected { id: SERVER, server: server() }, "9305 S a173"),
        (DirectoryChange::ServerLeft(SERVER), "9206 S"),
        (DirectoryChange::ServerDrains(SERVER), "9207 S"),
        (DirectoryChange::ServerCongested { id: SERVER, is_congested: true }, "9308 S c3"),
        (DirectoryChange::ClientsRouted { to: SERVER, by: AT, clients: 5 }, "9409 S 920102 05"),
        (DirectoryChange::HubUsed(AT), "920a 920102"),
        (DirectoryChange::HubUnused(AT), "920b 920102"),
        (DirectoryChange::GroupWatched { plugin: plugin(), group: group() }, "930c a170 a4726f6f6d"),
        (DirectoryChange::GroupUnwatched { plugin: plugin(), group: group() }, "930d a170 a4726f6f6d"),
        (begins(Some(300), Some(plugin())), "960e a3616e6e a4726f6f6d cd012c a170 920901"),
        (begins(None, None), "960e a3616e6e a4726f6f6d c0 c0 920901"),
        (
            DirectoryChange::MembershipEnds { user: user(), group: Some(group()), stamp },
            "940f a3616e6e a4726f6f6d 920901",
        ),
        (DirectoryChange::MembershipEnds { user: user(), group: None, stamp }, "940f a3616e6e c0 920901"),
        (DirectoryChange::ConnectionMoved { id: client(), token: client(), to: AT }, "9410 C C 920102"),
        (DirectoryChange::ConnectionOver { id: client(), at: AT }, "9311 C 920102"),
    ] {
        assert_change(change, expected);
    }
}
