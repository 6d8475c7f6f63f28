//! XEP-0004: Data Forms.

use crate::element::Element;
use crate::ns;

/// What a form is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormType {
    /// To be filled in.
    Form,
    /// Filled in.
    Submit,
    /// Filling in was given up.
    Cancel,
    /// Data that was asked for.
    Result,
}

impl FormType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Submit => "submit",
            Self::Cancel => "cancel",
            Self::Result => "result",
        }
    }
}

/// How a field is shown and what it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the standard's
pub enum FieldType {
    Boolean,
    Fixed,
    Hidden,
    JidMulti,
    JidSingle,
    ListMulti,
    ListSingle,
    TextMulti,
    TextPrivate,
    TextSingle,
}

impl FieldType {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Boolean, "boolean"),
        (Self::Fixed, "fixed"),
        (Self::Hidden, "hidden"),
        (Self::JidMulti, "jid-multi"),
        (Self::JidSingle, "jid-single"),
        (Self::ListMulti, "list-multi"),
        (Self::ListSingle, "list-single"),
        (Self::TextMulti, "text-multi"),
        (Self::TextPrivate, "text-private"),
        (Self::TextSingle, "text-single"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("text-single", |(_, name)| name)
    }

    /// XEP-0004 §3.3: a field of no or an unknown type is a line of text.
    fn from_attr(value: Option<&str>) -> Self {
        Self::ALL.iter().find(|(_, name)| Some(*name) == value).map_or(Self::TextSingle, |(kind, _)| *kind)
    }
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its kind; a submission need not say it.
    pub field_type: FieldType,
    /// Its name; empty for [`FieldType::Fixed`].
    pub var: String,
    /// Its name for people.
    pub label: Option<String>,
    /// Whether it must be filled in.
    pub required: bool,
    /// Its values.
    pub values: Vec<String>,
    /// What may be chosen: label and value.
    pub options: Vec<(Option<String>, String)>,
}

impl Field {
    /// An empty field.
    pub fn new(field_type: FieldType, var: impl Into<String>) -> Self {
        Self {
            field_type,
            var: var.into(),
            label: None,
            required: false,
            values: Vec::new(),
            options: Vec::new(),
        }
    }

    /// A hidden field with a value.
    pub fn hidden(var: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(FieldType::Hidden, var).value(value)
    }

    /// A text for the reader.
    pub fn fixed(text: impl Into<String>) -> Self {
        Self::new(FieldType::Fixed, "").value(text)
    }

    /// A yes or no.
    pub fn boolean(var: impl Into<String>, value: bool) -> Self {
        Self::new(FieldType::Boolean, var).value(if value { "1" } else { "0" })
    }

    /// Sets the name for people.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Says that it must be filled in.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds something to choose.
    #[must_use]
    pub fn option(mut self, label: Option<&str>, value: impl Into<String>) -> Self {
        self.options.push((label.map(str::to_owned), value.into()));
        self
    }

    fn element(&self) -> Element {
        let var = Some(self.var.as_str()).filter(|var| !var.is_empty());
        Element::new("field", ns::DATA)
            .with("type", self.field_type.as_str())
            .with_opt("var", var)
            .with_opt("label", self.label.as_deref())
            .children_from(self.required.then(|| Element::new("required", ns::DATA)))
            .children_from(self.values.iter().map(|text| value(text)))
            .children_from(self.options.iter().map(|(label, text)| {
                Element::new("option", ns::DATA).with_opt("label", label.as_deref()).child(value(text))
            }))
    }

    fn read(field: &Element) -> Self {
        Self {
            field_type: FieldType::from_attr(field.attr("type")),
            var: field.attr("var").unwrap_or_default().to_owned(),
            label: field.attr("label").map(str::to_owned),
            required: field.find_same("required").is_some(),
            values: children(field, "value").map(|value| value.content().into_owned()).collect(),
            options: children(field, "option")
                .map(|option| {
                    let value = option.child_text("value", ns::DATA).unwrap_or_default().into_owned();
                    (option.attr("label").map(str::to_owned), value)
                })
                .collect(),
        }
    }
}

/// A form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is for.
    pub form_type: FormType,
    /// Its title.
    pub title: Option<String>,
    /// What to do, a line each.
    pub instructions: Vec<String>,
    /// Its fields in order.
    pub fields: Vec<Field>,
}

