//! XEP-0313: Message Archive Management: what is asked of an archive, and its answers.

use jid::Jid;

use crate::element::Element;
use crate::ns;
use crate::stanza::{Condition, ErrorType};
use crate::xep_0004::{Field, FieldType, Form, FormType};
use crate::xep_0059;
use crate::xep_0082;
use crate::xep_0280::forwarded;

/// Ids that one query may name.
pub const IDS: usize = 200;

/// Why a query cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A value is none of its field.
    Malformed,
    /// It has a field that is not known here (§4.1.5).
    UnknownField,
}

impl Refusal {
    /// What the error says.
    pub fn error(self) -> (ErrorType, Condition) {
        match self {
            Self::Malformed => (ErrorType::Modify, Condition::BadRequest),
            Self::UnknownField => (ErrorType::Cancel, Condition::FeatureNotImplemented),
        }
    }
}

/// Which messages are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Given back with each result.
    pub queryid: Option<String>,
    /// Not those from before this time, in milliseconds since 1970.
    pub start: Option<u64>,
    /// Not those from after this time.
    pub end: Option<u64>,
    /// Those of this sender.
    pub with: Option<Jid>,
    /// Those behind the one with this id.
    pub after_id: Option<String>,
    /// Those before the one with this id.
    pub before_id: Option<String>,
    /// Those with these ids; empty: all.
    pub ids: Vec<String>,
    /// Which part of them.
    pub page: xep_0059::Request,
    /// The last one first (§4.3.4).
    pub flipped: bool,
}

impl Query {
    /// Reads it from the `<query/>` of an iq of type set.
    ///
    /// # Errors
    /// It cannot be answered as it is.
    pub fn read(query: &Element) -> Result<Self, Refusal> {
        let mut read = Self {
            queryid: query.attr("queryid").map(str::to_owned),
            page: xep_0059::Request::read(query).unwrap_or_default(),
            flipped: query.find("flip-page", ns::MAM).is_some(),
            ..Self::default()
        };
        let form = query.find("x", ns::DATA).map(|x| Form::read(x).ok_or(Refusal::Malformed)).transpose()?;
        let Some(form) = form else { return Ok(read) };
        // §4.1: the form must say what it is.
        if form.form_type != FormType::Submit || form.value("FORM_TYPE") != Some(ns::MAM) {
            return Err(Refusal::Malformed);
        }
        for field in &form.fields {
            let Some(value) = field.values.first().map(|value| value.trim()) else { continue };
            let stamp = || xep_0082::to_unix_ms(value).map(Some).ok_or(Refusal::Malformed);
            match field.var.as_str() {
                "FORM_TYPE" => {}
                "start" => read.start = stamp()?,
                "end" => read.end = stamp()?,
                "with" => read.with = Some(value.parse().map_err(|_| Refusal::Malformed)?),
                "after-id" => read.after_id = Some(value.to_owned()),
                "before-id" => read.before_id = Some(value.to_owned()),
                "ids" if field.values.len() <= IDS => read.ids.clone_from(&field.values),
                "ids" => return Err(Refusal::Malformed),
                _ => return Err(Refusal::UnknownField),
            }
        }
        Ok(read)
    }
}

/// The answer to an iq of type get: the fields that a query may have (§4.1.5).
pub fn form() -> Element {
    let single = |var: &str| Field::new(FieldType::TextSingle, var);
    let form = Form::new(FormType::Form)
        .field(Field::hidden("FORM_TYPE", ns::MAM))
        .field(Field::new(FieldType::JidSingle, "with"))
        .field(single("start"))
        .field(single("end"))
        .field(single("before-id"))
        .field(single("after-id"));
    // XEP-0122 §3.3: any id may be named, not only those of a list.
    let open = Element::new("validate", ns::VALIDATE)
        .with("datatype", "xs:string")
        .child(Element::new("open", ns::VALIDATE));
    let ids = Element::new("field", ns::DATA).with("type", "list-multi").with("var", "ids").child(open);
    Element::new("query", ns::MAM).child(form.element().child(ids))
}

/// The child of a message that carries an archived one (§4.2): its id, when it was sent, itself.
pub fn result(queryid: Option<&str>, id: &str, stamp: u64, message: Element) -> Element {
    let delay = Element::new("delay", ns::DELAY).with("stamp", xep_0082::from_unix_ms(stamp));
    Element::new("result", ns::MAM)
        .with_opt("queryid", queryid)
        .with("id", id)
        .child(forwarded(message).child(delay))
}

