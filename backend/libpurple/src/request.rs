//! Questions: of strangers, who ask to see the user's presence, and of plugins, which ask for codes and decisions.
//!
//! Some the program decides. All others go to the user as messages of an *assistant*, a contact named like the network;
//! what the user writes to it is the answer.

use std::collections::{BTreeMap, VecDeque};

use spectrum2_backend_protocol::{Frame, StatusType};

use crate::html;
use crate::log;
use crate::purple::{Answer, Dialog, DialogId, Protocol};
use crate::session::Session;
use crate::settings::Settings;

/// Questions and requests of one user that may be open; more are refused.
const MAX_OPEN: usize = 100;

/// What is open for one user.
#[derive(Debug)]
pub struct Requests {
    assistant: String,
    announced: bool,
    questions: VecDeque<Question>,
    /// By normalised name of who asks.
    pub(crate) authorizations: BTreeMap<String, DialogId>,
}

#[derive(Debug)]
struct Question {
    id: DialogId,
    text: String,
    /// What can be answered; empty: any text.
    labels: Vec<String>,
}

impl Requests {
    /// Nothing is open.
    pub fn new(protocol: Protocol) -> Self {
        // COMPAT(Spectrum 2): the names of its assistants, which users may have among their contacts.
        let assistant = match protocol.id().as_str() {
            "prpl-hangouts" => "hangouts".to_owned(),
            "prpl-steam-mobile" => "steam-mobile".to_owned(),
            "prpl-eionrobb-discord" => "discord".to_owned(),
            "telegram-tdlib" => "telegram".to_owned(),
            "prpl-eionrobb-instagram" => "instagram".to_owned(),
            _ => protocol.name().to_lowercase().replace(' ', "-"),
        };
        Self { assistant, announced: false, questions: VecDeque::new(), authorizations: BTreeMap::new() }
    }

    /// The name under which the user is told what no contact said.
    pub fn assistant(&self) -> &str {
        &self.assistant
    }

    /// Whether a name is that of the assistant while it waits for an answer.
    pub fn is_assistant(&self, name: &str) -> bool {
        self.announced && name == self.assistant
    }
}

/// What to do with a question that no user need see.
pub fn decide(dialog: &Dialog, verify_certs: bool) -> Option<Answer<'_>> {
    match dialog {
        Dialog::Action { title, .. } => match title.as_str() {
            // Accept, Reject, …
            "SSL Certificate Verification" => Some(Answer::Index(usize::from(verify_certs))),
            // Yes, No: an option of the plugin allows it, not a click.
            "Plaintext Authentication" => Some(Answer::Index(1)),
            // Configure Room, Accept Defaults.
            "Create New Room" => Some(Answer::Index(1)),
            _ => None,
        },
        Dialog::Input { title, primary, value, .. } => match (title.as_str(), primary.as_str()) {
            // Asked when rooms are listed; the plugin knows the server's own ones, see [`conference_server`].
            ("Enter a Conference Server", _) if !value.is_empty() => Some(Answer::Text(value)),
            ("Enter a Conference Server", _) => Some(Answer::Cancel),
            (_, "Authorization Request Message:") | ("Xfire Invitation Message", "") => {
                Some(Answer::Text("Please authorize me."))
            }
            (_, "Authorization Denied Message:") => Some(Answer::Text("Authorization denied.")),
            _ => None,
        },
        Dialog::Choice { .. } => None,
        Dialog::Form { .. } => Some(Answer::Cancel),
    }
}

/// The plugin asks for a conference server before it has found one: then it is sought where most servers have it.
fn conference_server(dialog: Dialog, account: &str) -> Dialog {
    let domain = account.split('/').next().and_then(|bare| bare.rsplit('@').next()).unwrap_or_default();
    match dialog {
        Dialog::Input { title, primary, secondary, value }
            if title == "Enter a Conference Server" && value.is_empty() && !domain.is_empty() =>
        {
            Dialog::Input { title, primary, secondary, value: format!("conference.{domain}") }
        }
        other => other,
    }
}

impl Session {
    /// A stranger asks.
    pub fn authorization_requested(
        &mut self,
        settings: &Settings,
        who: &str,
        id: DialogId,
        out: &mut Vec<Frame>,
    ) {
        let name = self.account.normalize(who);
        let open = self.requests.authorizations.len();
        if open >= MAX_OPEN {
            log::warning(format_args!(
                "Too many authorisation requests are open for one user; one is ignored"
            ));
            return;
        }
        let blocked = settings.blocking && self.account.contact(&name).is_some_and(|contact| contact.blocked);
        if blocked {
            return id.answer(&Answer::Authorize(false));
        }
        self.requests.authorizations.insert(name.clone(), id);
        out.push(Frame::AuthRequest(self.buddy(self.contacts.name(&name))));
    }

