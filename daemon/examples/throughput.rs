//! How many stanzas a second pass the loop, with a core that does nothing but relay.
//!
//! `cargo run --release --example throughput -p spectrum2`
//!
//! A server on the loopback sends messages as fast as it can. First the core sends each back at once; then it sends each
//! to a backend that echoes it, and what comes from the backend to the server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use spectrum2::backend_link::BackendSource;
use spectrum2::gateway::{Action, Counters, Event, Link, Time};
use spectrum2::metrics;
use spectrum2::run::{Core, Front, Parts};
use spectrum2::status::Status;
use spectrum2::storage::Storage;
use spectrum2::supervisor::{Transport, run};
use spectrum2::xmpp_link::Settings;
use spectrum2_backend_protocol::{ConversationMessage, Frame};
use spectrum2_config::{Config, NoSecrets, Overrides};
use spectrum2_xmpp::{Element, ns};

const STANZAS: usize = 300_000;
/// Written at once.
const BATCH: usize = 100;
/// Batches that may be unanswered: the core of this example does not refuse messages for a busy backend.
const WINDOW: usize = 50;
const LINK: Link = Link(1);
const BODY: &str =
    "But, soft! what light through yonder window breaks? It is the east, and Juliet is the sun.";
const CLOSE: &str = "</stream:stream>";

/// Relays messages, through a backend or straight back, and ends with the stanza that is no message.
struct Relay {
    through_backend: bool,
}

impl Core for Relay {
    fn handle(&mut self, _now: Time, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::XmppUp if self.through_backend => out.push(Action::OpenBackend(LINK)),
            Event::XmppUp => out.push(Action::Stanza(presence())),
            Event::BackendUp(LINK) => out.push(Action::Stanza(presence())),
            Event::BackendDown(_, reason) => out.push(Action::Misconfigured(reason)),
            Event::Stanza(stanza) if !stanza.is("message", ns::CLIENT) => out.push(Action::Stopped),
            Event::Stanza(stanza) => {
                let body = stanza.child_text("body", ns::CLIENT).unwrap_or_default().into_owned();
                out.push(if self.through_backend {
                    let message = ConversationMessage { message: body, ..ConversationMessage::default() };
                    Action::Frame(LINK, Frame::ConvMessage(message))
                } else {
                    Action::Stanza(message(body))
                });
            }
            Event::Frame(_, Frame::ConvMessage(received)) => {
                out.push(Action::Stanza(message(received.message)));
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn accepts_frames(&self) -> bool {
        true
    }

    fn status(&self) -> Status {
        Status::default()
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

fn message(body: String) -> Element {
    Element::new("message", ns::CLIENT)
        .with("from", "juliet@irc.example.org")
        .with("to", "romeo@example.org/orchard")
        .with("type", "chat")
        .child(Element::new("body", ns::CLIENT).text(body))
}

fn presence() -> Element {
    Element::new("presence", ns::CLIENT).with("from", "irc.example.org").with("to", "romeo@example.org")
}

/// Sends the messages, waits for as many, and tells how long that took.
fn serve(listener: &TcpListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    read_until(&mut stream, "to='irc.example.org'>")?;
    stream.write_all(
        b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>",
    )?;
    read_until(&mut stream, "</handshake>")?;
    stream.write_all(b"<handshake/>")?;
    read_until(&mut stream, "<presence from='irc.example.org' to='romeo@example.org'/>")?;

    let start = Instant::now();
    let mut sending = stream.try_clone()?;
    let (permits, unanswered) = sync_channel(WINDOW);
    let sender = thread::spawn(move || {
        let message = format!(
            "<message from='romeo@example.org/orchard' to='juliet@irc.example.org' type='chat' id='5f1e'>\
             <body>{BODY}</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
        );
        let batch = message.repeat(BATCH);
        for _ in 0..STANZAS / BATCH {
            if permits.send(()).is_err() {
                break;
            }
            sending.write_all(batch.as_bytes())?;
        }
        std::io::Result::Ok(())
    });
    let mut answer = String::new();
    message(BODY.to_owned()).write(&mut answer, ns::COMPONENT);
    let mut answers = vec![0; answer.len() * BATCH];
    for _ in 0..STANZAS / BATCH {
        stream.read_exact(&mut answers)?;
        unanswered.recv().map_err(std::io::Error::other)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.0} stanzas a second each way", STANZAS as f64 / seconds);
    sender.join().expect("the sender does not panic")?;
    stream.write_all(b"<iq/>")?;
    read_until(&mut stream, CLOSE)
}

fn read_until(stream: &mut TcpStream, end: &str) -> std::io::Result<()> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(end.as_bytes()) {
        stream.read_exact(&mut byte)?;
        text.extend(byte);
    }
    Ok(())
}

/// Echoes whatever one backend connection says.
fn echo(listener: &UnixListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    let mut copy = stream.try_clone()?;
    std::io::copy(&mut stream, &mut copy).map(|_| ())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for through_backend in [false, true] {
        println!("{}", if through_backend { "Through a backend:" } else { "Straight back:" });
        let server = TcpListener::bind("127.0.0.1:0")?;
        let port = server.local_addr()?.port();
        let path = std::env::temp_dir().join(format!("spectrum2-throughput-{}.sock", std::process::id()));
        let launcher = UnixListener::bind(&path)?;
        let text =
            format!("[service]\njid=irc.example.org\npassword=secret\nport={port}\n[database]\ntype=none\n");
        let (config, _) = Config::parse(&text, Path::new("irc.cfg"), &Overrides::default(), &NoSecrets)?;
        let peers = [
            thread::spawn(move || serve(&server)),
            thread::spawn(move || if through_backend { echo(&launcher) } else { Ok(()) }),
        ];
        let parts = Parts {
            core: Relay { through_backend },
            xmpp: Front::Component(Settings::from_config(&config)),
            backends: Rc::new(BackendSource::Socket(path.clone())),
            storage: Storage::open(&config)?,
            bus: None,
            read_again: Box::new(|| Err(String::new())),
        };
        let result = run(vec![Transport::Served(Box::new(parts))], metrics::Sockets::default());
        std::fs::remove_file(path)?;
        result?;
        for peer in peers {
            peer.join().expect("the peers do not panic")?;
        }
    }
    Ok(())
}
