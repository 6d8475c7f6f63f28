//! XEP-0050: Ad-Hoc Commands.

use crate::element::Element;
use crate::ns;
use crate::stanza::{Condition, ErrorType};
use crate::xep_0004::Form;

/// What the requester wants of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin, or do what comes next by itself.
    Execute,
    /// Go on to the next form.
    Next,
    /// Go back to the form before.
    Prev,
    /// Take what is filled in and be done.
    Complete,
    /// Give up.
    Cancel,
}

/// A request to execute a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which command.
    pub node: String,
    /// The execution that it belongs to; none at the beginning.
    pub session: Option<String>,
    /// What to do.
    pub action: Action,
    /// What the requester filled in.
    pub form: Option<Form>,
}

impl Request {
    /// Reads a `<command/>`.
    ///
    /// # Errors
    /// If the action is none.
    pub fn read(command: &Element) -> Result<Self, Fault> {
        let action = match command.attr("action") {
            // §4.2: "execute" is the default.
            None | Some("execute") => Action::Execute,
            Some("next") => Action::Next,
            Some("prev") => Action::Prev,
            Some("complete") => Action::Complete,
            Some("cancel") => Action::Cancel,
            Some(_) => return Err(Fault::MalformedAction),
        };
        Ok(Self {
            node: command.attr("node").unwrap_or_default().to_owned(),
            session: command.attr("sessionid").map(str::to_owned),
            action,
            form: Form::find(command),
        })
    }
}

/// How far the execution has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A form is to be filled in.
    Executing,
    /// Done.
    Completed,
    /// Given up.
    Canceled,
}

/// An answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Which command.
    pub node: String,
    /// The execution.
    pub session: String,
    /// How far it has come.
    pub status: Status,
    /// What is to be filled in, or the result.
    pub form: Option<Form>,
    /// Something to be said: whether it is an error, and the words.
    pub note: Option<(bool, String)>,
}

impl Response {
    /// The `<command/>` that says so.
    pub fn element(&self) -> Element {
        let status = match self.status {
            Status::Executing => "executing",
            Status::Completed => "completed",
            Status::Canceled => "canceled",
        };
        // §3.4: a command of one form can only be completed (or canceled, which needs no saying).
        let actions = (self.status == Status::Executing).then(|| {
            Element::new("actions", ns::COMMANDS)
                .with("execute", "complete")
                .child(Element::new("complete", ns::COMMANDS))
        });
        let note = self.note.as_ref().map(|(error, text)| {
            Element::new("note", ns::COMMANDS)
                .with("type", if *error { "error" } else { "info" })
                .text(text.as_str())
        });
        Element::new("command", ns::COMMANDS)
            .with("node", self.node.as_str())
            .with("sessionid", self.session.as_str())
            .with("status", status)
            .children_from(actions)
            .children_from(self.form.as_ref().map(Form::element))
            .children_from(note)
    }
}

/// What is wrong with a request (§4.5); goes into the error beside the general condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such action.
    MalformedAction,
    /// The action is not possible now.
    BadAction,
    /// The form is missing or does not fit.
    BadPayload,
    /// There is no such execution.
    BadSessionId,
    /// The execution is over: it took too long, or it was finished.
    SessionExpired,
}

impl Fault {
    /// Its element.
    pub fn element(self) -> Element {
        let name = match self {
            Self::MalformedAction => "malformed-action",
            Self::BadAction => "bad-action",
            Self::BadPayload => "bad-payload",
            Self::BadSessionId => "bad-sessionid",
            Self::SessionExpired => "session-expired",
        };
        Element::new(name, ns::COMMANDS)
    }

    /// The general condition that goes with it (§4.5).
    pub fn condition(self) -> (ErrorType, Condition) {
        match self {
            Self::SessionExpired => (ErrorType::Cancel, Condition::NotAllowed),
            _ => (ErrorType::Modify, Condition::BadRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xep_0004::{Field, FormType};

    #[test]
    fn requests_are_read() {
        let read = |xml: &str| Request::read(&Element::parse(xml).unwrap());
        let request = read("<command xmlns='http://jabber.org/protocol/commands' node='settings'/>").unwrap();
        assert_eq!(
            (request.node.as_str(), request.action, request.session),
            ("settings", Action::Execute, None)
        );
        let request = read(
            "<command xmlns='http://jabber.org/protocol/commands' node='n' sessionid='1' action='complete'>\
             <x xmlns='jabber:x:data' type='submit'/></command>",
        )
        .unwrap();
        assert_eq!((request.action, request.session.as_deref()), (Action::Complete, Some("1")));
        assert!(request.form.is_some());
        assert_eq!(
            read("<command xmlns='http://jabber.org/protocol/commands' node='n' action='odd'/>"),
            Err(Fault::MalformedAction)
        );
    }

    #[test]
    fn a_form_comes_with_what_can_be_done_with_it() {
        let response = Response {
            node: "settings".to_owned(),
            session: "1".to_owned(),
            status: Status::Executing,
            form: Some(Form::new(FormType::Form).field(Field::boolean("a", true))),
            note: None,
        };
        assert_eq!(
            response.element().to_xml(),
            "<command xmlns='http://jabber.org/protocol/commands' node='settings' sessionid='1' status='executing'>\
             <actions execute='complete'><complete/></actions>\
             <x xmlns='jabber:x:data' type='form'><field type='boolean' var='a'><value>1</value></field></x></command>"
        );
    }
}
