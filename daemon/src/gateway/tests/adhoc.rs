//! Ad-hoc commands.

use spectrum2_xmpp::xep_0004::Form;

use super::*;

const ESCALUS: &str = "escalus@verona.example/palace";
const PREFIX: &str = "http://jabber.org/protocol/admin#";

/// The prince of Verona is the admin.
fn verona() -> Stage {
    Stage::with("admin_jid=escalus@verona.example\n", OURS)
}

impl Stage {
    fn execute(&mut self, from: &str, node: &str, rest: &str, content: &str) -> Element {
        self.stanzas.clear();
        self.says(&format!(
            "<iq type='set' from='{from}' to='{GATEWAY}' id='c'><command xmlns='{}' node='{node}' {rest}>{content}</command></iq>",
            ns::COMMANDS
        ));
        self.stanza(iq("c"))
    }

    /// Fills in the form that a command begins with.
    pub(super) fn fill_in(&mut self, from: &str, node: &str, fields: &[(&str, &str)]) -> Element {
        let form = self.execute(from, node, "", "");
        let session = command(&form).attr("sessionid").expect("a session").to_owned();
        let fields: String = fields
            .iter()
            .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
            .collect();
        let content = format!("<x xmlns='{}' type='submit'>{fields}</x>", ns::DATA);
        self.execute(from, node, &format!("sessionid='{session}' action='complete'"), &content)
    }

    /// The nodes of the commands that somebody is shown.
    fn commands_of(&mut self, from: &str) -> Vec<String> {
        self.stanzas.clear();
        self.says(&format!(
            "<iq type='get' from='{from}' to='{GATEWAY}' id='d'><query xmlns='{}' node='{}'/></iq>",
            ns::DISCO_ITEMS,
            ns::COMMANDS
        ));
        let answer = self.stanza(iq("d"));
        let query = answer.find("query", ns::DISCO_ITEMS).expect("items");
        query.elements().filter_map(|item| item.attr("node")).map(str::to_owned).collect()
    }
}

fn command(iq: &Element) -> &Element {
    iq.find("command", ns::COMMANDS).unwrap_or_else(|| panic!("no command in {}", iq.to_xml()))
}

fn status(iq: &Element) -> Option<&str> {
    command(iq).attr("status")
}

/// The condition of XEP-0050 §4.5.
fn fault(iq: &Element) -> &str {
    let error = iq.find_same("error").unwrap_or_else(|| panic!("no error in {}", iq.to_xml()));
    let own = error.elements().find(|child| child.ns() == ns::COMMANDS);
    own.map(Element::name).unwrap_or_default()
}

fn form(iq: &Element) -> Form {
    Form::find(command(iq)).unwrap_or_else(|| panic!("no form in {}", iq.to_xml()))
}

fn note(iq: &Element) -> String {
    command(iq).child_text("note", ns::COMMANDS).unwrap_or_default().into_owned()
}

#[test]
fn everybody_sees_what_he_may_do() {
    let mut stage = verona();
    assert!(stage.commands_of(ROMEO).is_empty());
    // By then it is forgotten that he was a stranger.
    stage.wait(90);
    stage.romeo_online();
    assert_eq!(stage.commands_of(ROMEO), ["settings"]);
    let admins = stage.commands_of(ESCALUS);
    assert_eq!(admins.len(), 7);
    assert!(admins.iter().all(|node| node.starts_with(PREFIX)));
    let mut info = |from: &str, node: &str| {
        stage.says(&format!(
            "<iq type='get' from='{from}' to='{GATEWAY}' id='i'><query xmlns='{}' node='{node}'/></iq>",
            ns::DISCO_INFO
        ));
        stage.stanza(iq("i"))
    };
    let settings = info(ROMEO, "settings");
    let identity =
        settings.find("query", ns::DISCO_INFO).and_then(|q| q.elements().next()).expect("an identity");
    // Quirk 5.
    assert_eq!(
        (identity.attr("type"), identity.attr("name")),
        (Some("command-node"), Some("Transport settings"))
    );
    assert_eq!(condition(&info(ROMEO, "http://jabber.org/protocol/admin#add-user")), Some("forbidden"));
    let list = info(ROMEO, ns::COMMANDS);
    let identity = list.find("query", ns::DISCO_INFO).and_then(|q| q.elements().next()).expect("an identity");
    assert_eq!(identity.attr("type"), Some("command-list"));
    assert_eq!(condition(&info(ROMEO, "nonsense")), Some("item-not-found"));
}

