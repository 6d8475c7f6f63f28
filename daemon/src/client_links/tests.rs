use super::*;

use std::path::Path;
use std::sync::Arc;

use spectrum2_config::Service;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' to='chat.example.org' version='1.0'>";
const ANSWER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' from='chat.example.org' id='a&amp;b' version='1.0'>";

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/certificates")
}

fn certificate(file: &str) -> Certificate {
    let cert_password = spectrum2_config::Secret::new("verona".to_owned());
    let service = Service { cert: fixtures().join(file), cert_password, ..Service::default() };
    Certificate::load(&service).unwrap().unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server for clients, whose core is the test.
struct World {
    links: ClientLinks,
    input: ClientInput,
    port: u16,
    tls_port: u16,
}

impl World {
    fn new(certificate: Option<Certificate>) -> Self {
        let (port, tls_port) = (free_port(), if certificate.is_some() { free_port() } else { 0 });
        let service = Service { port, tls_port, ..Service::default() };
        let settings = Settings {
            jid: "chat.example.org".to_owned(),
            certificate,
            sockets: Sockets::open(&service, &mut crate::passed::Passed::default()).unwrap(),
            largest_stanza: 20_000,
        };
        let (links, input) = ClientLinks::start(settings).unwrap();
        Self { links, input, port, tls_port }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// The next thing that is still of interest.
    async fn next(&mut self) -> (Client, News) {
        loop {
            let Arrival { client, stream, news } = self.input.next(false).await;
            if self.links.is_current(client, stream) {
                return (client, news);
            }
        }
    }

    async fn opened(&mut self, expected: Cover) -> Client {
        let (client, news) = self.next().await;
        assert!(
            matches!(news, News::Opened(address, cover) if address.is_loopback() && cover == expected),
            "{news:?}"
        );
        client
    }

    async fn pieces(&mut self) -> Vec<Piece> {
        let (_, news) = self.next().await;
        let News::Pieces(pieces) = news else { panic!("{news:?}") };
        pieces
    }

    async fn closed(&mut self) -> String {
        let (client, news) = self.next().await;
        self.links.forget(client);
        let News::Closed(reason) = news else { panic!("{news:?}") };
        reason
    }

    /// Our header, as a core would send it.
    fn answer(&mut self, client: Client) {
        let header = Element::new("stream", ns::STREAM).with("from", "chat.example.org").with("id", "a&b");
        self.links.act(client, Action::Header(header));
    }

    /// Carries a client to a stream that is encrypted by STARTTLS.
    async fn encrypt(
        &mut self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> (Client, TlsStream<TcpStream>) {
        let mut socket = self.connect().await;
        let client = self.opened(Cover::StartTls).await;
        // What follows the request in clear may be anybody's (CVE-2011-0411).
        say(&mut socket, &format!("{HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><presence/>"))
            .await;
        let pieces = self.pieces().await;
        assert!(matches!(&pieces[..], [Piece::Open(_), Piece::Stanza(_), Piece::Stanza(_)]));
        self.answer(client);
        self.links.act(client, Action::Send(Element::new("proceed", ns::TLS)));
        self.links.act(client, Action::StartTls);
        hear(&mut socket, &format!("{ANSWER}<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")).await;
        let name = ServerName::try_from("chat.example.org").unwrap();
        let connecting = connector(versions, &[]).connect(name, socket);
        let (tls, (same, news)) = tokio::join!(connecting, self.next());
        assert_eq!(same, client);
        assert!(matches!(news, News::Encrypted), "{news:?}");
        (client, tls.unwrap())
    }
}

fn connector(versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let authority =
        CertificateDer::pem_file_iter(fixtures().join("chain.pem")).unwrap().last().unwrap().unwrap();
    roots.add(authority).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config).into()
}

async fn say(socket: &mut (impl AsyncWrite + Unpin), text: &str) {
    socket.write_all(text.as_bytes()).await.unwrap();
}

async fn hear(socket: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut heard = vec![0; text.len()];
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

/// All that still comes, up to the end.
async fn rest(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).await.unwrap();
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn a_stream_in_clear_goes_both_ways_and_ends_in_good_order() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(None);
            let mut socket = world.connect().await;
            let client = world.opened(Cover::Plain).await;
            say(&mut socket, HEADER).await;
            assert!(matches!(&world.pieces().await[..], [Piece::Open(header)] if header.attr("to") == Some("chat.example.org")));
            world.answer(client);
            world.links.act(client, Action::Send(Element::new("message", ns::CLIENT).with("to", "a@b")));
            hear(&mut socket, &format!("{ANSWER}<message to='a@b'/>")).await;
            world.links.act(client, Action::Close(Some(stream_error("conflict"))));
            assert!(!world.links.is_open(client));
            assert_eq!(
                rest(&mut socket).await,
                "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
            );
        })
        .await;
}

