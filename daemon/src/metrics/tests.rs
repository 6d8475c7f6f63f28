use super::*;

use std::collections::{BTreeMap, BTreeSet};

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

/// Over TCP a close with something unread would be a reset, which can take the answer with it.
#[tokio::test]
async fn who_sends_more_than_a_request_gets_his_answer_whole() {
    on_one_thread(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (_transport, watched) = watched("a.example");
        let sockets = Sockets { unix: Vec::new(), tcp: vec![listener], file: None };
        let _server = Server::start(sockets, vec![watched]);
        let endless = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
        let body = format!("POST /metrics HTTP/1.1\r\nContent-Length: 50000\r\n\r\n{}", "x".repeat(50_000));
        let pipelined = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
        let zipped = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nAccept: text/html\r\n\r\n";
        for (request, status) in [
            (endless.as_str(), "HTTP/1.1 431 "),
            (&body, "HTTP/1.1 405 "),
            (&pipelined, "HTTP/1.1 200 OK\r\n"),
            (zipped, "HTTP/1.1 200 OK\r\n"),
        ] {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(status), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with("Connection: close") && !head.contains("Encoding"), "{head}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "one answer: {head}");
        }
    })
    .await;
}

/// Who still writes when he is answered is not cut off: he would take the reset for the answer.
#[tokio::test]
async fn who_still_writes_when_he_is_answered_can_go_on() {
    on_one_thread(async {
        let place = Place::new();
        let mut stream = place.connect().await;
        stream.write_all(b"POST /metrics HTTP/1.1\r\nContent-Length: 20000\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 405");
        // The server has ended by now what it will end without waiting.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            stream.write_all(&[b'x'; 1_000]).await.unwrap();
        }
    })
    .await;
}

/// A client that keeps its end open after the answer does not keep its place.
#[tokio::test(start_paused = true)]
async fn who_stays_after_the_answer_holds_others_up_no_longer_than_a_second() {
    on_one_thread(async {
        let place = Place::new();
        let mut staying = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = place.connect().await;
            stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
            staying.push(stream);
        }
        let start = tokio::time::Instant::now();
        assert!(place.scrape().await.contains("200 OK"));
        assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
    })
    .await;
}

/// spectrum2-systemd(7) lists the numbers: all that are served, with their labels, and no others.
#[test]
fn the_manual_lists_what_is_served() {
    let manual = include_str!("../../../man/spectrum2-systemd.7").replace("\\-", "-");
    let section = manual.split_once(".SH METRICS\n").unwrap().1;
    let section = section.split_once("\n.SH ").unwrap().0;
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let documented: BTreeSet<&str> = section
        .split(|c| !is_of_name(c))
        .filter(|word| word.starts_with("spectrum2_") || word.starts_with("process_"))
        .collect();

    let (_transport, watched) = watched("a.example");
    let text = exposition(&[watched], SystemTime::now());
    let (mut served, mut families) = (BTreeSet::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        // A histogram is known by the name of its family.
        let family =
            ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        served.insert(family);
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
        for (label, value) in labels.split(',').filter_map(|label| label.split_once('=')) {
            if !["transport", "le", "version"].contains(&label) {
                families.entry((family, label)).or_insert_with(BTreeSet::new).insert(value.trim_matches('"'));
            }
        }
    }
    assert_eq!(documented.difference(&served).collect::<Vec<_>>(), Vec::<&&str>::new(), "only in the manual");
    assert_eq!(served.difference(&documented).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in the manual");
    for ((family, label), values) in families {
        let entry = section
            .split("\n.TP\n")
            .find(|entry| entry.split('\n').next().unwrap().contains(family))
            .unwrap();
        assert!(entry.contains(&format!("{{ {label} }}")), "{family} has the label {label}");
        let words: BTreeSet<&str> = entry.split(|c| !is_of_name(c)).collect();
        let missing: Vec<_> = values.difference(&words).collect();
        assert!(missing.is_empty(), "{family}: the manual does not explain {missing:?}");
    }
}

/// OpenMetrics 1.0, "Metric naming": what a name ends with says what the number is.
#[test]
fn names_say_what_they_count() {
    let (_transport, watched) = watched("a.example");
    let text = exposition(&[watched], SystemTime::now());
    let declared = |word: &str| -> BTreeMap<&str, &str> {
        text.lines().filter_map(|line| line.strip_prefix(word)?.split_once(' ')).collect()
    };
    let (types, units, helps) = (declared("# TYPE "), declared("# UNIT "), declared("# HELP "));
    assert_eq!(types.keys().collect::<Vec<_>>(), helps.keys().collect::<Vec<_>>());
    for (family, kind) in &types {
        assert!(family.starts_with("spectrum2_") || family.starts_with("process_"), "{family}");
        assert!(helps[family].ends_with('.'), "{family}");
        let unit = units.get(family).copied().unwrap_or_default();
        let named = ["seconds", "bytes"].into_iter().find(|unit| family.ends_with(&format!("_{unit}")));
        assert_eq!(named.unwrap_or_default(), unit, "{family}");
        // The suffixes belong to samples, not to families.
        for end in ["_total", "_count", "_sum", "_bucket", "_info"] {
            assert!(!family.ends_with(end), "{family}");
        }
        let samples: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with(&format!("# HELP {family} ")))
            .skip(1)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split(['{', ' ']).next().unwrap().strip_prefix(family).unwrap())
            .collect();
        assert!(!samples.is_empty(), "{family}");
        let ends: &[&str] = match *kind {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("{other}"),
        };
        assert!(samples.iter().all(|end| ends.contains(end)), "{family}: {samples:?}");
    }
}
