//! Many changes in a room at once, and that clients see who is there in the end, whatever happened.

use proptest::prelude::*;
use spectrum2_backend_protocol::{Participant, RoomReason};

use super::rooms::{codes, gone, in_the_room, join, joined, nick, occupant, room, said};
use super::*;

/// Romeo is in the room with so many others.
fn crowded(stage: &mut Stage, crowd: usize) -> Link {
    let link = in_the_room(stage);
    for n in 0..crowd {
        stage.network(link, occupant(&format!("n{n}"), 0));
    }
    stage.wait(10);
    let seen: BTreeSet<_> = stage.stanzas.iter().map(|stanza| nick(stanza).to_owned()).collect();
    assert_eq!((seen.len(), stage.stanzas.len()), (crowd, crowd), "each is shown once");
    stage.stanzas.clear();
    stage.now = stage.now.after(5_000);
    link
}

fn quit(stage: &mut Stage, link: Link, n: usize) {
    stage.network(link, gone(&format!("n{n}"), RoomReason::Other, "", "a.net b.net"));
}

#[test]
fn a_net_split_that_heals_at_once_is_hardly_seen() {
    let mut stage = Stage::new();
    let link = crowded(&mut stage, 1_000);
    (0..1_000).for_each(|n| quit(&mut stage, link, n));
    assert_eq!(stage.stanzas.len(), 100);
    for n in 0..1_000 {
        stage.network(link, occupant(&format!("n{n}"), 0));
    }
    stage.wait(10);
    // Those who were seen to leave come back.
    assert_eq!(stage.stanzas.len(), 200);
}

#[test]
fn who_came_and_went_while_the_link_was_down_is_forgotten() {
    let mut stage = Stage::new();
    let link = in_the_room(&mut stage);
    stage.event(Event::XmppDown);
    let size = |stage: &Stage| {
        let mut written = Vec::new();
        ciborium::into_writer(&stage.gateway, &mut written).expect("the core is plain data");
        written.len()
    };
    let before = size(&stage);
    for n in 0..5_000 {
        stage.network(link, occupant(&format!("n{n}"), 0));
        quit(&mut stage, link, n);
    }
    let after = size(&stage);
    assert!(after < before + 1_000, "{before} bytes have become {after}");
    stage.stanzas.clear();
    stage.event(Event::XmppUp);
    stage.wait(10);
    assert!(!stage.stanzas.iter().any(|stanza| stanza.attr("from").is_some_and(|from| from.contains("/n"))));
}

#[test]
fn a_net_split_is_shown_in_parts() {
    let mut stage = Stage::new();
    let link = crowded(&mut stage, 3_000);
    (0..3_000).for_each(|n| quit(&mut stage, link, n));
    let mut most = 0;
    while let Some(due) = stage.gateway.deadline().filter(|due| *due < stage.now.after(3_000)) {
        let before = stage.stanzas.len();
        stage.now = due;
        stage.event(Event::Tick);
        most = most.max(stage.stanzas.len() - before);
    }
    assert_eq!((stage.stanzas.len(), most), (3_000, 500));
    assert!(stage.stanzas.iter().all(|stanza| stanza.attr("type") == Some("unavailable")));
}

#[test]
fn what_matters_does_not_wait() {
    let mut stage = Stage::new();
    let link = crowded(&mut stage, 1_000);
    (0..500).for_each(|n| quit(&mut stage, link, n));
    stage.stanzas.clear();
    stage.network(link, gone("n600", RoomReason::Kicked, "tybalt", "Hence"));
    assert_eq!(codes(&stage.only_stanza()), [307]);
    stage.network(link, occupant("late", 0));
    stage.silence();
    stage.network(link, Frame::ConvMessage(said("late", "I am here", "")));
    let kinds: Vec<_> = stage.stanzas.iter().map(|stanza| (stanza.name(), nick(stanza))).collect();
    assert_eq!(kinds, [("presence", "late"), ("message", "late")], "who speaks is seen");
    stage.stanzas.clear();
    stage.network(link, Frame::RoomNicknameChanged(room("Montague")));
    assert_eq!(stage.stanzas.iter().filter(|stanza| codes(stanza).contains(&110)).count(), 2);
}

/// What may happen in a room, and to the way to its clients.
#[derive(Clone, Debug)]
enum Step {
    Comes(u8),
    Goes(u8),
    Kicked(u8),
    Renamed(u8, u8),
    Aliased(u8, u8),
    Crowd(bool),
    Passes(u16),
    Link(bool),
    Joins,
    SessionBreaks,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6u8).prop_map(Step::Comes),
        3 => (0..6u8).prop_map(Step::Goes),
        1 => (0..6u8).prop_map(Step::Kicked),
        2 => (0..6u8, 0..6u8).prop_map(|(one, other)| Step::Renamed(one, other)),
        1 => (0..6u8, 0..4u8).prop_map(|(who, alias)| Step::Aliased(who, alias)),
        2 => any::<bool>().prop_map(Step::Crowd),
        2 => (0..1_500u16).prop_map(Step::Passes),
        1 => any::<bool>().prop_map(Step::Link),
        1 => Just(Step::Joins),
        1 => Just(Step::SessionBreaks),
    ]
}

/// The name that is to be seen; the last alias may be anybody's.
fn shown(who: &str, alias: u8) -> String {
    match alias {
        0 => who.to_owned(),
        3 => "everyman".to_owned(),
        _ => format!("{who}-{alias}"),
    }
}

