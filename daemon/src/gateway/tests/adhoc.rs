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
    assert_eq!(condition(&stage.execute(ROMEO, "settings", &cancel, "")), Some("bad-request"));
    let second = session(&stage.execute(ROMEO, "settings", "", ""));
    let cancel = format!("sessionid='{second}' action='cancel'");
    let thief = stage.execute("romeo@example.org/balcony", "settings", &cancel, "");
    assert_eq!(condition(&thief), Some("bad-request"), "it is that of another client");
    stage.wait(599);
    let prev = format!("sessionid='{second}' action='prev'");
    let refused = stage.execute(ROMEO, "settings", &prev, "");
    assert!(refused.find_same("error").is_some_and(|error| error.find("bad-action", ns::COMMANDS).is_some()));
    stage.wait(2);
    let late = stage.execute(ROMEO, "settings", &cancel, "");
    assert!(late.find_same("error").is_some_and(|error| error.find("bad-sessionid", ns::COMMANDS).is_some()));
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
