//! The transport on the system bus: `im.spectrum.Transport1.LABEL`, one name for each running transport, as media
//! players have (MPRIS).
//!
//! Guarantees: the loop never waits for the bus, and nobody on the bus is answered but from what the loop says; what the
//! loop hands over is bounded, and what does not fit is left out; without a bus the daemon works as well, and takes its
//! name as soon as there is one.

mod interface;
pub mod name;
mod polkit;

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};
use zbus::names::InterfaceName;
use zbus::{Connection, Variant, connection, fdo};

pub use interface::{Error, microseconds};

use crate::gateway::admin::{Notice, Outcome, Request};
use crate::logging;
use crate::status::Snapshot;
use interface::Transport;

/// Requests that the loop has not taken yet.
const QUESTIONS: usize = 64;
/// Signals that the bus has not taken yet.
const NOTICES: usize = 1024;
/// Until the bus is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// What never changes while the transport runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Name of the instance, which is the stem of its file; the JID if that is no name.
    pub name: String,
    /// JID of the transport.
    pub jid: String,
    /// `service.protocol`.
    pub protocol: String,
    /// `gateway` or `server`.
    pub mode: &'static str,
    /// The transport file.
    pub config_file: String,
}

/// A request from the bus, whose sender may make it.
#[derive(Debug)]
pub struct Question {
    /// What is wanted.
    pub request: Request,
    /// Takes the outcome. Dropped, it means that there will be none.
    pub reply: oneshot::Sender<Outcome>,
}

/// The loop's end of the bus.
#[derive(Debug)]
pub struct Bus {
    questions: mpsc::Receiver<Question>,
    notices: mpsc::Sender<Notice>,
    /// Nobody takes anything.
    absent: bool,
}

impl Bus {
    /// The system bus, or the one named by `DBUS_SYSTEM_BUS_ADDRESS`. The connection is made, and made again, behind the
    /// scenes. `None` is no bus at all. What changes is shown as `snapshot` has it.
    #[must_use]
    pub fn start(about: Option<About>, snapshot: watch::Receiver<Snapshot>) -> Self {
        let (ask, questions) = mpsc::channel(QUESTIONS);
        let (notices, notices_end) = mpsc::channel(NOTICES);
        let absent = about.is_none();
        if let Some(about) = about {
            tokio::task::spawn_local(logging::inherited(serve(about, ask, notices_end, snapshot)));
        }
        Self { questions, notices, absent }
    }

    /// The next request. Cancelling loses nothing; without a bus there is none, ever.
    pub async fn question(&mut self) -> Question {
        match self.questions.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }

    /// Tells those who listen.
    pub fn tell(&self, notice: Notice) {
        if !self.absent && self.notices.try_send(notice).is_err() {
            debug!("A signal is left out: the bus takes them too slowly.");
        }
    }
}