#[test]
fn settings_are_shown_changed_and_stored_as_numbers() {
    let mut stage = verona();
    stage.romeo_online();
    let asked = stage.execute(ROMEO, "settings", "", "");
    assert_eq!(status(&asked), Some("executing"));
    assert!(command(&asked).find("actions", ns::COMMANDS).is_some());
    let shown = form(&asked);
    let shown: Vec<_> = shown.fields.iter().map(|f| (f.var.as_str(), f.values[0].as_str())).collect();
    assert_eq!(shown, [("enable_transport", "1"), ("send_headlines", "0"), ("stay_connected", "0")]);
    let done = stage.fill_in(ROMEO, "settings", &[("stay_connected", "true"), ("enable_transport", "1")]);
    assert_eq!(status(&done), Some("completed"));
    // Quirk 21.
    let stored = &stage.database[&"romeo@example.org".parse::<BareJid>().expect("a JID")].settings;
    assert_eq!(*stored, [("stay_connected".to_owned(), "1".to_owned())]);
    stage.frames.clear();
    stage.says(&format!("<presence type='unavailable' from='{ROMEO}' to='{GATEWAY}'/>"));
    assert!(!stage.frames.iter().any(|(_, frame)| matches!(frame, Frame::Logout(_))), "it works at once");
}

#[test]
fn a_setting_is_on_or_off() {
    let mut stage = verona();
    stage.romeo_online();
    let refused = stage.fill_in(ROMEO, "settings", &[("stay_connected", "maybe")]);
    assert_eq!(condition(&refused), Some("bad-request"));
    assert!(
        refused.find_same("error").is_some_and(|error| error.find("bad-payload", ns::COMMANDS).is_some())
    );
}

#[test]
fn strangers_have_no_settings() {
    let mut stage = verona();
    assert_eq!(condition(&stage.execute(ROMEO, "settings", "", "")), Some("registration-required"));
    let add = format!("{PREFIX}add-user");
    assert_eq!(condition(&stage.execute(ROMEO, &add, "", "")), Some("forbidden"));
    assert_eq!(condition(&stage.execute(ROMEO, "nonsense", "", "")), Some("item-not-found"));
    assert_eq!(condition(&stage.execute(ESCALUS, &add, "action='dance'", "")), Some("bad-request"));
    stage.says(&format!(
        "<iq type='get' from='{ROMEO}' to='{GATEWAY}' id='g'><command xmlns='{}' node='settings'/></iq>",
        ns::COMMANDS
    ));
    assert_eq!(condition(&stage.stanza(iq("g"))), Some("not-allowed"));
}

#[test]
fn executions_can_be_given_up_and_end_by_themselves() {
    let mut stage = verona();
    stage.romeo_online();
    let session = |iq: &Element| command(iq).attr("sessionid").expect("a session").to_owned();
    let first = session(&stage.execute(ROMEO, "settings", "", ""));
    let cancel = format!("sessionid='{first}' action='cancel'");
    assert_eq!(status(&stage.execute(ROMEO, "settings", &cancel, "")), Some("canceled"));
    let over = stage.execute(ROMEO, "settings", &cancel, "");
    assert_eq!((condition(&over), fault(&over)), (Some("not-allowed"), "session-expired"));
    let second = session(&stage.execute(ROMEO, "settings", "", ""));
    let cancel = format!("sessionid='{second}' action='cancel'");
    let thief = stage.execute("romeo@example.org/balcony", "settings", &cancel, "");
    assert_eq!(fault(&thief), "bad-sessionid", "it is that of another client");
    let other = stage.execute(ESCALUS, &format!("{PREFIX}add-user"), &cancel, "");
    assert_eq!(fault(&other), "bad-sessionid", "it is that of another command");
    let never = stage.execute(ROMEO, "settings", "sessionid='verona' action='cancel'", "");
    assert_eq!((condition(&never), fault(&never)), (Some("bad-request"), "bad-sessionid"));
    stage.wait(599);
    let prev = format!("sessionid='{second}' action='prev'");
    let refused = stage.execute(ROMEO, "settings", &prev, "");
    assert_eq!(fault(&refused), "bad-action");
    stage.wait(2);
    let late = stage.execute(ROMEO, "settings", &cancel, "");
    assert_eq!((condition(&late), fault(&late)), (Some("not-allowed"), "session-expired"));
    for action in ["next", "prev", "complete", "cancel"] {
        let refused = stage.execute(ROMEO, "settings", &format!("action='{action}'"), "");
        assert_eq!(fault(&refused), "bad-action", "nothing is begun that could be gone on with: {action}");
    }
}

