use super::*;

use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

use crate::gateway::admin::State;
use crate::gateway::counters::Fault;

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot { xmpp_state: "connected", ..Snapshot::default() };
    snapshot.core.sessions.insert(State::Online, 3);
    snapshot.core.stages.insert("ready", 2);
    snapshot.counters.from_xmpp = 7;
    snapshot.counters.fault(Fault::LoginRefused);
    snapshot.counters.delivery.observe(120);
    snapshot
}

fn watched(jid: &str) -> (watch::Sender<Snapshot>, Watched) {
    let (sender, receiver) = watch::channel(snapshot());
    (sender, Watched { jid: jid.to_owned(), snapshot: receiver })
}

#[test]
fn each_transport_has_its_numbers_and_no_family_is_torn() {
    let (transports, watched): (Vec<_>, Vec<_>) = ["a.example", "b.example"].map(watched).into_iter().unzip();
    let text = exposition(&watched, SystemTime::now());
    drop(transports);
    for line in [
        "spectrum2_build_info{version=\"3.0.0\"} 1",
        "spectrum2_xmpp_up{transport=\"b.example\"} 1",
        "spectrum2_sessions{transport=\"a.example\",state=\"online\"} 3",
        "spectrum2_sessions{transport=\"a.example\",state=\"retrying\"} 0",
        "spectrum2_messages_total{transport=\"a.example\",to=\"network\"} 7",
        "spectrum2_errors_total{transport=\"a.example\",kind=\"login_refused\"} 1",
        "spectrum2_backends{transport=\"b.example\",state=\"ready\"} 2",
        "spectrum2_delivery_seconds_bucket{transport=\"a.example\",le=\"0.1\"} 0",
        "spectrum2_delivery_seconds_bucket{transport=\"a.example\",le=\"0.25\"} 1",
        "spectrum2_delivery_seconds_bucket{transport=\"a.example\",le=\"1.0\"} 1",
        "spectrum2_delivery_seconds_bucket{transport=\"a.example\",le=\"+Inf\"} 1",
        "spectrum2_delivery_seconds_sum{transport=\"a.example\"} 0.12",
    ] {
        assert!(text.lines().any(|there| there == line), "{line}\n{text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
    let mut families = BTreeSet::new();
    let mut family = "";
    for line in text.lines().take_while(|line| *line != "# EOF") {
        match line.strip_prefix("# TYPE ") {
            Some(declared) => {
                family = declared.split(' ').next().unwrap();
                assert!(families.insert(family), "{family} comes twice");
            }
            None => {
                let name =
                    ["# UNIT ", "# HELP "].iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line);
                assert!(name.starts_with(family), "{line} is not of {family}");
            }
        }
    }
}

/// A server at a socket of its own.
struct Place {
    path: PathBuf,
    server: Server,
    transport: watch::Sender<Snapshot>,
}

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("spectrum2-test-{}.metrics", fastrand::u64(..)));
        let (transport, watched) = watched("a.example");
        let sockets =
            Sockets { unix: vec![bind_unix(&path).unwrap()], tcp: Vec::new(), file: Some(path.clone()) };
        Self { server: Server::start(sockets, vec![watched]), path, transport }
    }

    async fn connect(&self) -> tokio::net::UnixStream {
        tokio::net::UnixStream::connect(&self.path).await.unwrap()
    }

    async fn scrape(&self) -> String {
        let mut stream = self.connect().await;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

async fn on_one_thread(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_scrape_shows_what_the_transport_said_last() {
    on_one_thread(async {
        let place = Place::new();
        assert!(place.scrape().await.contains("spectrum2_xmpp_up{transport=\"a.example\"} 1\n"));
        place.transport.send_modify(|snapshot| snapshot.xmpp_state = "waiting");
        let answer = place.scrape().await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("spectrum2_xmpp_up{transport=\"a.example\"} 0\n"), "{answer}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_holds_others_up_for_a_while_only() {
    on_one_thread(async {
        let place = Place::new();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(place.connect().await);
        }
        let start = tokio::time::Instant::now();
        assert!(place.scrape().await.contains("200 OK"));
        assert!(start.elapsed() >= TIME && start.elapsed() <= TIME * 2, "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test]
async fn one_byte_at_a_time_is_a_request_too_but_no_endless_one() {
    on_one_thread(async {
        let place = Place::new();
        let mut stream = place.connect().await;
        for byte in b"GET /metrics HTTP/1.1\r\n\r\n" {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");

        let mut stream = place.connect().await;
        stream.write_all("x".repeat(8 * 1024).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    on_one_thread(async {
        let place = Place::new();
        assert_eq!(fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(bind_unix(&place.path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let Place { path, mut server, .. } = place;
        // As if it had been killed.
        server.file = None;
        drop(server);
        tokio::task::yield_now().await;
        assert!(path.exists());
        drop(bind_unix(&path).unwrap());
        fs::remove_file(path).unwrap();
    })
    .await;
}
