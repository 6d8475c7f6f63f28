//! What an idle session costs. Run it alone, so that nothing else is measured:
//! `cargo test --release -p spectrum2 --lib server::tests::memory -- --ignored --nocapture`

use super::*;
use crate::server::stream::Stage as At;

const SESSIONS: u32 = 5_000;
/// In bytes, of the core; the connection's own buffers come on top.
const ALLOWED: u64 = 20_000;

/// The cost of each of many users with a client, stream management and so many contacts that are on line.
fn cost(contacts: usize) -> u64 {
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
        for contact in 0..contacts {
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
        stage.everybody_acknowledges();
    }
    // Rosters settle.
    for _ in 0..60 {
        stage.now = stage.now.after(500);
        stage.event(Event::Tick);
        stage.everybody_acknowledges();
    }
    assert_eq!(stage.population(), (SESSIONS as usize, SESSIONS as usize));
    let after = crate::memory::own().resident;
    (after - before) * 1024 / u64::from(SESSIONS)
}

impl Stage {
    /// Clients read and acknowledge what they were sent; the network does as it is told.
    fn everybody_acknowledges(&mut self) {
        self.frames.clear();
        self.database.clear();
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

#[test]
#[ignore = "it measures the whole process"]
fn an_idle_session_is_cheap() {
    let one = cost(0);
    println!("an idle session without contacts: {one} bytes");
    let many = cost(10);
    println!("an idle session with 10 contacts on line: {many} bytes");
    assert!(one <= ALLOWED && many <= ALLOWED);
}