/// Keeps the transport on the bus for as long as the loop lives.
async fn serve(
    about: About,
    questions: mpsc::Sender<Question>,
    mut notices: mpsc::Receiver<Notice>,
    mut snapshot: watch::Receiver<Snapshot>,
) {
    let Some(name) = name::of(&about.name) else {
        warn!("The transport is not on the bus: {} is too long for a bus name.", about.name);
        return;
    };
    let mut complained = false;
    loop {
        let transport =
            Transport { about: about.clone(), snapshot: snapshot.clone(), questions: questions.clone() };
        match connect(&name, transport).await {
            Ok(connection) => {
                info!("On the bus as {name}.");
                complained = false;
                match watch(&connection, &mut notices, &mut snapshot).await {
                    Ok(()) => return,
                    Err(error) => info!("The bus is gone: {error}. Waiting for another."),
                }
            }
            Err(error) if !complained => {
                info!("Not on the bus as {name}: {error}. The transport works without.");
                complained = true;
            }
            Err(_) => {}
        }
        // What nobody could hear is not told later.
        while notices.try_recv().is_ok() {}
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connect(name: &str, transport: Transport) -> zbus::Result<Connection> {
    connection::Builder::system().serve_at(name::PATH, transport).name(name).build().await
}

/// Passes on what the loop says until it ends or the connection does.
async fn watch(
    connection: &Connection,
    notices: &mut mpsc::Receiver<Notice>,
    snapshot: &mut watch::Receiver<Snapshot>,
) -> zbus::Result<()> {
    let object = connection.object_server().interface::<_, Transport>(name::PATH).await?;
    let emitter = object.signal_emitter();
    let mut shown = snapshot.borrow_and_update().clone();
    loop {
        tokio::select! {
            changed = snapshot.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let new = snapshot.borrow_and_update().clone();
                let changes = changes(&shown, &new);
                if !changes.is_empty() {
                    let interface = InterfaceName::from_static_str(name::INTERFACE)?;
                    fdo::Properties::properties_changed(emitter, interface, changes, (&[][..]).into()).await?;
                }
                shown = new;
            }
            notice = notices.recv() => match notice {
                Some(Notice::UserState { jid, state, reason }) => {
                    Transport::user_state_changed(emitter, jid.as_str(), state.as_str(), &reason).await?;
                }
                Some(Notice::BackendLost { pid, reason }) => {
                    Transport::backend_lost(emitter, pid.unwrap_or(0), &reason).await?;
                }
                None => return Ok(()),
            },
            () = connection.closed() => return Err(zbus::Error::Failure("the connection was closed".to_owned())),
        }
    }
}

/// The properties that announce their changes and have changed.
fn changes(old: &Snapshot, new: &Snapshot) -> HashMap<&'static str, Variant<'static>> {
    let mut changes = HashMap::new();
    if old.xmpp_state != new.xmpp_state {
        changes.insert("XmppState", new.xmpp_state.into());
    }
    if old.xmpp_since != new.xmpp_since {
        changes.insert("XmppSince", new.xmpp_since.into());
    }
    if old.backends != new.backends {
        changes.insert("Backends", new.backends.into());
    }
    for (name, old, new) in [
        ("XmppError", &old.xmpp_error, &new.xmpp_error),
        ("Status", &old.status, &new.status),
        ("LastError", &old.last_error, &new.last_error),
    ] {
        if old != new {
            changes.insert(name, new.clone().into());
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use spectrum2_xmpp::Element;

    use super::*;

    /// The properties that the shipped interface declares to announce their changes.
    fn announced() -> BTreeSet<String> {
        let shipped = include_str!("../../systemd/im.spectrum.Transport1.xml");
        let start = shipped.find("<node>").expect("a node");
        let mut text = shipped[start..].to_owned();
        while let Some(comment) = text.find("<!--") {
            let end = comment + text[comment..].find("-->").expect("its end") + 3;
            text.replace_range(comment..end, "");
        }
        let node = Element::parse(&text).expect("well-formed");
        let members: Vec<&Element> = node.elements().flat_map(Element::elements).collect();
        let properties = members.iter().filter(|member| member.name() == "property");
        // Without the annotation a change is announced, with the new value.
        let is_loud = |property: &&&Element| property.elements().next().is_none();
        properties.filter(is_loud).filter_map(|property| property.attr("name").map(str::to_owned)).collect()
    }

    #[test]
    fn what_is_declared_to_announce_changes_does_with_the_value_and_nothing_else() {
        let before = Snapshot::default();
        let mut after = Snapshot {
            xmpp_state: "connected",
            xmpp_since: 1,
            xmpp_error: "refused".to_owned(),
            status: "connected to verona".to_owned(),
            last_error: "no plugin".to_owned(),
            online_users: 2,
            registered_users: 3,
            backends: 4,
            ..Snapshot::default()
        };
        after.counters.from_xmpp = 5;
        assert!(changes(&before, &before).is_empty());
        let changed = changes(&before, &after);
        let names: BTreeSet<String> = changed.keys().map(|name| (*name).to_owned()).collect();
        assert_eq!(names, announced());
        assert!(names.len() > 4, "{names:?}");
        assert_eq!(changed["XmppState"], Variant::from("connected"));
        assert_eq!(changed["XmppSince"], Variant::from(1_u64));
        assert_eq!(changed["XmppError"], Variant::from("refused"));
        assert_eq!(changed["Status"], Variant::from("connected to verona"));
        assert_eq!(changed["LastError"], Variant::from("no plugin"));
        assert_eq!(changed["Backends"], Variant::from(4_u32));
        let quiet = Snapshot { online_users: 7, registered_users: 8, ..after.clone() };
        assert!(changes(&after, &quiet).is_empty(), "counters are asked for");
    }
}
