//! The table of options: the one place where an option is declared.
//!
//! An option reads: doc comment (the meaning, shown to people), field (`"key"` where the key is no good field
//! name), `or` another accepted key, type, default, range, who obeys it, what it takes to change it while the
//! transport runs, and `untyped` where Spectrum 2 guessed the type from the text.
//! An empty text or path means "not given".

use std::fmt;
use std::path::PathBuf;

use crate::option::{Change, Kind, OptionInfo, Place, options};
use crate::secret::Secret;
use crate::syntax::Entry;
use crate::value::{DatabaseKind, LogLevel, ProxyKind, Value};

options! {
    /// The transport itself: its address, its processes and its limits.
    "service" as service: Service {
        /// JID of the transport: the component name that the XMPP server knows, or in server mode the domain
        /// that is served. Every contact has an address at this domain.
        jid: String = "", [Gateway Server Backend Manager] Restart;
        /// Gateway mode: host name or IP address of the XMPP server's component port. Server mode: IP address to
        /// listen on; 0.0.0.0 means all addresses.
        server: String = "127.0.0.1", [Gateway Server] Restart;
        /// Gateway mode: component port of the XMPP server, 5347 with most of them. Server mode: port on which
        /// clients connect, normally 5222.
        port: u16 = "0" in 0..=65535, [Gateway Server] Restart;
        /// Secret that the XMPP server and the transport share. The systemd credential component-password and
        /// service.password_file go before it.
        password: Secret = "", [Gateway] Restart;
        /// File that holds the component secret and nothing else, so that the transport file can be public.
        password_file: PathBuf = "", [Gateway] Restart;
        /// Be a server for XMPP clients instead of a component of an XMPP server.
        server_mode: bool = "0", [Gateway Server Backend] Restart;
        /// User that the transport runs as when it is started as root. Under systemd the unit switches to it.
        user: String = "", [Gateway Server] Restart;
        /// Group that the transport runs as when it is started as root.
        group: String = "", [Gateway Server] Restart;
        /// Program that serves the legacy network, with its arguments, quoted as in a shell. BACKEND_ID in it is
        /// replaced by a number that differs for each process. The path must be complete.
        backend: String = "/usr/bin/spectrum2_libpurple_backend", [Gateway Server Backend] Restart;
        /// Protocol of the legacy network: the id of a libpurple plugin such as prpl-irc, or any to let each user
        /// name it in front of the account name.
        protocol: String = "", [Gateway Server Backend] Restart;
        /// The side that users see. XMPP is the only one.
        frontend: String = "xmpp", [Gateway Server] Restart;
        /// File that holds the process id while a transport without systemd runs; it is locked meanwhile.
        pidfile: PathBuf = "/var/run/spectrum2/$jid.pid", [Gateway Server Manager] Restart;
        /// Accepted for files written for Spectrum 2, whose manager found service.backend_port there. Nothing reads
        /// it any more, so it is not written.
        portfile: PathBuf = "/var/run/spectrum2/$jid.port", [Gateway Server Manager] Restart;
        /// Directory for all that the transport and its backends keep. It is created when it is missing.
        working_dir: PathBuf = "/var/lib/spectrum2/$jid", [Gateway Server Backend] Restart;
        /// IP address at which backends that were written for Spectrum 2 find the daemon.
        backend_host: String = "127.0.0.1", [Gateway Server Backend Manager] Restart;
        /// TCP port at which backends that were written for Spectrum 2 find the daemon; 0 takes a free one.
        backend_port: u16 = "0" in 0..=65535, [Gateway Server Backend] Restart;
        /// Number of the backend process, in the names of its log files. The daemon passes it on the command
        /// line; do not set it in a file.
        backend_id: String = "", [Backend] Restart untyped;
        /// How many users share one backend process. With 1 the process ends when its user leaves.
        users_per_backend: u32 = "100" in 1..=100000, [Gateway Server] Reload;
        /// Whether a backend process that was full takes users again once some have left.
        reuse_old_backends: bool = "1", [Gateway Server] Reload;
        /// Accepted for files written for Spectrum 2, which moved users who were quiet for so many seconds to another
        /// backend process. Nothing does so any more, because it ends their sessions for a moment.
        idle_reconnect_time: u32 = "0" in 0..=31536000, [Gateway Server] Reload;
        /// Every so many seconds the backend process that uses most memory stops taking users, and ends when its last
        /// one has left; 0 never.
        memory_collector_time: u32 = "0" in 0..=31536000, [Gateway Server] Reload;
        /// Seconds between two logins to the legacy network; further users wait for their turn.
        login_delay: u32 = "0" in 0..=86400, [Gateway Server] Reload;
        /// After a start, ask all registered users whether they are online, not only those who were online when
        /// the transport stopped.
        reconnect_all_users: bool = "0", [Gateway] Restart;
        /// Bare JID of somebody who may use the admin commands.
        admin_jid: Vec<String> = "", [Gateway Server] Reload;
        /// Password with which an admin_jid logs in, in server mode.
        admin_password: Secret = "", [Server] Reload;
        /// Domain whose users may register although registration.enable_public_registration is off.
        allowed_servers: Vec<String> = "", [Gateway] Reload;
        /// Certificate and key for clients that connect in server mode: a PKCS#12 file, or a PEM file with the whole
        /// chain. The systemd credential cert goes before it. Without a certificate there is no encryption, so that
        /// service.server must be an address of the loopback.
        cert: PathBuf = "", [Server] Reload;
        /// PEM file with the key, if it is not in service.cert. The systemd credential cert-key goes before it.
        cert_key: PathBuf = "", [Server] Reload;
        /// Password of the PKCS#12 file. The systemd credential cert-password and service.cert_password_file go
        /// before it.
        cert_password: Secret = "", [Server] Reload;
        /// File that holds that password and nothing else.
        cert_password_file: PathBuf = "", [Server] Reload;
        /// Port on which clients connect in server mode with TLS from the first byte (XEP-0368), normally 5223; 0
        /// none.
        tls_port: u16 = "0" in 0..=65535, [Server] Restart;
        /// Let clients connect without encryption from other machines, in server mode without a certificate. Anybody
        /// on the way can read their passwords.
        allow_plain_text: bool = "0", [Server] Restart;
        /// Whether one user may be connected several times, in server mode.
        more_resources: bool = "0", [Server] Reload;
        /// Keep the list of blocked contacts of the legacy network.
        enable_privacy_lists: bool = "1", [Backend] Restart;
        /// Pass formatted messages of the legacy network on as XHTML-IM (XEP-0071) beside the plain text.
        enable_xhtml: bool = "1", [Gateway Server] Reload;
        /// Remove a contact from the legacy network, too, when the user removes it from the roster.
        enable_remove_buddy: bool = "0", [Gateway Backend] Restart;
        /// Make the address of the first image the text of a message that has images, for clients that show the
        /// image then (XEP-0066).
        oob_replace_body: bool = "1", [Gateway Server] Reload;
        /// Split a message with texts and images into one message for each. Goes before service.oob_replace_body.
        oob_split: bool = "0", [Gateway Server] Reload;
        /// How many rooms are listed of those that a backend lists for everybody.
        max_room_list_size: u32 = "100" in 0..=100000, [Gateway Server] Reload;
        /// Write names of contacts with JID escaping (XEP-0106). Otherwise @ becomes %.
        jid_escaping: bool = "1", [Gateway Server] Restart;
        /// Let only users log in whose vip flag is set in the database.
        vip_only: bool = "0", [Gateway Server] Reload;
        /// What a user without that flag is told.
        vip_message: String = "", [Gateway Server] Reload;
        /// Directory to which backends write images and files from the legacy network. Needs service.web_url.
        web_directory: PathBuf = "", [Backend] Restart;
        /// Web address of that directory.
        web_url: String = "", [Backend] Restart;
        /// Images of so many bytes or more are not written to service.web_directory.
        web_maximgsize: u32 = "1000000" in 0..=1000000000, [Backend] Restart;
        /// Check the certificates of the legacy network. Without the check anybody on the way can read the
        /// passwords of the users.
        verify_certs: bool = "1", [Backend] Restart untyped;
        /// IRC server for all rooms, as host, host:port, or host:+port for TLS; several are tried in turn.
        /// Without it the server is part of the room name. (libcommuni backend)
        irc_server: Vec<String> = "", [Backend] Restart untyped;
        /// How to log in to IRC services: the nick to talk to, then the text, in which $password and $name are
        /// replaced. (libcommuni backend)
        irc_identify: String = "NickServ identify $password", [Backend] Restart untyped;
        /// Send the password to the IRC server instead of to services. (libcommuni backend)
        irc_send_pass: bool = "0", [Backend] Restart untyped;
        /// Seconds between two questions about who in a room is away. (libcommuni backend)
        irc_away_timeout: u32 = "60" in 0..=86400, [Backend] Restart untyped;
        /// How many users may be registered; further registrations, and in server mode logins of others, are refused.
        max_users: u32 = "10000" in 1..=10000000, [Gateway Server] Reload;
        /// How many contacts one user may have; further ones are not shown.
        max_contacts: u32 = "5000" in 1..=1000000, [Gateway Server] Reload;
        /// How many messages of a room are archived for each user who is in it (XEP-0313), as plain text in the
        /// database. 0 archives nothing, and deletes what was archived.
        archive_size: u32 = "10000" in 0..=1000000, [Gateway Server] Reload;
        /// For how many days archived messages are kept; 0 as long as there is room for them.
        archive_days: u32 = "7" in 0..=36500, [Gateway Server] Reload;
        /// Largest stanza in bytes; a larger one is answered with an error. XMPP demands at least 10000.
        max_stanza_size: u32 = "262144" in 10000..=16777216, [Gateway Server] Restart;
        /// The least important messages that are logged.
        log_level: LogLevel = "info", [Gateway Server Backend] Reload;
    }

    /// Further transports from the same file.
    "vhosts" as vhosts: Vhosts {
        /// JID of one more transport with the same options, which the same process serves. In paths $jid is replaced
        /// for each, so that each has its own database.
        vhost: Vec<String> = "", [Gateway Manager] Restart;
    }

    /// Numbers for monitoring, in the text format of OpenMetrics: GET /metrics over HTTP. Under systemd the unit
    /// spectrum2-metrics@NAME.socket has a socket for them, and nothing need be set here.
    "metrics" as metrics: Metrics {
        /// Unix socket at which the transport itself serves them, to its user and group. The directory must exist and
        /// be writable for the transport.
        socket: PathBuf = "", [Gateway Server] Restart;
        /// Address and port of the loopback at which they are served to every program of this machine, such as
        /// 127.0.0.1:9797.
        listen: String = "", [Gateway Server] Restart;
    }

    /// What the transport calls itself in service discovery (XEP-0030).
    "identity" as identity: Identity {
        /// Name of the transport.
        name: String = "Spectrum 2 Transport", [Gateway Server Manager] Reload;
        /// Category of the transport in the XMPP registry of identities.
        category: String = "gateway", [Gateway Server] Reload;
        /// Type of the transport in that registry, for example irc.
        kind("type"): String = "", [Gateway Server] Reload;
    }

    /// How users register their account on the legacy network (XEP-0077).
    "registration" as registration: Registration {
        /// Let everybody register; otherwise only users from service.allowed_servers.
        enable_public_registration: bool = "1", [Gateway] Reload;
        /// Register whoever sends presence, without asking for a name and password.
        auto_register: bool = "0", [Gateway] Reload;
        /// What the form tells the user to do.
        instructions: String = "Enter your legacy network username and password.", [Gateway] Reload;
        /// Label of the field for the account name.
        username_label: String = "3rd-party network username", [Gateway] Reload;
        /// Label of the password where the admin command "args register" tells what it takes. In the form the field is
        /// always called Password, as with Spectrum 2.
        password_label: String = "3rd-party network password", [Gateway] Reload;
        /// Account name to store; $username in it is what the user entered.
        username_mask: String = "", [Gateway] Reload;
        /// Regular expression that the whole account name must match, after registration.username_mask was applied.
        allowed_usernames: String = "", [Gateway] Reload;
        /// Language that the form offers.
        language: String = "en", [Gateway] Reload;
        /// Let only admins register users. Spectrum 2 asked for an account on registration.local_account_server, too, and
        /// checked it, which nothing does any more.
        require_local_account: bool = "0", [Gateway] Reload;
        /// Accepted for files written for Spectrum 2: label of the field for the name of that account.
        local_username_label: String = "Local username:", [Gateway] Reload;
        /// Accepted for files written for Spectrum 2: XMPP server of that account.
        local_account_server: String = "localhost", [Gateway] Reload;
        /// Accepted for files written for Spectrum 2: how many milliseconds checking that account may take.
        local_account_server_timeout: u32 = "10000" in 0..=600000, [Gateway] Reload;
        /// JID that is told who registers and unregisters.
        notify_jid: Vec<String> = "", [Gateway] Reload;
        /// Whether an account of the legacy network has a password. The backend's word goes before it.
        need_password("needPassword"): bool = "1", [Gateway] Restart untyped;
        /// Whether users must register before they log in. The backend's word goes before it.
        need_registration("needRegistration"): bool = "1", [Gateway Server] Restart untyped;
    }

    /// What clients show to a user who adds a contact (XEP-0100).
    "gateway_responder" as gateway_responder: GatewayResponder {
        /// Name of the field.
        prompt: String = "Contact ID", [Gateway Server] Reload;
        /// Explanation of the field.
        label: String = "Enter legacy network contact ID.", [Gateway Server] Reload;
    }

    /// Where users, contacts and settings are stored.
    "database" as database: Database {
        /// Kind of the database. With none, nothing is stored and nobody can register.
        kind("type"): DatabaseKind = "sqlite3", [Gateway Server Manager] Restart;
        /// SQLite: the file, which is created when it is missing. MySQL and PostgreSQL: name of the database.
        database: String = "/var/lib/spectrum2/$jid/database.sql", [Gateway Server Manager] Restart;
        /// Host of the database server.
        server: String = "localhost", [Gateway Server Manager] Restart;
        /// User of the database.
        user: String = "", [Gateway Server Manager] Restart;
        /// Password of that user. The systemd credential database-password and database.password_file go before
        /// it.
        password: Secret = "", [Gateway Server Manager] Restart;
        /// File that holds that password and nothing else.
        password_file: PathBuf = "", [Gateway Server Manager] Restart;
        /// Port of the database server; 0 takes the usual one.
        port: u16 = "0" in 0..=65535, [Gateway Server Manager] Restart;
        /// Text in front of the names of all tables, so that several transports can share a database.
        prefix: String = "", [Gateway Server Manager] Restart;
        /// Connection string of PostgreSQL; all other options for the connection are ignored when it is given.
        connectionstring: Secret = "", [Gateway Server Manager] Restart untyped;
        /// Key with which stored passwords are obfuscated. The systemd credential encryption-key and
        /// database.encryption_key_file go before it.
        encryption_key: Secret = "", [Gateway Server] Restart;
        /// File that holds that key and nothing else.
        encryption_key_file: PathBuf = "", [Gateway Server] Restart;
        /// MySQL: a statement that returns a row when the user $barejid is a VIP.
        vip_statement: String = "", [Gateway Server] Restart;
    }

    /// Where log messages go when it is not the journal.
    "logging" as logging: Logging {
        /// File with the log4j properties for the daemon: which messages go to which log files. The journal gets
        /// what service.log_level says all the same.
        config: PathBuf = "", [Gateway Server] Restart;
        /// File with the log4j properties for the backends.
        backend_config: PathBuf = "", [Gateway Server Backend] Restart;
    }

    /// What backends do.
    "backend" as backend: Backend {
        /// Image that users without an avatar get on the legacy network.
        default_avatar: PathBuf = "", [Backend] Restart;
        /// Directory of avatars for the legacy network: one image for each account, with its name.
        avatars_directory: PathBuf = "", [Backend] Restart;
        /// Answer for vCards of contacts with what is known already instead of asking the legacy network.
        no_vcard_fetch: bool = "0", [Backend] Restart;
        /// Directory in which received short messages appear. (SMS backend)
        incoming_dir: PathBuf = "/var/spool/sms/incoming/", [Backend] Restart untyped;
    }

    /// Proxy between the backends and the legacy network.
    "proxy" as proxy: Proxy {
        /// Kind of the proxy.
        kind("type"): ProxyKind = "none", [Backend] Restart untyped;
        /// Host of the proxy.
        host or "server": String = "", [Backend] Restart untyped;
        /// Port of the proxy; 0 takes the usual one.
        port: u16 = "0" in 0..=65535, [Backend] Restart;
        /// User of the proxy.
        username or "user": String = "", [Backend] Restart untyped;
        /// Password of that user.
        password: Secret = "", [Backend] Restart;
    }

    /// What users start with until they change it themselves.
    "settings" as settings: Settings {
        /// Pass announcements on as headlines, not as ordinary messages.
        send_headlines: bool = "0", [Gateway Server] Reload untyped;
        /// Stay online on the legacy network, and in rooms, when the last client goes offline. The rooms are remembered in
        /// the database over a restart, those with a password with it, as plain text like the passwords of accounts.
        stay_connected: bool = "0", [Gateway Server] Reload untyped;
    }

    /// What the backend can do, until it says so itself.
    "features" as features: Features {
        /// Delivery receipts (XEP-0184).
        receipts: bool = "0", [Gateway Server] Restart untyped;
        /// Rooms (XEP-0045).
        muc: bool = "0", [Gateway Server] Restart untyped;
        /// The backend speaks XMPP itself, so that stanzas pass unchanged.
        rawxml: bool = "0", [Gateway Server] Restart untyped;
        /// Switches service.jid_escaping off.
        disable_jid_escaping: bool = "0", [Gateway Server] Restart untyped;
        /// The backend wants the stored contacts at login.
        send_buddies_on_login: bool = "0", [Gateway Server] Restart untyped;
    }

    /// Options of libpurple. All other keys of the section are those of its protocol, such as port or encoding.
    "purple" as libpurple: Libpurple {
        /// Further directory with plugins, relative to service.working_dir.
        plugins_dir: PathBuf = "./plugins", [Backend] Restart untyped;
        /// Further directory with certificates of authorities, relative to service.working_dir.
        cacerts_dir: PathBuf = "./ca-certs", [Backend] Restart untyped;
    }
}

/// Options of Spectrum 2 that do nothing here, with the reason that the reader of an old file is told.
pub(crate) static RETIRED: &[(&str, &str)] = &[
    ("registration.encoding", "it never did anything; texts are always UTF-8"),
    ("registration.extraField", "it never did anything"),
    ("service.eventloop", "libpurple always runs on the loop of GLib"),
    ("purple.libpurple_dll_path", "it is for Windows"),
    ("service.client_id", SLACK),
    ("service.client_secret", SLACK),
    ("service.join_room_room_label", SLACK),
    ("service.join_room_room_example", SLACK),
    ("service.join_room_nickname_label", SLACK),
    ("service.join_room_nickname_example", SLACK),
    ("service.join_room_server_label", SLACK),
    ("service.join_room_server_example", SLACK),
];

const SLACK: &str = "it belongs to the Slack front end, which is not supported";