/// A client of one person may have two forms open; each is filled in for itself.
#[test]
fn several_executions_do_not_disturb_each_other() {
    let mut stage = verona();
    let add = format!("{PREFIX}add-user");
    let session = |iq: &Element| command(iq).attr("sessionid").expect("a session").to_owned();
    let first = session(&stage.execute(ESCALUS, &add, "", ""));
    let second = session(&stage.execute(ESCALUS, &add, "", ""));
    assert_ne!(first, second);
    let filled_in = |name: &str| {
        let fields = [
            ("accountjid", format!("{name}@example.org")),
            ("legacy_name", name.to_owned()),
            ("password", "x".into()),
        ];
        let fields: String = fields
            .iter()
            .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
            .collect();
        format!("<x xmlns='{}' type='submit'>{fields}</x>", ns::DATA)
    };
    for (session, name) in [(&second, "romeo"), (&first, "juliet")] {
        let done = stage.execute(ESCALUS, &add, &format!("sessionid='{session}'"), &filled_in(name));
        assert_eq!((status(&done), note(&done).as_str()), (Some("completed"), "Done."));
    }
    assert_eq!(stage.database.len(), 2);
}

#[test]
fn a_form_that_is_none_is_refused_and_the_right_one_is_still_taken() {
    let mut stage = verona();
    stage.romeo_online();
    let begun = stage.execute(ROMEO, "settings", "", "");
    let rest =
        format!("sessionid='{}' action='complete'", command(&begun).attr("sessionid").expect("a session"));
    for wrong in [
        "",
        "<x xmlns='jabber:x:data'/>",
        "<x xmlns='jabber:x:data' type='form'/>",
        "<x xmlns='jabber:x:data' type='result'/>",
    ] {
        let refused = stage.execute(ROMEO, "settings", &rest, wrong);
        assert_eq!((condition(&refused), fault(&refused)), (Some("bad-request"), "bad-payload"), "{wrong}");
    }
    let right = "<x xmlns='jabber:x:data' type='submit'/>";
    assert_eq!(status(&stage.execute(ROMEO, "settings", &rest, right)), Some("completed"));

    // XEP-0004 §3.1: a form of type "cancel" gives up.
    let begun = stage.execute(ROMEO, "settings", "", "");
    let rest = format!("sessionid='{}'", command(&begun).attr("sessionid").expect("a session"));
    let given_up = stage.execute(ROMEO, "settings", &rest, "<x xmlns='jabber:x:data' type='cancel'/>");
    assert_eq!(status(&given_up), Some("canceled"));
    assert_eq!(fault(&stage.execute(ROMEO, "settings", &rest, right)), "session-expired");
}

/// XEP-0133 §4: which fields there are, and of which type.
#[test]
fn forms_are_those_of_the_standard() {
    let mut stage = verona();
    for (name, fields) in [
        (
            "add-user",
            &[
                ("accountjid", "jid-single"),
                ("legacy_name", "text-single"),
                ("password", "text-private"),
                ("password-verify", "text-private"),
            ][..],
        ),
        ("delete-user", &[("accountjids", "jid-multi")]),
        ("end-user-session", &[("accountjids", "jid-multi")]),
        ("get-registered-users-list", &[("max_items", "list-single")]),
        ("get-online-users-list", &[("max_items", "list-single")]),
    ] {
        let asked = stage.execute(ESCALUS, &format!("{PREFIX}{name}"), "", "");
        assert_eq!(status(&asked), Some("executing"), "{name}");
        let x = command(&asked).find("x", ns::DATA).expect("a form");
        assert_eq!(x.attr("type"), Some("form"));
        assert_eq!(form(&asked).value("FORM_TYPE"), Some(ns::ADMIN));
        let there: Vec<_> = x
            .elements()
            .filter(|field| field.name() == "field")
            .map(|field| (field.attr("var").unwrap_or_default(), field.attr("type").unwrap_or_default()))
            .collect();
        assert_eq!(there.split_first(), Some((&("FORM_TYPE", "hidden"), fields)), "{name}");
    }
    for (name, field) in
        [("get-registered-users-num", "registeredusersnum"), ("get-online-users-num", "onlineusersnum")]
    {
        let told = stage.execute(ESCALUS, &format!("{PREFIX}{name}"), "", "");
        assert_eq!(status(&told), Some("completed"), "{name}");
        assert_eq!(form(&told).value("FORM_TYPE"), Some(ns::ADMIN));
        assert_eq!(form(&told).value(field), Some("0"), "{name}");
    }
}