    /// A plugin asks.
    pub fn asked(&mut self, settings: &Settings, id: DialogId, dialog: Dialog, out: &mut Vec<Frame>) {
        let dialog = conference_server(dialog, &self.account.name());
        if let Some(answer) = decide(&dialog, settings.verify_certs) {
            if let Dialog::Form { title, primary, secondary } = &dialog {
                let text = join(&[title.clone(), primary.clone(), secondary.clone()]);
                self.tell(format!("The network asks for a form, which cannot be shown here:\n{text}"), out);
            }
            return id.answer(&answer);
        }
        self.requests.questions.retain(|question| question.id.is_open());
        if self.requests.questions.len() >= MAX_OPEN {
            return id.answer(&Answer::Cancel);
        }
        let (text, labels) = match dialog {
            Dialog::Input { title, primary, secondary, .. } | Dialog::Form { title, primary, secondary } => {
                (join(&[title, primary, secondary]), Vec::new())
            }
            Dialog::Action { title, primary, secondary, labels }
            | Dialog::Choice { title, primary, secondary, labels } => (
                join(&[title, primary, secondary]),
                labels.iter().map(|label| label.replace('_', "")).collect(),
            ),
        };
        self.requests.questions.push_back(Question { id, text, labels });
        if self.requests.questions.len() == 1 {
            self.ask_next(out);
        }
    }

    /// Puts the oldest open question to the user.
    fn ask_next(&mut self, out: &mut Vec<Frame>) {
        self.requests.questions.retain(|question| question.id.is_open());
        let Some(Question { text, labels, .. }) = self.requests.questions.front() else { return };
        let mut text = text.clone();
        for (place, label) in labels.iter().enumerate() {
            text += &format!("\n{}: {label}", place + 1);
        }
        if !self.requests.announced {
            self.requests.announced = true;
            let mut buddy = self.buddy(self.requests.assistant());
            buddy.status = Some(StatusType::Online.into());
            out.push(Frame::BuddyChanged(buddy));
        }
        self.tell(text, out);
    }

    /// The user wrote to the assistant.
    pub fn answer_question(&mut self, text: &str, out: &mut Vec<Frame>) {
        self.requests.questions.retain(|question| question.id.is_open());
        let Some(question) = self.requests.questions.front() else {
            return self.tell("Nothing is being asked.".to_owned(), out);
        };
        let text = text.trim();
        let answer = if question.labels.is_empty() {
            Some(Answer::Text(text))
        } else {
            place_of(text, &question.labels).map(Answer::Index)
        };
        let Some(answer) = answer else {
            return self.tell(format!("Write a number from 1 to {}.", question.labels.len()), out);
        };
        let id = question.id;
        self.requests.questions.pop_front();
        id.answer(&answer);
        self.ask_next(out);
    }
}

/// Which label a text names, by number or by word.
fn place_of(text: &str, labels: &[String]) -> Option<usize> {
    let number = text.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let word = || labels.iter().position(|label| label.eq_ignore_ascii_case(text));
    number.filter(|place| *place < labels.len()).or_else(word)
}

/// The parts of a dialog that are there, one a line, as plain text.
fn join(parts: &[String]) -> String {
    let parts = parts.iter().map(|part| html::from_network(part).plain).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(title: &str) -> Dialog {
        let labels = vec!["Accept".to_owned(), "Reject".to_owned()];
        Dialog::Action { title: title.to_owned(), primary: String::new(), secondary: String::new(), labels }
    }

    #[test]
    fn a_bad_certificate_is_rejected_unless_the_administrator_wants_it() {
        let dialog = action("SSL Certificate Verification");
        assert!(matches!(decide(&dialog, true), Some(Answer::Index(1))));
        assert!(matches!(decide(&dialog, false), Some(Answer::Index(0))));
    }

    #[test]
    fn passwords_are_not_sent_in_clear_by_a_dialog() {
        assert!(matches!(decide(&action("Plaintext Authentication"), false), Some(Answer::Index(1))));
    }

    #[test]
    fn rooms_are_sought_at_the_server_of_the_account() {
        let question = |value: &str| Dialog::Input {
            title: "Enter a Conference Server".to_owned(),
            primary: String::new(),
            secondary: String::new(),
            value: value.to_owned(),
        };
        let guessed = conference_server(question(""), "romeo@example.net/pidgin");
        assert!(matches!(decide(&guessed, true), Some(Answer::Text("conference.example.net"))));
        let known = conference_server(question("rooms.example.net"), "romeo@example.net");
        assert!(matches!(decide(&known, true), Some(Answer::Text("rooms.example.net"))));
    }

    #[test]
    fn what_is_not_known_is_for_the_user() {
        assert!(decide(&action("Pair this device?"), true).is_none());
    }

    #[test]
    fn answers_are_numbers_or_words() {
        let labels = ["Yes".to_owned(), "No".to_owned()];
        assert_eq!(place_of("2", &labels), Some(1));
        assert_eq!(place_of("yes", &labels), Some(0));
        assert_eq!(place_of("0", &labels), None);
        assert_eq!(place_of("3", &labels), None);
    }
}
