//! XEP-0115: Entity Capabilities.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use crate::element::Element;
use crate::ns;
use crate::xep_0004::Form;
use crate::xep_0030::Info;

/// What a presence says about its sender's capabilities.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caps {
    /// The sender's program, as a URI.
    pub node: String,
    /// The hash function's name.
    pub hash: String,
    /// The hash.
    pub ver: String,
}

impl Caps {
    /// The capabilities `info`, of the program `node`.
    pub fn of(node: impl Into<String>, info: &Info) -> Self {
        Self { node: node.into(), hash: "sha-1".to_owned(), ver: ver(info) }
    }

    /// Reads them from a presence. None also for the form before version 1.4 of the XEP, which has no hash.
    pub fn read(presence: &Element) -> Option<Self> {
        let c = presence.find("c", ns::CAPS)?;
        let attr = |name| c.attr(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Self { node: attr("node")?, hash: attr("hash")?, ver: attr("ver")? })
    }

    /// The child of a presence that says them.
    pub fn element(&self) -> Element {
        Element::new("c", ns::CAPS)
            .with("hash", self.hash.as_str())
            .with("node", self.node.as_str())
            .with("ver", self.ver.as_str())
    }

    /// The disco node at which to ask what the hash stands for (§6.2).
    pub fn query_node(&self) -> String {
        format!("{}#{}", self.node, self.ver)
    }

    /// Whether `info` is what the hash stands for; only then may it be believed of others (§5.4).
    pub fn matches(&self, info: &Info) -> bool {
        self.hash == "sha-1" && is_unambiguous(info) && ver(info) == self.ver
    }
}

/// The verification string of `info` (§5.1).
pub fn ver(info: &Info) -> String {
    STANDARD.encode(Sha1::digest(hash_input(info)))
}

fn hash_input(info: &Info) -> String {
    let mut identities: Vec<String> = info
        .identities
        .iter()
        .map(|identity| {
            let lang = identity.lang.as_deref().unwrap_or_default();
            let name = identity.name.as_deref().unwrap_or_default();
            format!("{}/{}/{lang}/{name}<", identity.category, identity.type_)
        })
        .collect();
    identities.sort_unstable();
    let mut features: Vec<&str> = info.features.iter().map(AsRef::as_ref).collect();
    features.sort_unstable();
    let mut forms: Vec<(&str, &Form)> =
        info.forms.iter().filter_map(|form| Some((form.value(FORM_TYPE)?, form))).collect();
    forms.sort_unstable_by_key(|(form_type, _)| *form_type);

    let mut input = identities.concat();
    let mut put = |text: &str| {
        input.push_str(text);
        input.push('<');
    };
    features.into_iter().for_each(&mut put);
    for (form_type, form) in forms {
        put(form_type);
        let mut fields: Vec<_> = form.fields.iter().filter(|field| field.var != FORM_TYPE).collect();
        fields.sort_by_key(|field| field.var.as_str());
        for field in fields {
            put(&field.var);
            let mut values: Vec<_> = field.values.iter().map(String::as_str).collect();
            values.sort_unstable();
            values.into_iter().for_each(&mut put);
        }
    }
    input
}

const FORM_TYPE: &str = "FORM_TYPE";

/// §5.4 step 3: what comes twice, or holds the separator, could stand for something else.
fn is_unambiguous(info: &Info) -> bool {
    let unique = |texts: &mut Vec<String>| {
        texts.sort_unstable();
        texts.windows(2).all(|pair| pair.first() != pair.last())
    };
    let mut features: Vec<String> = info.features.iter().map(ToString::to_string).collect();
    let mut identities: Vec<String> = info
        .identities
        .iter()
        .map(|identity| {
            format!("{}/{}/{:?}/{:?}", identity.category, identity.type_, identity.lang, identity.name)
        })
        .collect();
    let mut forms: Vec<String> =
        info.forms.iter().filter_map(|form| form.value(FORM_TYPE)).map(str::to_owned).collect();
    let no_separator = |texts: &[String]| !texts.iter().any(|text| text.contains('<'));
    no_separator(&features)
        && no_separator(&identities)
        && unique(&mut features)
        && unique(&mut identities)
        && unique(&mut forms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xep_0004::{Field, FieldType, FormType};
    use crate::xep_0030::Identity;

    /// XEP-0115 §5.2.
    fn exodus() -> Info {
        Info::default().identity(Identity::new("client", "pc").name("Exodus 0.9.1")).features(&[
            ns::CAPS,
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::MUC,
        ])
    }

    /// XEP-0115 §5.3.
    fn psi() -> Info {
        let identity = |lang: &str, name| Identity {
            lang: Some(lang.to_owned()),
            ..Identity::new("client", "pc").name(name)
        };
        let field = |var, value: &str| Field::new(FieldType::TextSingle, var).value(value);
        let mut info = exodus();
        info.identities = vec![identity("en", "Psi 0.11"), identity("el", "Ψ 0.11")];
        info.forms = vec![
            Form::new(FormType::Result)
                .field(Field::hidden(FORM_TYPE, "urn:xmpp:dataforms:softwareinfo"))
                .field(field("ip_version", "ipv4").value("ipv6"))
                .field(field("os", "Mac"))
                .field(field("os_version", "10.5.1"))
                .field(field("software", "Psi"))
                .field(field("software_version", "0.11")),
        ];
        info
    }

    #[test]
    fn the_examples_of_the_xep() {
        assert_eq!(ver(&exodus()), "QgayPKawpkPSDYmwT/WM94uAlu0=");
        assert_eq!(ver(&psi()), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
    }

    #[test]
    fn order_does_not_matter() {
        let mut info = psi();
        info.features.reverse();
        info.identities.reverse();
        info.forms[0].fields.reverse();
        info.forms[0].fields[4].values.reverse();
        assert_eq!(ver(&info), ver(&psi()));
    }

    #[test]
    fn caps_are_read_as_they_were_written() {
        let caps = Caps::of("http://code.google.com/p/exodus", &exodus());
        let presence = Element::new("presence", ns::CLIENT).child(caps.element());
        assert_eq!(Caps::read(&presence), Some(caps.clone()));
        assert_eq!(caps.query_node(), "http://code.google.com/p/exodus#QgayPKawpkPSDYmwT/WM94uAlu0=");
        let old = Element::new("c", ns::CAPS).with("node", "x").with("ver", "0.9");
        assert_eq!(Caps::read(&Element::new("presence", ns::CLIENT).child(old)), None);
    }

    #[test]
    fn info_is_believed_only_if_it_matches() {
        let caps = Caps::of("x", &exodus());
        assert!(caps.matches(&exodus()));
        assert!(!caps.matches(&exodus().feature(ns::PING)));
        let doubled = exodus().feature(ns::MUC);
        assert!(!Caps::of("x", &doubled).matches(&doubled));
        // §8.2: two features that hash like one.
        let joined = Info::default().feature("a<b");
        assert_eq!(ver(&joined), ver(&Info::default().feature("a").feature("b")));
        assert!(!Caps::of("x", &joined).matches(&joined));
    }
}
