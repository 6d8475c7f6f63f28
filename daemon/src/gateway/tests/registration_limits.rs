//! Who changes a registration while it is being changed, and what happens when `service.max_users` is reached.

use spectrum2_config::Secret;

use super::*;
use crate::gateway::admin::{Account, Answer, Request as Wish};

/// Somebody's wish about Romeo's registration.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    HeRegisters,
    HeRemoves,
    HeAppears,
    AdminRegisters,
    AdminUnregisters,
    AdminErases,
}

impl Stage {
    fn change(&mut self, change: Change) {
        let admin = |wish| Event::Admin(Ticket(42), wish);
        let romeo: BareJid = "romeo@example.org".parse().expect("a bare JID");
        match change {
            Change::HeRegisters => {
                self.says(&submission(ROMEO, "<username>other</username><password>x</password>"));
            }
            Change::HeRemoves => self.says(&submission(ROMEO, "<remove/>")),
            Change::HeAppears => self.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>")),
            Change::AdminRegisters => {
                let account = Account {
                    legacy_name: "third".into(),
                    password: Secret::new("x".into()),
                    language: String::new(),
                };
                self.event(admin(Wish::RegisterUser(romeo, account)));
            }
            Change::AdminUnregisters => self.event(admin(Wish::UnregisterUser(romeo))),
            Change::AdminErases => self.event(admin(Wish::EraseUser(romeo))),
        }
    }

    /// What the database and the core say of Romeo's registration.
    fn legacy_names(&mut self) -> (Option<String>, Option<String>) {
        let romeo: BareJid = "romeo@example.org".parse().expect("a bare JID");
        let stored = self.database.get(&romeo).map(|user| user.registration.legacy_name.clone());
        self.answers.clear();
        self.event(Event::Admin(Ticket(43), Wish::GetUser(romeo)));
        let known = match self.answers.pop() {
            Some((_, Ok(Answer::User(user)))) => Some(user.line.legacy_name),
            _ => None,
        };
        (stored, known)
    }
}

fn submission(from: &str, inside: &str) -> String {
    format!(
        "<iq type='set' id='r' from='{from}' to='{GATEWAY}'><query xmlns='jabber:iq:register'>{inside}</query></iq>"
    )
}

#[test]
fn changes_of_one_registration_do_not_overlap_whoever_wants_them() {
    use Change::*;
    let all = [HeRegisters, HeRemoves, HeAppears, AdminRegisters, AdminUnregisters, AdminErases];
    for (is_registered, first, second) in [true, false]
        .into_iter()
        .flat_map(|known| all.into_iter().flat_map(move |first| all.map(|second| (known, first, second))))
    {
        let mut stage = Stage::with("\n[registration]\nauto_register=1\n", OURS);
        if is_registered {
            stage.registered("romeo@example.org", "romeo");
            // He is at hand.
            stage.change(HeAppears);
        } else {
            stage.event(Event::Admin(Ticket(1), Wish::GetUser("romeo@example.org".parse().expect("a JID"))));
        }
        stage.answers.clear();
        stage.stanzas.clear();

        stage.held = Some(Vec::new());
        stage.change(first);
        let under_way = stage.held.as_ref().is_some_and(|held| !held.is_empty());
        let before = stage.database.clone();
        let (answers, stanzas) = (stage.answers.len(), stage.stanzas.len());
        stage.change(second);
        let case = format!("{first:?} then {second:?}, registered: {is_registered}");
        let saves_only_presence = second == HeAppears || first == HeAppears;
        if under_way && !saves_only_presence {
            assert!(stage.database == before, "{case}: the second change is stored while the first one is");
            let refused = stage.answers.len() > answers || stage.stanzas.len() > stanzas;
            assert!(refused, "{case}: nobody was told");
        }
        for answer in stage.held.take().expect("answers are held") {
            stage.event(answer);
        }
        let (stored, known) = stage.legacy_names();
        assert_eq!(stored, known, "{case}");
    }
}

#[test]
fn past_max_users_nobody_registers_however_he_tries() {
    let mut stage = Stage::with("max_users=1\n[registration]\nauto_register=1\n", OURS);
    stage.registered("juliet@example.org", "juliet");
    stage.event(Event::Admin(Ticket(1), Wish::ListUsers { online: false }));
    let mut stage = {
        // The count is taken at the start.
        let database = std::mem::take(&mut stage.database);
        let mut again = Stage::unconnected("max_users=1\n[registration]\nauto_register=1\n", OURS);
        again.database = database;
        again.event(Event::XmppUp);
        again.event(Event::Tick);
        again.stanzas.clear();
        again
    };
    assert_eq!(stage.gateway.status().registered, 1);
    stage.change(Change::HeRegisters);
    let refusal =
        stage.stanzas.iter().find(|stanza| stanza.attr("type") == Some("error")).expect("a refusal");
    let xml = refusal.to_xml();
    assert!(xml.contains("resource-constraint") && xml.contains("No more users can register here"), "{xml}");

    stage.change(Change::AdminRegisters);
    let (_, refused) = stage.answers.pop().expect("an answer");
    assert!(refused.unwrap_err().to_string().starts_with("service.max_users=1 is reached. Raise it"));

    stage.stanzas.clear();
    stage.change(Change::HeAppears);
    assert!(stage.stanzas.iter().any(|stanza| stanza.to_xml().contains("No more users can register here")));
    assert_eq!(stage.database.len(), 1);

    // Who is registered may still change it, and with his place another gets one.
    let juliet = "juliet@example.org".parse().expect("a bare JID");
    stage.event(Event::Admin(Ticket(1), Wish::UnregisterUser(juliet)));
    stage.change(Change::HeRegisters);
    stage.change(Change::HeRegisters);
    assert_eq!(stage.legacy_names(), (Some("other".to_owned()), Some("other".to_owned())));
}

#[test]
fn who_is_being_registered_has_a_place_already() {
    let mut stage = Stage::with("max_users=1\n", OURS);
    stage.held = Some(Vec::new());
    stage.change(Change::HeRegisters);
    let fields = "<username>juliet</username><password>x</password>";
    stage.says(&submission("juliet@example.org/balcony", fields));
    for _ in 0..2 {
        for answer in stage.held.replace(Vec::new()).unwrap_or_default() {
            stage.event(answer);
        }
    }
    assert_eq!(stage.database.len(), 1);
}