#[tokio::test]
async fn starttls_leads_to_a_stream_that_knows_nothing_of_the_first() {
    for version in [&TLS12, &TLS13] {
        LocalSet::new()
            .run_until(async {
                let mut world = World::new(Some(certificate("default.p12")));
                let (client, mut tls) = world.encrypt(&[version]).await;
                assert_eq!(tls.get_ref().1.protocol_version(), Some(version.version));
                say(&mut tls, HEADER).await;
                assert!(matches!(&world.pieces().await[..], [Piece::Open(_)]));
                world.answer(client);
                hear(&mut tls, ANSWER).await;
                // More than one record, so that what does not fit into the socket must be flushed.
                let long = "x".repeat(1 << 20);
                world.links.act(client, Action::Restart);
                world.links.act(client, Action::Send(Element::new("message", ns::CLIENT).text(long.clone())));
                hear(&mut tls, &format!("<message>{long}</message>")).await;
                drop(tls);
                world.closed().await;
            })
            .await;
    }
}

#[tokio::test]
async fn the_second_port_begins_with_tls() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(Some(certificate("default.p12")));
            let socket = TcpStream::connect(("127.0.0.1", world.tls_port)).await.unwrap();
            let name = ServerName::try_from("chat.example.org").unwrap();
            let connecting = connector(&[&TLS13], &[b"xmpp-client"]).connect(name.clone(), socket);
            let (tls, client) = tokio::join!(connecting, world.opened(Cover::Encrypted));
            let mut tls = tls.unwrap();
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"xmpp-client"[..]));
            world.answer(client);
            hear(&mut tls, ANSWER).await;
            // XEP-0368 §5: who wants to speak something else is at the wrong port.
            let socket = TcpStream::connect(("127.0.0.1", world.tls_port)).await.unwrap();
            let refusal = connector(&[&TLS13], &[b"h2"]).connect(name, socket).await.unwrap_err();
            assert!(refusal.to_string().contains("NoApplicationProtocol"), "{refusal}");
        })
        .await;
}

#[tokio::test]
async fn who_connects_after_a_renewal_sees_the_new_certificate_and_others_stay() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(Some(certificate("default.p12")));
            let (client, mut tls) = world.encrypt(&[&TLS13]).await;
            world.links.replace_certificate(Some(certificate("rsa-legacy.p12")));
            world.answer(client);
            hear(&mut tls, ANSWER).await;
            let socket = TcpStream::connect(("127.0.0.1", world.tls_port)).await.unwrap();
            let name = ServerName::try_from("chat.example.org").unwrap();
            let refusal = connector(&[&TLS13], &[]).connect(name, socket).await.unwrap_err();
            assert!(refusal.to_string().contains("invalid peer certificate"), "{refusal}");
        })
        .await;
}

#[tokio::test]
async fn what_still_comes_of_a_former_stream_is_of_no_interest() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(None);
            let mut socket = world.connect().await;
            let client = world.opened(Cover::Plain).await;
            say(&mut socket, &format!("{HEADER}<auth/><message/>")).await;
            let arrival = world.input.next(false).await;
            world.links.act(client, Action::Restart);
            assert!(!world.links.is_current(client, arrival.stream));
            // Larger than a stranger's may be.
            let text = "x".repeat(15_000);
            say(&mut socket, &format!("{HEADER}<message>{text}</message>")).await;
            assert!(matches!(&world.pieces().await[..], [Piece::Open(_), ..]));
            loop {
                if let [Piece::Stanza(message)] = &world.pieces().await[..] {
                    assert_eq!(message.content(), text);
                    break;
                }
            }
            say(&mut socket, &format!("<message>{text}{text}</message>")).await;
            assert!(matches!(&world.pieces().await[..], [Piece::TooLarge { .. }]));
        })
        .await;
}