#[test]
fn what_makes_no_sense_in_a_form_is_refused() {
    let mut stage = verona();
    let long: Vec<_> = (0..21).map(|n| format!("u{n}@example.org")).collect();
    let mut refused = |name: &str, var: &str, values: &[&str]| {
        let node = format!("{PREFIX}{name}");
        let begun = stage.execute(ESCALUS, &node, "", "");
        let rest = format!("sessionid='{}'", command(&begun).attr("sessionid").expect("a session"));
        let values: String = values.iter().map(|value| format!("<value>{value}</value>")).collect();
        let content =
            format!("<x xmlns='{}' type='submit'><field var='{var}'>{values}</field></x>", ns::DATA);
        fault(&stage.execute(ESCALUS, &node, &rest, &content)).to_owned()
    };
    for length in ["many", "-1", "1.5"] {
        assert_eq!(refused("get-registered-users-list", "max_items", &[length]), "bad-payload", "{length}");
        assert_eq!(refused("get-online-users-list", "max_items", &[length]), "bad-payload", "{length}");
    }
    assert_eq!(refused("delete-user", "accountjids", &[]), "bad-payload");
    assert_eq!(refused("delete-user", "accountjids", &["romeo@example.org", "@"]), "bad-payload");
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    assert_eq!(refused("end-user-session", "accountjids", &long), "bad-payload");
    assert_eq!(refused("add-user", "accountjid", &["romeo@example.org"]), "bad-payload");
    assert_eq!(refused("add-user", "FORM_TYPE", &["jabber:iq:register"]), "bad-payload");
}

#[test]
fn a_user_who_is_named_twice_is_deleted_once() {
    let mut stage = verona();
    stage.registered("juliet@example.org", "capulet");
    let node = format!("{PREFIX}delete-user");
    let begun = stage.execute(ESCALUS, &node, "", "");
    let rest = format!("sessionid='{}'", command(&begun).attr("sessionid").expect("a session"));
    let content = format!(
        "<x xmlns='{}' type='submit'><field var='accountjids'><value>juliet@example.org</value>\
         <value>Juliet@example.org/balcony</value></field></x>",
        ns::DATA
    );
    assert_eq!(note(&stage.execute(ESCALUS, &node, &rest, &content)), "Done.");
}

/// What an admin typed waits for the database without the password, beside the one place that guards it.
#[test]
fn a_password_that_was_filled_in_cannot_be_printed() {
    let mut stage = verona();
    let node = format!("{PREFIX}add-user");
    let begun = stage.execute(ESCALUS, &node, "", "");
    let session = command(&begun).attr("sessionid").expect("a session").to_owned();
    let content = format!(
        "<command xmlns='{}' node='{node}' sessionid='{session}'><x xmlns='{}' type='submit'>\
         <field var='accountjid'><value>juliet@example.org</value></field>\
         <field var='legacy_name'><value>capulet</value></field>\
         <field var='password'><value>wherefore</value></field></x></command>",
        ns::COMMANDS,
        ns::DATA
    );
    let iq = format!(
        "<iq xmlns='{}' type='set' from='{ESCALUS}' to='{GATEWAY}' id='c'>{content}</iq>",
        ns::CLIENT
    );
    let mut actions = Vec::new();
    let iq = Element::parse(&iq).expect("well-formed");
    stage.gateway.handle(stage.now, Event::Stanza(iq), &mut actions);
    assert!(actions.iter().any(|action| matches!(action, Action::Store(..))), "it waits: {actions:?}");
    let juliet = "juliet@example.org".parse::<BareJid>().expect("a JID");
    let state = format!("{:?}", stage.gateway.users[&juliet].early);
    assert!(state.contains("capulet") && !state.contains("wherefore"), "the password can be printed");
}

