//! Protocol plugins and what they declare.

use libpurple_sys as sys;

use super::{c_text, copy, list};

/// A protocol plugin. Plugins are never unloaded, so this stays valid.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    plugin: *mut sys::PurplePlugin,
}

/// An option that a plugin declares for its accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolOption {
    /// Name, as it stands in `[purple]`.
    pub name: String,
    /// Type.
    pub kind: OptionKind,
}

/// Type of a [`ProtocolOption`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Yes or no.
    Boolean,
    /// A number.
    Integer,
    /// A text, free or out of a list.
    Text,
    /// Something that cannot be set by text.
    Other,
}

/// All protocol plugins that were found, by their ids.
pub fn protocols() -> Vec<Protocol> {
    // SAFETY: libpurple's own list of plugins, which does not change here.
    unsafe { list(sys::purple_plugins_get_protocols()) }
        .into_iter()
        .map(|plugin| Protocol { plugin })
        .collect()
}

impl Protocol {
    /// The plugin with this id.
    pub fn find(id: &str) -> Option<Self> {
        // SAFETY: a text of ours; the result is null or a loaded plugin.
        let plugin = unsafe { sys::purple_find_prpl(c_text(id).as_ptr()) };
        (!plugin.is_null()).then_some(Self { plugin })
    }

    /// Id, such as `prpl-irc`.
    pub fn id(self) -> String {
        // SAFETY: a plugin knows its id, a text that is never freed.
        unsafe { copy(sys::purple_plugin_get_id(self.plugin)) }
    }

    /// Name to show, such as `IRC`.
    pub fn name(self) -> String {
        // SAFETY: as for the id.
        unsafe { copy(sys::purple_plugin_get_name(self.plugin)) }
    }

    /// Whether accounts work without a password.
    pub fn needs_no_password(self) -> bool {
        self.info().is_some_and(|info| info.options & sys::PurpleProtocolOptions::OPT_PROTO_NO_PASSWORD != 0)
    }

    /// Whether accounts that can have a password work without one, too.
    pub fn password_is_optional(self) -> bool {
        let optional = sys::PurpleProtocolOptions::OPT_PROTO_PASSWORD_OPTIONAL;
        self.info().is_some_and(|info| info.options & optional != 0)
    }

    /// Whether facts about a contact can be asked for.
    pub fn has_user_info(self) -> bool {
        self.info().is_some_and(|info| info.get_info.is_some())
    }

    /// The options that it declares.
    pub fn options(self) -> Vec<ProtocolOption> {
        let Some(info) = self.info() else { return Vec::new() };
        // SAFETY: a plugin's list of options never changes once it is loaded.
        unsafe { list::<sys::PurpleAccountOption>(info.protocol_options) }
            .into_iter()
            .map(|option| {
                // SAFETY: the list holds options.
                let (name, kind) = unsafe {
                    (
                        copy(sys::purple_account_option_get_setting(option)),
                        sys::purple_account_option_get_type(option),
                    )
                };
                let kind = match kind {
                    sys::_PurplePrefType::PURPLE_PREF_BOOLEAN => OptionKind::Boolean,
                    sys::_PurplePrefType::PURPLE_PREF_INT => OptionKind::Integer,
                    sys::_PurplePrefType::PURPLE_PREF_STRING
                    | sys::_PurplePrefType::PURPLE_PREF_STRING_LIST => OptionKind::Text,
                    _ => OptionKind::Other,
                };
                ProtocolOption { name, kind }
            })
            .collect()
    }

    /// The functions of the plugin.
    pub(super) fn info(self) -> Option<&'static sys::PurplePluginProtocolInfo> {
        // SAFETY: `plugin` was loaded and stays so; the chain of pointers is checked; the table is static in the plugin.
        unsafe {
            let info = (*self.plugin).info.as_ref()?;
            info.extra_info.cast::<sys::PurplePluginProtocolInfo>().as_ref()
        }
    }
}
