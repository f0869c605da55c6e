//! What the clients of a script answer when they are asked.

use hubgate_core::question::{AskError, ClientAnswer, ClientQuestion};
use hubgate_wire::payload::{JsonText, Payload};

use super::forms::name_of;
use super::script::AskedForm;
use super::values::Content;

/// In the order of the script; the last answer of a client and a method is given again.
#[derive(Debug)]
pub(super) struct Asks(Vec<Canned>);

#[derive(Debug)]
struct Canned {
    form: AskedForm,
    is_given: bool,
}

impl Asks {
    pub(super) fn new(forms: impl Iterator<Item = AskedForm>) -> Asks {
        Asks(forms.map(|form| Canned { form, is_given: false }).collect())
    }

    pub(super) fn answer(&mut self, question: &ClientQuestion) -> ClientAnswer {
        let (client, method) = (name_of(question.connection.as_str()), &question.method);
        let is_asked = |canned: &&mut Canned| {
            canned.form.method == *method && canned.form.client.as_ref().is_none_or(|name| *name == client)
        };
        let mut asked: Vec<&mut Canned> = self.0.iter_mut().filter(is_asked).collect();
        let next = asked.iter().position(|canned| !canned.is_given).unwrap_or(asked.len().saturating_sub(1));
        let Some(canned) = asked.get_mut(next) else {
            return Err(AskError::Failed(format!("the script has no [[ask]] for {method} of {client}")));
        };
        canned.is_given = true;
        match canned.form.error.as_deref() {
            Some("timed-out") => Err(AskError::TimedOut),
            Some("left") => Err(AskError::Left),
            Some("busy") => Err(AskError::Busy),
            Some(text) => Err(AskError::Failed(text.to_owned())),
            None => canned.form.answer().map_err(AskError::Failed),
        }
    }
}

impl AskedForm {
    fn answer(&self) -> Result<Option<Payload>, String> {
        let answer = Content::read("answer", self.answer.as_ref(), self.answer_json.as_deref())?;
        let text = answer.map(|answer| JsonText::parse_text(answer.to_text())).transpose();
        Ok(text.map_err(|error| format!("`answer` {error}"))?.map(Payload::Json))
    }

    /// The error says what of it cannot be.
    pub(super) fn check(&self) -> Result<(), String> {
        match (self.answer()?, &self.error) {
            (Some(_), Some(_)) => Err("an `error` comes in place of an `answer`".to_owned()),
            _ => Ok(()),
        }
    }
}
