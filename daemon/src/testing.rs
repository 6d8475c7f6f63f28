//! Peers for tests: an XMPP server that accepts components, a launcher whose backends the test plays, what backends are
//! sent.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use spectrum2_backend_protocol::{Buddy, Decoder, Frame, Login, MAX_FRAME, StatusType};
use spectrum2_config::Secret;
use spectrum2_xmpp::Element;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::gateway::Link;
use crate::xmpp_link::Settings;

/// The stanza that `xml` is.
pub fn stanza(xml: &str) -> Element {
    Element::parse(xml).unwrap()
}

/// What a backend tells a user of a contact.
pub fn buddy(user: &str, name: &str, alias: &str, status: StatusType) -> Frame {
    Frame::BuddyChanged(Buddy {
        user_name: user.into(),
        buddy_name: name.into(),
        alias: Some(alias.into()),
        groups: vec!["Capulets".into()],
        status: Some(status.into()),
        status_message: Some(String::new()),
        icon_hash: Some(String::new()),
        blocked: Some(false),
    })
}

/// Frames for backends, and to which, oldest first.
#[derive(Debug, Default)]
pub struct Frames(Vec<(Link, Frame)>);

impl Frames {
    /// Takes the first frame that fits.
    #[track_caller]
    pub fn take<T>(&mut self, fits: impl Fn(&Frame) -> Option<T>) -> (Link, T) {
        let found = self.0.iter().enumerate().find_map(|(n, (link, frame))| Some((n, *link, fits(frame)?)));
        let Some((n, link, found)) = found else { panic!("no such frame among {:#?}", self.0) };
        self.0.remove(n);
        (link, found)
    }

    /// Takes the first login of a user.
    #[track_caller]
    pub fn take_login(&mut self, user: &str) -> (Link, Login) {
        self.take(|frame| match frame {
            Frame::Login(login) if login.user == user => Some(login.clone()),
            _ => None,
        })
    }
}

impl Deref for Frames {
    type Target = Vec<(Link, Frame)>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Frames {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// An XMPP server on a free port of the loopback.
pub struct Server {
    listener: TcpListener,
    /// The component that it knows.
    jid: &'static str,
}

impl Server {
    pub async fn new() -> Self {
        Self::of("irc.example.org").await
    }

    pub async fn of(jid: &'static str) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), jid }
    }

    pub fn settings(&self, secret: &str) -> Settings {
        let address = self.listener.local_addr().unwrap();
        Settings {
            server: address.ip().to_string(),
            port: address.port(),
            jid: self.jid.to_owned(),
            secret: Secret::new(secret.to_owned()),
            secret_source: "service.password in irc.cfg".to_owned(),
        }
    }

    /// The next connection, without a word said.
    pub async fn accept(&self) -> ServerStream {
        ServerStream { connection: self.listener.accept().await.unwrap().0, jid: self.jid }
    }

    /// The next connection, after a handshake with the secret `secret`.
    pub async fn accept_component(&self) -> ServerStream {
        let mut stream = self.accept().await;
        stream.open().await;
        // SHA-1 of the stream's id, which is 1, and the secret.
        stream.expect("<handshake>bc2f114099d16656d37e45fd9e8744cb9386d462</handshake>").await;
        stream.send("<handshake/>").await;
        stream
    }
}

/// The server's end of a stream.
pub struct ServerStream {
    connection: TcpStream,
    jid: &'static str,
}

impl ServerStream {
    async fn open(&mut self) {
        let jid = self.jid;
        self.expect(&format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' to='{jid}'>"
        ))
        .await;
        self.send(&format!(
            "<stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' from='{jid}' id='1'>"
        ))
        .await;
    }

    /// Answers the handshake with a stream error and hangs up.
    pub async fn refuse(mut self, condition: &str) {
        self.open().await;
        self.skip("<handshake></handshake>".len() + 40).await;
        self.send(&format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
        ))
        .await;
    }

    pub async fn send(&mut self, text: &str) {
        self.connection.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads exactly this.
    pub async fn expect(&mut self, text: &str) {
        let mut received = vec![0; text.len()];
        self.connection.read_exact(&mut received).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&received), text);
    }

    /// Reads so many bytes, whatever they are.
    pub async fn skip(&mut self, length: usize) {
        let mut rest = length;
        let mut buffer = vec![0; 64 * 1024];
        while rest > 0 {
            let part = rest.min(buffer.len());
            self.connection.read_exact(&mut buffer[..part]).await.unwrap();
            rest -= part;
        }
    }

    /// Nothing more comes.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.connection.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

/// A launcher. The socket's file goes with it.
pub struct FakeLauncher {
    pub path: PathBuf,
    listener: UnixListener,
}

impl FakeLauncher {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("spectrum2-test-{}.sock", fastrand::u64(..)));
        Self { listener: UnixListener::bind(&path).unwrap(), path }
    }

    /// The backend's end of the next connection.
    pub async fn accept(&self) -> Backend {
        let connection = self.listener.accept().await.unwrap().0;
        Backend { connection, decoder: Decoder::new(MAX_FRAME) }
    }
}

impl Drop for FakeLauncher {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}

/// A backend process.
pub struct Backend {
    pub connection: UnixStream,
    decoder: Decoder,
}

impl Backend {
    pub async fn send(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.connection.write_all(&bytes).await.unwrap();
    }

    /// The next frame, or `None` at the end.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(frame);
            }
            let mut buffer = [0; 4096];
            match self.connection.read(&mut buffer).await.unwrap() {
                0 => return None,
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }
}

/// The same storms in every run, so that a change is judged by itself; `PROPTEST_RNG_SEED` asks for others.
pub fn seed() -> RngSeed {
    match ProptestConfig::default().rng_seed {
        RngSeed::Random => RngSeed::Fixed(1597),
        given => given,
    }
}
