//! What is counted, for those who watch.

use super::*;
use crate::gateway::admin::State;
use crate::gateway::counters::Fault;

fn faults(stage: &Stage, fault: Fault) -> u64 {
    stage.gateway.counters().faults.get(&fault).copied().unwrap_or(0)
}

fn disconnected(error: i32) -> Frame {
    Frame::Disconnected(Disconnected { user: "romeo@example.org".into(), error, message: Some("No".into()) })
}

#[test]
fn how_long_a_login_and_a_delivery_take() {
    let mut stage = Stage::new();
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    let (link, _) = stage.login_of("romeo@example.org");
    let before = stage.gateway.counters();
    assert_eq!((before.login.count, before.delivery.count), (0, 0));
    let status = stage.gateway.status();
    assert_eq!(status.sessions.get(&State::Connecting), Some(&1));
    assert_eq!(status.stages.values().sum::<usize>(), 1);

    stage.wait(2);
    stage.network(link, Frame::Connected(Connected { user: "romeo@example.org".into() }));
    let login = stage.gateway.counters().login;
    assert_eq!(login.count, 1);
    assert!((2_000..3_000).contains(&login.sum), "{login:?}");
    assert_eq!(stage.gateway.status().sessions.get(&State::Online), Some(&1));

    stage.says(&format!(
        "<message from='{ROMEO}' to='nurse@irc.example.org' type='chat'><body>Good morrow</body></message>"
    ));
    let serial = stage.conversation().1.serial.unwrap();
    assert_eq!(stage.gateway.status().kept, 1);
    stage.wait(3);
    let user_name = "romeo@example.org".to_owned();
    stage.network(link, Frame::Result(MessageResult { user_name, serial, ..Default::default() }));
    let delivery = stage.gateway.counters().delivery;
    assert_eq!((delivery.count, stage.gateway.status().kept), (1, 0));
    assert!((3_000..4_000).contains(&delivery.sum), "{delivery:?}");
}

#[test]
fn what_goes_wrong_is_counted_by_its_kind() {
    let mut stage = Stage::new();
    stage.says(&format!(
        "<message from='{ROMEO}' to='nurse@irc.example.org' type='chat'><body>Hello</body></message>"
    ));
    assert_eq!(faults(&stage, Fault::Message), 1);
    stage.says(&format!(
        "<iq from='{ROMEO}' to='{GATEWAY}' type='get' id='1'><query xmlns='urn:example:unknown'/></iq>"
    ));
    assert_eq!(faults(&stage, Fault::Request), 1);

    let mut stage = Stage::new();
    let link = stage.romeo_online();
    // 0: the network ended the connection, which may be mended by trying again.
    stage.network(link, disconnected(0));
    assert_eq!((faults(&stage, Fault::Session), faults(&stage, Fault::Login)), (1, 0));
    stage.wait(2);
    let (link, _) = stage.login_of("romeo@example.org");
    stage.network(link, disconnected(0));
    assert_eq!((faults(&stage, Fault::Session), faults(&stage, Fault::Login)), (1, 1));
    stage.wait(5);
    let (link, _) = stage.login_of("romeo@example.org");
    // 2: authentication failed.
    stage.network(link, disconnected(2));
    assert_eq!(faults(&stage, Fault::LoginRefused), 1);
    assert_eq!(faults(&stage, Fault::Storage), 0);
}