/// The answer to a query, behind the results; `set` says which part they are ([`xep_0059::answer`]).
pub fn fin(complete: bool, set: Element) -> Element {
    Element::new("fin", ns::MAM).with_opt("complete", complete.then_some("true")).child(set)
}

/// What an archive holds (§5): id and time of its first and last message.
pub fn metadata(ends: Option<[(String, u64); 2]>) -> Element {
    let ends = ends.into_iter().flat_map(|ends| ["start", "end"].into_iter().zip(ends));
    let end = |(name, (id, stamp)): (&'static str, (String, u64))| {
        Element::new(name, ns::MAM).with("id", id).with("timestamp", xep_0082::from_unix_ms(stamp))
    };
    Element::new("metadata", ns::MAM).children_from(ends.map(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inside: &str) -> Result<Query, Refusal> {
        let xml = format!("<query xmlns='urn:xmpp:mam:2' queryid='f27'>{inside}</query>");
        Query::read(&Element::parse(&xml).unwrap())
    }

    fn with_field(var: &str, value: &str) -> Result<Query, Refusal> {
        read(&format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
             <field var='{var}'><value>{value}</value></field></x>"
        ))
    }

    #[test]
    fn a_query_is_read() {
        assert_eq!(read(""), Ok(Query { queryid: Some("f27".into()), ..Query::default() }));
        assert_eq!(with_field("start", "2010-06-07T00:00:00Z").unwrap().start, Some(1_275_868_800_000));
        assert_eq!(with_field("end", "2010-06-07T00:00:00.25Z").unwrap().end, Some(1_275_868_800_250));
        assert_eq!(with_field("with", "a@b/c").unwrap().with, Some("a@b/c".parse().unwrap()));
        assert_eq!(with_field("ids", "x").unwrap().ids, ["x"]);
        let paged =
            read("<set xmlns='http://jabber.org/protocol/rsm'><max>9</max><before/></set><flip-page/>");
        let paged = paged.unwrap();
        assert_eq!((paged.page.max, paged.page.before.as_deref(), paged.flipped), (Some(9), Some(""), true));
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        assert_eq!(with_field("start", "yesterday"), Err(Refusal::Malformed));
        assert_eq!(Refusal::Malformed.error(), (ErrorType::Modify, Condition::BadRequest));
        assert_eq!(Refusal::UnknownField.error(), (ErrorType::Cancel, Condition::FeatureNotImplemented));
        assert_eq!(with_field("with", "@"), Err(Refusal::Malformed));
        assert_eq!(with_field("{http://example.com/}search", "x"), Err(Refusal::UnknownField));
        assert_eq!(read("<x xmlns='jabber:x:data' type='submit'/>"), Err(Refusal::Malformed));
        assert_eq!(read("<x xmlns='jabber:x:data'/>"), Err(Refusal::Malformed));
        let many = "<value>x</value>".repeat(IDS + 1);
        let many = format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
             <field var='ids'>{many}</field></x>"
        );
        assert_eq!(read(&many), Err(Refusal::Malformed));
    }

    #[test]
    fn the_wire_form() {
        let message = Element::new("message", ns::CLIENT).with("from", "a@b/c");
        assert_eq!(
            result(Some("f27"), "28", 1_275_868_800_250, message).to_xml(),
            "<result xmlns='urn:xmpp:mam:2' queryid='f27' id='28'><forwarded xmlns='urn:xmpp:forward:0'>\
             <message xmlns='jabber:client' from='a@b/c'/>\
             <delay xmlns='urn:xmpp:delay' stamp='2010-06-07T00:00:00.250Z'/></forwarded></result>"
        );
        assert_eq!(
            fin(true, xep_0059::answer(0, None, None, 0)).to_xml(),
            "<fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'>\
             <count>0</count></set></fin>"
        );
        assert_eq!(metadata(None).to_xml(), "<metadata xmlns='urn:xmpp:mam:2'/>");
        let ends = [("1".to_owned(), 0), ("2".to_owned(), 1_000)];
        assert!(metadata(Some(ends)).to_xml().contains("<end id='2' timestamp='1970-01-01T00:00:01Z'/>"));
        assert!(form().to_xml().contains("<open/>"));
    }
}