#[test]
fn who_begins_again_and_again_loses_his_oldest() {
    let mut stage = verona();
    stage.romeo_online();
    let mut sessions = Vec::new();
    for _ in 0..6 {
        stage.wait(1);
        let begun = stage.execute(ROMEO, "settings", "", "");
        sessions.push(command(&begun).attr("sessionid").expect("a session").to_owned());
    }
    let mut cancel = |session: &str| {
        let rest = format!("sessionid='{session}' action='cancel'");
        stage.execute(ROMEO, "settings", &rest, "").attr("type").map(str::to_owned)
    };
    assert_eq!(cancel(&sessions[0]).as_deref(), Some("error"));
    assert_eq!(cancel(&sessions[1]).as_deref(), Some("result"));
}

#[test]
fn an_admin_counts_and_lists() {
    let mut stage = verona();
    stage.says(&format!(
        "<iq type='set' from='{ROMEO}' to='{GATEWAY}' id='r'><query xmlns='{}'><username>romeo</username>\
         <password>x</password></query></iq>",
        ns::REGISTER
    ));
    stage.registered("juliet@example.org", "capulet");
    let registered = stage.execute(ESCALUS, &format!("{PREFIX}get-registered-users-num"), "", "");
    assert_eq!(form(&registered).value("registeredusersnum"), Some("1"));
    let online = stage.execute(ESCALUS, &format!("{PREFIX}get-online-users-num"), "", "");
    assert_eq!(form(&online).value("onlineusersnum"), Some("0"));
    let list =
        stage.fill_in(ESCALUS, &format!("{PREFIX}get-registered-users-list"), &[("max_items", "none")]);
    let field = form(&list).fields.into_iter().find(|f| f.var == "registereduserjids").expect("the list");
    assert_eq!(field.values, ["juliet@example.org", "romeo@example.org"]);
    let list = stage.fill_in(ESCALUS, &format!("{PREFIX}get-registered-users-list"), &[("max_items", "1")]);
    assert_eq!(form(&list).value("registereduserjids"), Some("juliet@example.org"));
    assert_eq!(note(&list), "These are 1 of 2 users.");
    let list = stage.fill_in(ESCALUS, &format!("{PREFIX}get-online-users-list"), &[("max_items", "25")]);
    assert_eq!(form(&list).value("onlineuserjids"), None);
}

#[test]
fn an_admin_adds_and_deletes() {
    let mut stage = verona();
    let add = format!("{PREFIX}add-user");
    let fields = [("accountjid", "juliet@example.org"), ("legacy_name", "capulet"), ("password", "x")];
    let done = stage.fill_in(ESCALUS, &add, &fields);
    assert_eq!((status(&done), note(&done).as_str()), (Some("completed"), "Done."));
    assert_eq!(stage.database.len(), 1);
    let again = stage.fill_in(ESCALUS, &add, &fields);
    assert!(note(&again).contains("already registered"));
    let differs = stage.fill_in(ESCALUS, &add, &[fields[0], fields[1], fields[2], ("password-verify", "y")]);
    assert_eq!(condition(&differs), Some("bad-request"));
    stage.registered("romeo@example.org", "romeo");
    let form = stage.execute(ESCALUS, &format!("{PREFIX}delete-user"), "", "");
    let session = command(&form).attr("sessionid").expect("a session").to_owned();
    let content = format!(
        "<x xmlns='{}' type='submit'><field var='accountjids'><value>juliet@example.org</value>\
         <value>tybalt@example.org</value><value>romeo@example.org/orchard</value></field></x>",
        ns::DATA
    );
    let rest = format!("sessionid='{session}' action='complete'");
    let done = stage.execute(ESCALUS, &format!("{PREFIX}delete-user"), &rest, &content);
    assert_eq!(note(&done), "tybalt@example.org is not registered with this transport.");
    assert!(stage.database.is_empty(), "one who is not there does not keep the others");
}

#[test]
fn an_admin_ends_a_session() {
    let mut stage = verona();
    stage.romeo_online();
    let done =
        stage.fill_in(ESCALUS, &format!("{PREFIX}end-user-session"), &[("accountjids", "romeo@example.org")]);
    assert_eq!(note(&done), "Done.");
    stage.frame(|frame| matches!(frame, Frame::Logout(_)).then_some(()));
}