/// The network, which knows who is in the room, by nick and alias.
struct Network {
    stage: Stage,
    link: Link,
    there: BTreeMap<String, u8>,
    /// The XMPP link stands.
    up: bool,
}

impl Network {
    fn mention(&mut self, who: &str) {
        let alias = self.there.get(who).filter(|alias| **alias > 0).map(|alias| shown(who, *alias));
        let Frame::ParticipantChanged(frame) = occupant(who, 0) else { return };
        self.stage.network(self.link, Frame::ParticipantChanged(Participant { alias, ..frame }));
    }

    fn comes(&mut self, who: &str) {
        self.there.entry(who.to_owned()).or_insert(0);
        self.mention(who);
    }

    fn goes(&mut self, who: &str, reason: RoomReason) {
        if self.there.remove(who).is_some() {
            self.stage.network(self.link, gone(who, reason, "", ""));
        }
    }

    /// The session is lost and comes back at once, while nobody moves.
    fn session_breaks(&mut self) {
        // Three failures in a row would end the stay.
        self.step(&Step::Passes(61_000));
        let lost = Disconnected { user: "romeo@example.org".into(), error: 0, message: None };
        self.stage.network(self.link, Frame::Disconnected(lost));
        self.stage.wait(5);
        self.link = self.stage.login_of("romeo@example.org").0;
        self.stage.network(self.link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
        for who in self.there.keys().cloned().collect::<Vec<_>>() {
            self.mention(&who);
        }
        self.stage.network(self.link, occupant("Romeo", 0));
        self.stage.network(self.link, joined("Romeo"));
        self.stage.frames.clear();
    }

    fn step(&mut self, step: &Step) {
        let name = |who: u8| format!("n{who}");
        match step {
            Step::Comes(who) => self.comes(&name(*who)),
            Step::Goes(who) => self.goes(&name(*who), RoomReason::Other),
            Step::Kicked(who) => self.goes(&name(*who), RoomReason::Kicked),
            Step::Renamed(one, other) => {
                let (old, new) = (name(*one), name(*other));
                if self.there.contains_key(&old) && !self.there.contains_key(&new) {
                    self.there.remove(&old);
                    self.there.insert(new.clone(), 0);
                    let Frame::ParticipantChanged(frame) = occupant(&old, 0) else { return };
                    let frame = Participant { newname: Some(new.clone()), ..frame };
                    self.stage.network(self.link, Frame::ParticipantChanged(frame));
                    self.mention(&new);
                }
            }
            Step::Aliased(who, alias) => {
                if let Some(kept) = self.there.get_mut(&name(*who)) {
                    *kept = *alias;
                    self.mention(&name(*who));
                }
            }
            Step::Crowd(comes) => {
                for n in 100..250 {
                    let who = format!("n{n}");
                    if *comes { self.comes(&who) } else { self.goes(&who, RoomReason::Other) }
                }
            }
            Step::Passes(milliseconds) => {
                let end = self.stage.now.after(u64::from(*milliseconds));
                while let Some(due) = self.stage.gateway.deadline().filter(|due| *due <= end) {
                    self.stage.now = self.stage.now.max(due);
                    self.stage.event(Event::Tick);
                }
                self.stage.now = end;
            }
            Step::Link(false) => {
                self.up = false;
                self.stage.event(Event::XmppDown);
            }
            Step::Link(true) => {
                self.up = true;
                self.stage.event(Event::XmppUp);
                self.stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
            }
            Step::Joins if !self.up => {}
            Step::Joins => join(&mut self.stage, "study", "Romeo", ""),
            Step::SessionBreaks => self.session_breaks(),
        }
    }
}

/// Whom a client sees in the room after these stanzas, which must make sense one after the other.
fn watch(stanzas: &[Element], client: &str, seen: &mut BTreeSet<String>) {
    let to_it = stanzas.iter().filter(|stanza| stanza.attr("to") == Some(client));
    for stanza in to_it.filter(|s| s.name() == "presence" && s.attr("from").is_some_and(|f| f.contains('/')))
    {
        match stanza.attr("type") {
            None => seen.insert(nick(stanza).to_owned()),
            Some(_) => seen.remove(nick(stanza)),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, rng_seed: crate::testing::seed(), ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_clients_see_who_is_there(steps in proptest::collection::vec(step(), 1..60)) {
        let mut stage = Stage::new();
        let link = in_the_room(&mut stage);
        let mut network = Network { stage, link, there: BTreeMap::from([("tybalt".to_owned(), 0)]), up: true };
        let mut seen = BTreeSet::from(["tybalt".to_owned(), "Romeo".to_owned()]);
        let mut later = BTreeSet::new();
        for step in &steps {
            network.step(step);
            watch(&network.stage.stanzas, ROMEO, &mut seen);
            watch(&network.stage.stanzas, "romeo@example.org/study", &mut later);
            network.stage.stanzas.clear();
        }
        network.stage.event(Event::XmppUp);
        network.step(&Step::Passes(10_000));
        watch(&network.stage.stanzas, ROMEO, &mut seen);
        watch(&network.stage.stanzas, "romeo@example.org/study", &mut later);
        let mut there: BTreeSet<String> = network.there.iter().map(|(who, alias)| shown(who, *alias)).collect();
        there.insert("Romeo".to_owned());
        prop_assert_eq!(&seen, &there);
        if !later.is_empty() {
            prop_assert_eq!(&later, &there);
        }
    }
}
