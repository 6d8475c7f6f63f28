//! XEP-0077: In-Band Registration, the service's side.

use crate::element::Element;
use crate::ns;
use crate::xep_0004::{Form, FormType};

/// What somebody who registers is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Whether they are registered already.
    pub registered: bool,
    /// What to do.
    pub instructions: String,
    /// The name they have; empty if none yet.
    pub username: String,
    /// Whether a password is needed.
    pub needs_password: bool,
    /// The same as a form, for clients that know XEP-0004.
    pub form: Option<Form>,
}

impl Query {
    /// The `<query/>` that asks.
    pub fn element(&self) -> Element {
        let text = |name: &'static str, text: &str| Element::new(name, ns::REGISTER).text(text);
        Element::new("query", ns::REGISTER)
            .children_from(self.registered.then(|| Element::new("registered", ns::REGISTER)))
            .child(text("instructions", &self.instructions))
            .child(text("username", &self.username))
            .children_from(self.needs_password.then(|| Element::new("password", ns::REGISTER)))
            .children_from(self.form.as_ref().map(Form::element))
    }
}

/// What somebody answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Submission {
    /// Register with this, or change what was registered.
    Register(Values),
    /// Remove the registration.
    Remove,
    /// The form was given up.
    Cancel,
}

/// What was filled in. Not `Debug`: it holds passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// The name on the legacy network.
    pub username: Option<String>,
    /// The password there.
    pub password: Option<String>,
    /// The language of messages from the gateway.
    pub language: Option<String>,
    /// The encoding on the legacy network.
    pub encoding: Option<String>,
    /// The name of an account on the local server.
    pub local_username: Option<String>,
    /// The password of that account.
    pub local_password: Option<String>,
}

impl Submission {
    /// Reads the `<query/>` of an iq of type set: the legacy elements, and the form's fields before them.
    pub fn read(query: &Element) -> Self {
        // XEP-0077 §3.2.
        if query.find_same("remove").is_some() {
            return Self::Remove;
        }
        let form = Form::find(query);
        if let Some(form) = &form {
            if form.form_type == FormType::Cancel {
                return Self::Cancel;
            }
            // Spectrum 2's own field.
            if form.boolean("unregister") == Some(true) {
                return Self::Remove;
            }
        }
        let in_form = |var| form.as_ref().and_then(|form| form.value(var)).map(str::to_owned);
        let legacy = |name| query.child_text(name, ns::REGISTER).map(String::from);
        Self::Register(Values {
            username: in_form("username").or_else(|| legacy("username")),
            // Clients send the form back with an empty password where they filled in the legacy element.
            password: in_form("password").filter(|text| !text.is_empty()).or_else(|| legacy("password")),
            language: in_form("language"),
            encoding: in_form("encoding"),
            local_username: in_form("local_username"),
            local_password: in_form("local_password"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xep_0004::Field;

    fn read(content: &str) -> Submission {
        Submission::read(
            &Element::parse(&format!("<query xmlns='jabber:iq:register'>{content}</query>")).unwrap(),
        )
    }

    fn values(content: &str) -> Values {
        match read(content) {
            Submission::Register(values) => values,
            Submission::Remove | Submission::Cancel => panic!("{content}"),
        }
    }

    #[test]
    fn the_question() {
        let query = Query {
            registered: true,
            username: "romeo".to_owned(),
            needs_password: true,
            ..Query::default()
        };
        assert_eq!(
            query.element().to_xml(),
            "<query xmlns='jabber:iq:register'><registered/><instructions/><username>romeo</username><password/></query>"
        );
        let form = Form::new(FormType::Form).field(Field::hidden("FORM_TYPE", ns::REGISTER));
        let query = Query { form: Some(form.clone()), ..Query::default() };
        assert_eq!(Form::find(&query.element()), Some(form));
    }

    #[test]
    fn legacy_elements() {
        let values = values("<username>romeo</username><password/>");
        assert_eq!(values.username.as_deref(), Some("romeo"));
        assert_eq!(values.password.as_deref(), Some(""));
    }

    #[test]
    fn the_form_comes_first() {
        let values = values(
            "<username>old</username><password>legacy</password><x xmlns='jabber:x:data' type='submit'>\
             <field var='username'><value>romeo</value></field><field var='password'><value/></field>\
             <field var='language'><value>de</value></field></x>",
        );
        assert_eq!(values.username.as_deref(), Some("romeo"));
        assert_eq!(values.password.as_deref(), Some("legacy"));
        assert_eq!(values.language.as_deref(), Some("de"));
    }

    #[test]
    fn removal_in_both_spellings() {
        assert!(read("<remove/>") == Submission::Remove);
        let form = |value| {
            format!(
                "<x xmlns='jabber:x:data' type='submit'><field var='unregister'><value>{value}</value></field></x>"
            )
        };
        assert!(read(&form("true")) == Submission::Remove);
        assert!(read(&form("0")) != Submission::Remove);
        assert!(read("<x xmlns='jabber:x:data' type='cancel'/>") == Submission::Cancel);
    }
}
