//! How long it takes to read and write typical stanzas. Run with `--release`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use spectrum2_xmpp::framer::{Framer, Limits, Piece};
use spectrum2_xmpp::xep_0030::{Identity, Info};
use spectrum2_xmpp::{Element, ns};

const HEADER: &str =
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>";

const MESSAGE: &str = "<message from='romeo@example.org/balcony' to='juliet\\40example.net@gw.example.org/bot' \
    type='chat' id='0b1f6a3c-72' xml:lang='en'><body>Wherefore art thou, Romeo? &lt;3 \
    And some more words so that it looks like a line of chat.</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
    <origin-id xmlns='urn:xmpp:sid:0' id='0b1f6a3c-72'/></message>";

const PRESENCE: &str = "<presence from='romeo@example.org/balcony' to='gw.example.org' id='b32c5ac4' xml:lang='en'>\
    <show>away</show><status>In the orchard</status><priority>5</priority>\
    <c xmlns='http://jabber.org/protocol/caps' node='http://slixmpp.com/ver/1.17.0' hash='sha-1' \
    ver='SoNGYZJ1U3DNstMyXa5s5l186gE='/><x xmlns='vcard-temp:x:update'><photo>aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d</photo></x></presence>";

fn main() {
    let mut roster = String::from(
        "<iq type='result' id='1' from='romeo@example.org' to='gw'><query xmlns='jabber:iq:roster'>",
    );
    for n in 0..500 {
        roster += &format!(
            "<item jid='contact{n}\\40example.net@gw.example.org' name='Contact {n}' subscription='both'><group>Friends</group></item>"
        );
    }
    roster += "</query></iq>";
    println!("{:<24} {:>8} {:>10} {:>10} {:>10}", "stanza", "bytes", "read", "write", "MB/s read");
    for (name, xml) in [("message", MESSAGE), ("presence", PRESENCE), ("roster of 500", &roster)] {
        let stream = xml.repeat((1 << 18) / xml.len() + 1);
        let count = stream.len() / xml.len();
        let mut element = None;
        let read = best(|| {
            let mut framer = Framer::new(Limits::COMPONENT);
            framer.push(HEADER.as_bytes());
            for chunk in stream.as_bytes().chunks(16 << 10) {
                framer.push(chunk);
                while let Ok(Some(piece)) = framer.next() {
                    if let Piece::Stanza(stanza) = piece {
                        element = Some(stanza);
                    }
                }
            }
        }) / count as u32;
        let element = element.expect("the stream has stanzas");
        let write = best(|| {
            for _ in 0..count {
                let mut out = String::with_capacity(512);
                element.write(&mut out, ns::COMPONENT);
                black_box(out);
            }
        }) / count as u32;
        let speed = xml.len() as f64 / read.as_secs_f64() / 1e6;
        println!("{name:<24} {:>8} {read:>10.2?} {write:>10.2?} {speed:>10.0}", xml.len());
    }
    let info = Info::default().identity(Identity::new("gateway", "irc").name("IRC")).features(&[
        ns::REGISTER,
        ns::GATEWAY,
        ns::PRIVATE,
        ns::DISCO_ITEMS,
        ns::DISCO_INFO,
        ns::COMMANDS,
        ns::MUC,
        ns::CARBONS,
        ns::VERSION,
        ns::PING,
    ]);
    let request = "<iq type='get' id='7' from='romeo@example.org/balcony' to='gw.example.org'>\
        <query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    let answer = |request: &Element| spectrum2_xmpp::stanza::iq_result(request).child(info.element());
    let mut framer = Framer::new(Limits::COMPONENT);
    framer.push(HEADER.as_bytes());
    let _ = framer.next();
    let time = best(|| {
        for _ in 0..1000 {
            framer.push(request.as_bytes());
            while let Ok(Some(Piece::Stanza(request))) = framer.next() {
                let mut out = String::with_capacity(512);
                answer(&request).write(&mut out, ns::COMPONENT);
                black_box(out);
            }
        }
    }) / 1000;
    println!("disco#info, asked and answered: {time:.2?}");
}

/// The shortest of some runs, which the rest of the machine disturbs least.
fn best(mut work: impl FnMut()) -> Duration {
    let run = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..15).map(run).min().unwrap_or_default()
}