#[tokio::test]
async fn what_is_no_xmpp_gets_an_error_and_an_end() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(None);
            let component = HEADER.replace("jabber:client", "jabber:component:accept");
            for (text, condition) in
                [("GET / HTTP/1.1\r\n\r\n", "bad-format"), (&component, "invalid-namespace")]
            {
                let mut socket = world.connect().await;
                world.opened(Cover::Plain).await;
                say(&mut socket, text).await;
                let answer = rest(&mut socket).await;
                assert!(
                    answer.starts_with("<?xml version='1.0'?><stream:stream xmlns='jabber:client'"),
                    "{answer}"
                );
                assert!(answer.contains(&format!("<{condition} ")), "{answer}");
                assert_eq!(world.closed().await, "it sent what is no XMPP");
            }
        })
        .await;
}

#[tokio::test]
async fn a_stranger_may_not_talk_for_ever() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(None);
            let mut socket = world.connect().await;
            world.opened(Cover::Plain).await;
            say(&mut socket, HEADER).await;
            world.pieces().await;
            // Blanks are no pieces.
            say(&mut socket, &" ".repeat(70_000)).await;
            assert!(rest(&mut socket).await.contains("<policy-violation"));
            assert_eq!(world.closed().await, "it sent too much before it logged in");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_says_nothing_is_let_go() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(Some(certificate("default.p12")));
            let mut socket = world.connect().await;
            world.opened(Cover::StartTls).await;
            assert!(rest(&mut socket).await.contains("<connection-timeout"));
            assert_eq!(world.closed().await, "it took too long to log in");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_on_an_idle_stream_is_sent_blanks() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(None);
            let mut socket = world.connect().await;
            let client = world.opened(Cover::Plain).await;
            world.links.act(client, Action::Restart);
            hear(&mut socket, " ").await;
        })
        .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(None);
            let _socket = world.connect().await;
            let client = world.opened(Cover::Plain).await;
            world.links.act(client, Action::Restart);
            let message = Element::new("message", ns::CLIENT).text("x".repeat(100_000));
            // What the kernel's buffers take comes on top.
            for _ in 0..400 {
                world.links.act(client, Action::Send(message.clone()));
                tokio::task::yield_now().await;
            }
            assert_eq!(world.closed().await, "it does not read what is sent to it");
        })
        .await;
}

#[tokio::test]
async fn at_the_end_everybody_is_told() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(Some(certificate("default.p12")));
            let (client, mut tls) = world.encrypt(&[&TLS13]).await;
            world.answer(client);
            hear(&mut tls, ANSWER).await;
            let mut stranger = world.connect().await;
            world.opened(Cover::StartTls).await;
            let (port, World { links, input, .. }) = (world.port, world);
            let ((), told, stranger) = tokio::join!(links.finish(input), rest(&mut tls), rest(&mut stranger));
            assert!(told.starts_with("<stream:error><system-shutdown"), "{told}");
            assert!(
                stranger.contains("<system-shutdown") && stranger.ends_with("</stream:stream>"),
                "{stranger}"
            );
            assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
        })
        .await;
}

#[tokio::test]
async fn the_end_waits_for_no_client_whose_news_nobody_takes() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(None);
            let mut sockets = Vec::new();
            for _ in 0..2 * QUEUE {
                sockets.push(world.connect().await);
            }
            while world.links.count() < sockets.len() {
                tokio::task::yield_now().await;
            }
            let World { links, input, .. } = world;
            let end = tokio::time::timeout(Duration::from_secs(5), links.finish(input));
            assert!(end.await.is_ok(), "it waits");
        })
        .await;
}
