//! XEP-0085: Chat State Notifications.

use serde::{Deserialize, Serialize};

use crate::element::Element;
use crate::ns;

/// What the other side of a conversation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChatState {
    /// Paying attention.
    Active,
    /// Typing.
    Composing,
    /// Was typing.
    Paused,
    /// Not paying attention.
    Inactive,
    /// Has left the conversation.
    Gone,
}

impl ChatState {
    /// Reads it from a message.
    pub fn read(message: &Element) -> Option<Self> {
        message.elements().filter(|child| child.ns() == ns::CHATSTATES).find_map(|child| match child.name() {
            "active" => Some(Self::Active),
            "composing" => Some(Self::Composing),
            "paused" => Some(Self::Paused),
            "inactive" => Some(Self::Inactive),
            "gone" => Some(Self::Gone),
            _ => None,
        })
    }

    /// The child of a message that says it.
    pub fn element(self) -> Element {
        let name = match self {
            Self::Active => "active",
            Self::Composing => "composing",
            Self::Paused => "paused",
            Self::Inactive => "inactive",
            Self::Gone => "gone",
        };
        Element::new(name, ns::CHATSTATES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_were_written() {
        use ChatState::{Active, Composing, Gone, Inactive, Paused};
        for state in [Active, Composing, Paused, Inactive, Gone] {
            assert_eq!(
                ChatState::read(&Element::new("message", ns::CLIENT).child(state.element())),
                Some(state)
            );
        }
        let odd = Element::new("message", ns::CLIENT).child(Element::new("asleep", ns::CHATSTATES));
        assert_eq!(ChatState::read(&odd), None);
    }
}
