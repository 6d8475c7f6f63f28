//! What an idle session costs. Run one at a time, so that nothing else is measured, and no memory is used again:
//! `cargo test --release -p spectrum2 --lib memory::an_idle_session_is_cheap -- --ignored --nocapture`

use super::*;
use crate::server::stream::Stage as At;

const SESSIONS: u32 = 5_000;
/// In bytes, of the core; the connection's own buffers come on top.
const ALLOWED: u64 = 20_000;

/// Contacts of each that are on line.
const CONTACTS: usize = 10;

/// The cost of each of many users with a client, stream management and contacts.
fn cost(acknowledges: bool) -> u64 {
    let mut stage = Stage::with("max_users=100000\nusers_per_backend=1000");
    stage.forgetful = true;
    let before = crate::memory::own().resident;
    for n in 0..SESSIONS {
        let client = stage.connects(Cover::Encrypted);
        stage.opens(client);
        let name = format!("user{n}%example.net");
        let jid = format!("{name}@{DOMAIN}");
        stage.authenticates(client, &name, PASSWORD);
        let link = stage.lets_in(&jid);
        stage.opens_again(client);
        stage.binds(client, "phone");
        stage.says(client, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        stage.says(client, &format!("<iq type='get' id='r'><query xmlns='{}'/></iq>", ns::ROSTER));
        stage.says(
            client,
            &format!(
                "<presence><show>away</show><status>At the ball</status><c xmlns='{}' hash='sha-1' \
                 node='https://client.example.org' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>",
                ns::CAPS
            ),
        );
        for contact in 0..CONTACTS {
            let buddy = Buddy {
                user_name: jid.clone(),
                buddy_name: format!("contact{contact}@example.net"),
                alias: Some(format!("Contact number {contact}")),
                groups: vec!["Friends".into()],
                status: Some(StatusType::Online.into()),
                ..Default::default()
            };
            stage.network(link, Frame::BuddyChanged(buddy));
        }
        stage.now = stage.now.after(100);
        stage.event(Event::Tick);
        stage.everybody_reads(acknowledges);
    }
    // Rosters settle.
    for _ in 0..60 {
        stage.now = stage.now.after(500);
        stage.event(Event::Tick);
        stage.everybody_reads(acknowledges);
    }
    assert_eq!(stage.population(), (SESSIONS as usize, SESSIONS as usize));
    let after = crate::memory::own().resident;
    (after - before) * 1024 / u64::from(SESSIONS)
}

impl Stage {
    /// Clients read, and perhaps acknowledge, what they were sent; the network does as it is told.
    fn everybody_reads(&mut self, acknowledges: bool) {
        self.frames.clear();
        self.database.clear();
        if !acknowledges {
            return self.sent.clear();
        }
        while let Some((client, _)) = self.sent.pop_first() {
            let Some(At::Bound(account, number)) =
                self.server.streams.get(&client).map(|stream| stream.stage.clone())
            else {
                continue;
            };
            let session = self.server.accounts.get_mut(&account).and_then(|known| known.session(number));
            let h = session.and_then(|session| session.management.as_ref()).expect("enabled").sent();
            self.says(client, &format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
        }
    }
}

fn is_cheap(acknowledges: bool) {
    let cost = cost(acknowledges);
    println!("an idle session with {CONTACTS} contacts on line: {cost} bytes");
    assert!(cost <= ALLOWED);
}

#[test]
#[ignore = "it measures the whole process"]
fn an_idle_session_is_cheap() {
    is_cheap(true);
}

#[test]
#[ignore = "it measures the whole process"]
fn a_session_that_acknowledges_nothing_is_cheap() {
    is_cheap(false);
}
