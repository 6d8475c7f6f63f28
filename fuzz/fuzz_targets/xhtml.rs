//! Any text as markup from a legacy network: what is left is well-formed, and clean if it is cleaned again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spectrum2_xmpp::{Element, ns, xep_0071};

fuzz_target!(|markup: &str| {
    xep_0071::plain_text(markup);
    let Some(html) = xep_0071::sanitise(markup) else { return };
    let html = Element::parse(&html.to_xml()).expect("what is written is well-formed");
    let message = Element::new("message", ns::CLIENT).child(html.clone());
    let Some(once) = xep_0071::read(&message) else { return };
    assert!(!once.contains("<script"));
    let again = xep_0071::sanitise(&once).expect("markup that was kept is kept again");
    assert_eq!(Element::parse(&again.to_xml()), Ok(html));
});
