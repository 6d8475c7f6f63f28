//! Any text as an element: what is read is written well-formed and reads the same; every reader of stanzas survives it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spectrum2_xmpp::stanza::{Condition, Stanza, StanzaError, iq_result, refuse};
use spectrum2_xmpp::xep_0030::Info;
use spectrum2_xmpp::xep_0054::VCard;
use spectrum2_xmpp::xep_0077::Submission;
use spectrum2_xmpp::xep_0115::Caps;
use spectrum2_xmpp::xep_0356::Privileges;
use spectrum2_xmpp::{Element, roster, xep_0004, xep_0071};

fn assert_round_trip(element: &Element) {
    assert_eq!(Element::parse(&element.to_xml()).as_ref(), Ok(element));
}

fuzz_target!(|text: &str| {
    let Ok(element) = Element::parse(text) else { return };
    assert_round_trip(&element);
    if let Some(reply) = refuse(&element, Condition::BadRequest) {
        assert_round_trip(&reply);
    }
    iq_result(&element);
    StanzaError::read(&element);
    Caps::read(&element);
    Privileges::read(&element);
    xep_0071::read(&element);
    for payload in element.elements() {
        if let Some(form) = xep_0004::Form::read(payload) {
            assert_round_trip(&form.element());
        }
        if let Some(info) = Info::read(payload) {
            assert_round_trip(&info.element());
            Caps::of("x", &info).matches(&info);
        }
        assert_round_trip(&VCard::read(payload).element());
        for item in roster::read(payload) {
            assert_eq!(roster::Item::read(&item.element()), Some(item));
        }
        Submission::read(payload);
    }
    if let Err(malformed) = Stanza::read(element) {
        malformed.reply();
    }
});
