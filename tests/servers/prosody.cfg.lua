-- Prosody of the scenarios: users at prosody.test, and one component for each way in which a server treats transports.
-- It stands for the legacy network when the transport under test belongs to ejabberd.

pidfile = "/run/prosody/prosody.pid"
log = { info = "*syslog" }
interfaces = { "127.0.0.2" }
component_interfaces = { "127.0.0.2" }
component_ports = { 5347 }

modules_enabled = { "roster", "saslauth", "tls", "disco", "private", "vcard_legacy", "pep", "ping", "version", "register", "privilege" }
modules_disabled = { "s2s" }

authentication = "internal_plain"
allow_registration = true
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
ssl = { key = "/etc/test-tls/prosody.key", certificate = "/etc/test-tls/prosody.crt" }

VirtualHost "prosody.test"
    -- XEP-0356: this component, and only this one, may read and change the users' rosters.
    privileged_entities = {
        ["trusted.prosody.test"] = {
            roster = "both", message = "outgoing", presence = "roster",
            iq = { ["http://jabber.org/protocol/pubsub"] = "both" },
        };
    }

-- Rooms of the network behind prpl-jabber.
Component "conference.prosody.test" "muc"

Component "irc.prosody.test"
    component_secret = "capulet"

Component "xmpp.prosody.test"
    component_secret = "capulet"

-- Its secret is not the one of the others.
Component "montague.prosody.test"
    component_secret = "montague"

Component "trusted.prosody.test"
    component_secret = "capulet"
    modules_enabled = { "privilege" }