impl Form {
    /// An empty form.
    pub fn new(form_type: FormType) -> Self {
        Self { form_type, title: None, instructions: Vec::new(), fields: Vec::new() }
    }

    /// Sets the title.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds instructions, one element for each line.
    #[must_use]
    pub fn instructions(mut self, text: &str) -> Self {
        self.instructions.extend(text.lines().map(str::to_owned));
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The first form among the children of `parent`.
    pub fn find(parent: &Element) -> Option<Self> {
        parent.find("x", ns::DATA).and_then(Self::read)
    }

    /// Reads a form; none if this is none, or of unknown type.
    pub fn read(x: &Element) -> Option<Self> {
        if !x.is("x", ns::DATA) {
            return None;
        }
        let form_type = match x.attr("type")? {
            "form" => FormType::Form,
            "submit" => FormType::Submit,
            "cancel" => FormType::Cancel,
            "result" => FormType::Result,
            _ => return None,
        };
        Some(Self {
            form_type,
            title: x.child_text("title", ns::DATA).map(Into::into),
            instructions: children(x, "instructions").map(|line| line.content().into_owned()).collect(),
            fields: children(x, "field").map(Field::read).collect(),
        })
    }

    /// The form as an element.
    pub fn element(&self) -> Element {
        let text = |name: &'static str, text: &String| Element::new(name, ns::DATA).text(text.as_str());
        Element::new("x", ns::DATA)
            .with("type", self.form_type.as_str())
            .children_from(self.title.iter().map(|title| text("title", title)))
            .children_from(self.instructions.iter().map(|line| text("instructions", line)))
            .children_from(self.fields.iter().map(Field::element))
    }

    /// The first value of a field.
    pub fn value(&self, var: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.var == var)?.values.first().map(String::as_str)
    }

    /// A yes or no; none if the field is missing or holds something else.
    pub fn boolean(&self, var: &str) -> Option<bool> {
        match self.value(var)?.trim() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        }
    }
}

fn value(text: &str) -> Element {
    Element::new("value", ns::DATA).text(text)
}

fn children<'e>(parent: &'e Element, name: &'static str) -> impl Iterator<Item = &'e Element> {
    parent.elements().filter(move |child| child.is(name, ns::DATA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_was_written() {
        let form = Form::new(FormType::Form)
            .title("Registration")
            .instructions("Enter your name.\nAnd your password.")
            .field(Field::hidden("FORM_TYPE", ns::REGISTER))
            .field(Field::new(FieldType::TextSingle, "username").label("Name").required().value("romeo"))
            .field(Field::new(FieldType::ListSingle, "language").value("en").option(Some("English"), "en"))
            .field(Field::boolean("unregister", false))
            .field(Field::fixed("Good luck."));
        let xml = form.element().to_xml();
        assert_eq!(Form::read(&Element::parse(&xml).unwrap()), Some(form.clone()));
        assert_eq!(form.instructions.len(), 2);
        assert_eq!(form.value("username"), Some("romeo"));
        assert_eq!(form.boolean("unregister"), Some(false));
        assert_eq!(form.boolean("username"), None);
    }

    #[test]
    fn the_wire_form() {
        let form = Form::new(FormType::Form).field(Field::new(FieldType::TextPrivate, "password").required());
        assert_eq!(
            form.element().to_xml(),
            "<x xmlns='jabber:x:data' type='form'><field type='text-private' var='password'><required/></field></x>"
        );
    }

    #[test]
    fn a_submission_need_not_name_types() {
        let x = Element::parse(
            "<x xmlns='jabber:x:data' type='submit'><field var='a'><value>1</value><value>2</value></field>\
             <field/><odd/></x>",
        )
        .unwrap();
        let form = Form::read(&x).unwrap();
        assert_eq!(form.fields[0].values, ["1", "2"]);
        assert_eq!(form.fields[0].field_type, FieldType::TextSingle);
        assert_eq!(form.value("b"), None);
    }

    #[test]
    fn a_form_of_no_type_is_none() {
        assert_eq!(Form::read(&Element::new("x", ns::DATA)), None);
        assert_eq!(Form::read(&Element::new("x", ns::DATA).with("type", "odd")), None);
        assert_eq!(Form::read(&Element::new("y", ns::DATA).with("type", "form")), None);
    }
}
