//! Questions to clients: an application calls a method of one client, and has its result.
//!
//! Source: Azure SignalR Service, "Data plane REST API", version 2024-12-01: invoke a connection. How long the service waits, and what it says
//! of a client that fails, is not documented.

use std::time::Duration;

use hubgate_core::filter::Origin;
use hubgate_core::id::ConnectionId;
use hubgate_core::question::{AskError, ClientAnswer, ClientQuestion};
use hubgate_wire::payload::Payload;

use super::message::Call;
use super::operation::Done;
use crate::questions::HubAccess;
use crate::refusal::{Absent, Refusal};

/// The code of the error where a client has no result.
pub(super) const FAILED: &str = "InvocationFailed";

/// How long a client may take to answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// Calls a method of a client.
pub(super) async fn invoke(
    access: &HubAccess<'_>,
    connection: Option<ConnectionId>,
    call: Call,
) -> Result<Done, Refusal> {
    let connection = connection.ok_or(Refusal::Absent(Absent::Connection))?;
    let Call { target: method, arguments } = call;
    let question = ClientQuestion { connection, caller: None, origin: Origin::Rest, method, arguments };
    outcome(access.ask_client(question, LONGEST_ANSWER).await?)
}

fn outcome(answer: ClientAnswer) -> Result<Done, Refusal> {
    Ok(match answer {
        Ok(result) => Done::Answered(result),
        Err(AskError::NoSuchConnection) => return Err(Refusal::Absent(Absent::Connection)),
        Err(AskError::Failed(error)) => Done::Unanswered(error),
        Err(AskError::TimedOut) => {
            Done::Unanswered(format!("The client did not answer within {} s.", LONGEST_ANSWER.as_secs()))
        }
        Err(AskError::Left) => Done::Unanswered("The client left before it answered.".to_owned()),
        Err(AskError::Busy) => {
            Done::Unanswered("Too much that this client was asked waits for its answer; try again later.".to_owned())
        }
    })
}

/// What the caller gets; a method without a result has none.
pub(super) fn body(result: Option<&Payload>) -> String {
    result.map_or_else(|| "{}".to_owned(), |result| format!("{{\"result\":{}}}", result.borrow().to_json()))
}

#[cfg(test)]
mod tests {
    use hubgate_wire::payload::{JsonText, MessagePackValue};

    use super::*;

    #[test]
    fn a_result_is_json_whatever_the_client_speaks() {
        let json = Payload::Json(JsonText::parse("[1.50,null]").expect("it is JSON"));
        let messagepack = MessagePackValue::parse(&b"\x81\xa3sum\x92\x2a\xa1a"[..]).expect("it is MessagePack");
        for (result, text) in [
            (None, "{}"),
            (Some(json), r#"{"result":[1.50,null]}"#),
            (Some(Payload::MessagePack(messagepack)), r#"{"result":{"sum":[42,"a"]}}"#),
        ] {
            assert_eq!(body(result.as_ref()), text);
        }
    }

    #[test]
    fn each_way_to_have_no_answer_is_told() {
        for (error, text) in [
            (AskError::Failed("I cannot.".to_owned()), "I cannot."),
            (AskError::TimedOut, "The client did not answer within 30 s."),
            (AskError::Left, "The client left"),
            (AskError::Busy, "try again later"),
        ] {
            let told = outcome(Err(error));
            assert!(matches!(&told, Ok(Done::Unanswered(why)) if why.contains(text)), "{told:?}");
        }
        assert!(matches!(outcome(Err(AskError::NoSuchConnection)), Err(Refusal::Absent(Absent::Connection))));
    }
}
