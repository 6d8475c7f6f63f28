//! The XML namespaces that the transport speaks, each with the document that defines it.

/// RFC 6120: stanzas of a client stream. In memory, stanzas of *every* stream carry this namespace.
pub const CLIENT: &str = "jabber:client";
/// XEP-0114: Jabber Component Protocol. Appears on the wire only: the framer reads it as [`CLIENT`].
pub const COMPONENT: &str = "jabber:component:accept";
/// RFC 6120: the stream element, its features and its errors.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// RFC 6120 §4.9.3: stream error conditions.
pub const STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// RFC 6120 §8.3.3: stanza error conditions.
pub const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// RFC 6120 §5: STARTTLS negotiation.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120 §6: SASL negotiation.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// RFC 6120 §7: resource binding.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// RFC 3921 §3: session establishment, which old clients still ask for.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// RFC 6121 §2: Roster Management.
pub const ROSTER: &str = "jabber:iq:roster";
/// RFC 6121 §2.6: the server keeps versions of rosters (XEP-0237 before).
pub const ROSTERVER: &str = "urn:xmpp:features:rosterver";
/// XEP-0004: Data Forms.
pub const DATA: &str = "jabber:x:data";
/// XEP-0012: Last Activity.
pub const LAST: &str = "jabber:iq:last";
/// XEP-0030: Service Discovery (information).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030: Service Discovery (items).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0045: Multi-User Chat.
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// XEP-0045: Multi-User Chat (occupants).
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0045: Multi-User Chat (moderators).
pub const MUC_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// XEP-0045: Multi-User Chat (owners).
pub const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// XEP-0045 §6.4: the form with facts about a room.
pub const MUC_ROOM_INFO: &str = "http://jabber.org/protocol/muc#roominfo";
/// XEP-0045 §7.4: the room keeps the ids of messages.
pub const MUC_STABLE_ID: &str = "http://jabber.org/protocol/muc#stable_id";
/// XEP-0410 §3.3: the room itself answers pings to one's own nick.
pub const MUC_SELF_PING: &str = "http://jabber.org/protocol/muc#self-ping-optimization";
/// XEP-0048: Bookmarks, as kept in private storage.
pub const BOOKMARKS: &str = "storage:bookmarks";
/// XEP-0049: Private XML Storage.
pub const PRIVATE: &str = "jabber:iq:private";
/// XEP-0050: Ad-Hoc Commands.
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// XEP-0054: vcard-temp.
pub const VCARD: &str = "vcard-temp";
/// XEP-0059: Result Set Management.
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// XEP-0066: Out of Band Data (in messages).
pub const OOB: &str = "jabber:x:oob";
/// XEP-0071: XHTML-IM.
pub const XHTML_IM: &str = "http://jabber.org/protocol/xhtml-im";
/// XHTML 1.0, as used inside XEP-0071: XHTML-IM.
pub const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// XEP-0077: In-Band Registration.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0084: User Avatar (data).
pub const AVATAR_DATA: &str = "urn:xmpp:avatar:data";
/// XEP-0084: User Avatar (metadata).
pub const AVATAR_METADATA: &str = "urn:xmpp:avatar:metadata";
/// XEP-0060: Publish-Subscribe.
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// XEP-0085: Chat State Notifications.
pub const CHATSTATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0092: Software Version.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0100: Gateway Interaction (address prompt).
pub const GATEWAY: &str = "jabber:iq:gateway";
/// XEP-0115: Entity Capabilities.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0133: Service Administration: the prefix of its commands, and the type of its forms.
pub const ADMIN: &str = "http://jabber.org/protocol/admin";
/// XEP-0144: Roster Item Exchange.
pub const ROSTERX: &str = "http://jabber.org/protocol/rosterx";
/// XEP-0153: vCard-Based Avatars.
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// XEP-0172: User Nickname.
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// XEP-0184: Message Delivery Receipts.
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0199: XMPP Ping.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0191: Blocking Command.
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// XEP-0191 §3.4: why a stanza for somebody blocked is refused.
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// XEP-0198: Stream Management.
pub const SM: &str = "urn:xmpp:sm:3";
/// XEP-0202: Entity Time.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0203: Delayed Delivery.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0224: Attention.
pub const ATTENTION: &str = "urn:xmpp:attention:0";
/// XEP-0249: Direct MUC Invitations.
pub const CONFERENCE: &str = "jabber:x:conference";
/// XEP-0280: Message Carbons.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0297: Stanza Forwarding.
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// XEP-0122: Data Forms Validation.
pub const VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// XEP-0308: Last Message Correction.
pub const CORRECT: &str = "urn:xmpp:message-correct:0";
/// XEP-0313: Message Archive Management.
pub const MAM: &str = "urn:xmpp:mam:2";
/// XEP-0313 §4.1: the feature of archives that can be asked by id.
pub const MAM_EXTENDED: &str = "urn:xmpp:mam:2#extended";
/// XEP-0333: Displayed Markers.
pub const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// XEP-0334: Message Processing Hints.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0352: Client State Indication.
pub const CSI: &str = "urn:xmpp:csi:0";
/// XEP-0356: Privileged Entity, up to version 0.3.
pub const PRIVILEGE_1: &str = "urn:xmpp:privilege:1";
/// XEP-0356: Privileged Entity, since version 0.4.
pub const PRIVILEGE_2: &str = "urn:xmpp:privilege:2";
/// XEP-0359: Unique and Stable Stanza IDs.
pub const SID: &str = "urn:xmpp:sid:0";
/// XEP-0363: HTTP File Upload.
pub const UPLOAD: &str = "urn:xmpp:http:upload:0";
/// XEP-0060: what subscribers are told.
pub const PUBSUB_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// XEP-0060 §8: requests of who owns a node.
pub const PUBSUB_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// XEP-0060: why the service refuses something.
pub const PUBSUB_ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";
/// XEP-0060 §7.1: the service takes items.
pub const PUBSUB_PUBLISH: &str = "http://jabber.org/protocol/pubsub#publish";
/// XEP-0060 §7.1.5: the service looks at the options of a publication.
pub const PUBSUB_PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// XEP-0060 §6.5: the service gives items.
pub const PUBSUB_RETRIEVE_ITEMS: &str = "http://jabber.org/protocol/pubsub#retrieve-items";
/// XEP-0060 §7.2: the service takes items back.
pub const PUBSUB_RETRACT_ITEMS: &str = "http://jabber.org/protocol/pubsub#retract-items";
/// XEP-0060 §4.3: the service keeps items.
pub const PUBSUB_PERSISTENT_ITEMS: &str = "http://jabber.org/protocol/pubsub#persistent-items";
/// XEP-0060 §5.1.2: a node may have several items.
pub const PUBSUB_MULTI_ITEMS: &str = "http://jabber.org/protocol/pubsub#multi-items";
/// XEP-0060 §4.5: nobody else reads a node.
pub const PUBSUB_ACCESS_WHITELIST: &str = "http://jabber.org/protocol/pubsub#access-whitelist";
/// XEP-0163 §4.2: who says so among his capabilities is told of changes.
pub const PUBSUB_FILTERED_NOTIFICATIONS: &str = "http://jabber.org/protocol/pubsub#filtered-notifications";
/// XEP-0402 §6: both kinds of bookmarks are the same.
pub const BOOKMARKS_COMPAT: &str = "urn:xmpp:bookmarks:1#compat";
/// XEP-0402: PEP Native Bookmarks.
pub const BOOKMARKS_PEP: &str = "urn:xmpp:bookmarks:1";
/// XEP-0421: Occupant identifiers.
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// XEP-0424: Message Retraction.
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// XEP-0424 before version 0.4: Message Retraction, inside of [`FASTEN`].
pub const RETRACT_0: &str = "urn:xmpp:message-retract:0";
/// XEP-0422: Message Fastening.
pub const FASTEN: &str = "urn:xmpp:fasten:0";
/// XEP-0444: Message Reactions.
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
/// Spectrum 2's own element with the number of a connection error.
pub const SPECTRUM_ERROR: &str = "http://spectrum.im/error";
/// Spectrum 2's own presence child: be invisible on the legacy network.
pub const INVISIBLE: &str = "urn:xmpp:invisible:0";
/// Namespaces in XML 1.0 §3: the prefix `xml`, bound for ever.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Namespaces in XML 1.0 §3: the prefix `xmlns`, which no element may be in.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
