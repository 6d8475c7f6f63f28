//! XEP-0059: Result Set Management.

use crate::element::Element;
use crate::ns;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Not more than so many.
    pub max: Option<usize>,
    /// Those behind the one with this id.
    pub after: Option<String>,
    /// Those before the one with this id; if it is empty, the last ones.
    pub before: Option<String>,
    /// Those from this place on, counted from 0.
    pub index: Option<usize>,
}

impl Request {
    /// Reads it from the payload of an iq; none if it has none.
    pub fn read(payload: &Element) -> Option<Self> {
        let set = payload.find("set", ns::RSM)?;
        let text = |name| set.child_text(name, ns::RSM).map(|text| text.trim().to_owned());
        let number = |name| text(name).and_then(|text| text.parse().ok());
        Some(Self {
            max: number("max"),
            after: text("after").filter(|id| !id.is_empty()),
            before: text("before"),
            index: number("index"),
        })
    }

    /// The wanted part of `list`, never more than `most`, and where it begins. None if the id that the request names
    /// is not there (§2.2: item-not-found).
    pub fn page<'a, T>(
        &self,
        list: &'a [T],
        id: impl Fn(&T) -> &str,
        most: usize,
    ) -> Option<(usize, &'a [T])> {
        let max = self.max.unwrap_or(most).min(most);
        let place = |wanted: &str| list.iter().position(|item| id(item) == wanted);
        let (start, end) = match (&self.after, &self.before) {
            (Some(after), _) => (place(after)? + 1, list.len()),
            (None, Some(before)) => {
                let end = if before.is_empty() { list.len() } else { place(before)? };
                (end.saturating_sub(max), end)
            }
            (None, None) => (self.index.unwrap_or(0).min(list.len()), list.len()),
        };
        let end = end.min(start.saturating_add(max));
        Some((start, list.get(start..end)?))
    }
}

/// The `<set/>` that goes with a part of a list: where it begins, its first and last id, and how long the list is.
pub fn answer(start: usize, first: Option<&str>, last: Option<&str>, count: usize) -> Element {
    let id = |name: &'static str, id: &str| Element::new(name, ns::RSM).text(id);
    Element::new("set", ns::RSM)
        .children_from(first.map(|first| id("first", first).with("index", start.to_string())))
        .children_from(last.map(|last| id("last", last)))
        .child(Element::new("count", ns::RSM).text(count.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn page(set: &str, most: usize) -> Option<(usize, Vec<&'static str>)> {
        let query = format!("<query><set xmlns='http://jabber.org/protocol/rsm'>{set}</set></query>");
        let request = Request::read(&Element::parse(&query).unwrap()).unwrap();
        request.page(&LIST, |item| item, most).map(|(start, page)| (start, page.to_vec()))
    }

    #[test]
    fn lists_are_turned_page_by_page() {
        assert_eq!(page("<max>2</max>", 9), Some((0, vec!["a", "b"])));
        assert_eq!(page("<max>2</max><after>b</after>", 9), Some((2, vec!["c", "d"])));
        assert_eq!(page("<max>2</max><after>d</after>", 9), Some((4, vec!["e"])));
        assert_eq!(page("<max>2</max><before/>", 9), Some((3, vec!["d", "e"])));
        assert_eq!(page("<max>2</max><before>d</before>", 9), Some((1, vec!["b", "c"])));
        assert_eq!(page("<max>2</max><index>3</index>", 9), Some((3, vec!["d", "e"])));
        assert_eq!(page("<max>0</max>", 9), Some((0, vec![])));
    }

    #[test]
    fn odd_requests_are_harmless() {
        assert_eq!(page("<max>99</max>", 3), Some((0, vec!["a", "b", "c"])));
        assert_eq!(page("<max>-1</max><index>99</index>", 3), Some((5, vec![])));
        assert_eq!(page("<after>x</after>", 3), None);
        assert_eq!(page("<before>x</before>", 3), None);
    }

    #[test]
    fn the_answer_says_where_it_is() {
        assert_eq!(
            answer(2, Some("c"), Some("d"), 5).to_xml(),
            "<set xmlns='http://jabber.org/protocol/rsm'><first index='2'>c</first><last>d</last><count>5</count></set>"
        );
        assert!(answer(0, None, None, 5).find("first", ns::RSM).is_none());
    }
}
