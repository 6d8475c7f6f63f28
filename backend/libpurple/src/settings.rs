//! What this program needs of the transport file.

use std::io;
use std::path::{Path, PathBuf};

use spectrum2_config::{Config, LogLevel, Secret, SecretSource};

use crate::cli::Options;
use crate::purple::{Proxy, ProxyKind};

/// What the file says, for one process.
#[derive(Debug)]
pub struct Settings {
    /// Id of the protocol plugin, or `any`.
    pub protocol: String,
    /// In server mode nobody registers.
    pub server_mode: bool,
    /// Where accounts and plugins keep what they must not forget.
    pub state: PathBuf,
    /// Directory of further plugins.
    pub plugins: PathBuf,
    /// Directory of further certification authorities.
    pub authorities: PathBuf,
    /// Whether certificates are verified.
    pub verify_certs: bool,
    /// Whether a contact that is removed from XMPP is removed from the network.
    pub remove_contacts: bool,
    /// Whether contacts can be blocked.
    pub blocking: bool,
    /// Whether only the user's own profile is fetched.
    pub no_profiles: bool,
    /// Picture of users who have none.
    pub default_avatar: PathBuf,
    /// Directory of pictures, named by legacy name.
    pub avatars: PathBuf,
    /// Proxy, if any.
    pub proxy: Option<Proxy>,
    /// `[purple]`, as text.
    pub purple: Vec<(String, String)>,
    /// Whether to log what helps to find errors.
    pub debug: bool,
    /// JID of the transport.
    pub jid: String,
    /// JIDs of the other transports of the file.
    pub other_jids: Vec<String>,
    /// Spectrum 2's properties file for log files.
    pub logging: PathBuf,
    /// Number of this process in the names of log files, where it was started with one.
    pub backend_id: String,
}

/// Secrets are the daemon's: they are taken as given and never read, which this program may not do anyway.
struct Concealed;

impl SecretSource for Concealed {
    fn credential(&self, _: &str) -> io::Result<Option<Secret>> {
        Ok(Some(Secret::new("concealed".to_owned())))
    }

    fn credential_file(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(name))
    }

    fn file(&self, _: &Path) -> io::Result<Secret> {
        Ok(Secret::new("concealed".to_owned()))
    }
}

impl Settings {
    /// Reads the transport file.
    ///
    /// # Errors
    /// One sentence for each problem.
    pub fn load(options: &Options) -> Result<Self, String> {
        let path = &options.config;
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!("{} cannot be read: {error}. Check its name and its rights.", path.display())
        })?;
        let (config, _) = Config::parse(&text, path, &options.overrides, &Concealed).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            problems.join("\n")
        })?;
        Ok(Self::from_config(config))
    }

    fn from_config(config: Config) -> Self {
        use spectrum2_config::ProxyKind as Configured;
        let kind = match config.proxy.kind {
            Configured::Http => Some(ProxyKind::Http),
            Configured::Socks4 => Some(ProxyKind::Socks4),
            Configured::Socks5 => Some(ProxyKind::Socks5),
            _ => None,
        };
        // systemd.exec(5), StateDirectory=: what the unit gave us goes before what the file says.
        let state = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
        let level = config.service.log_level;
        let other_jids = config.further_jids().into_iter().map(str::to_owned).collect();
        Self {
            protocol: config.service.protocol,
            server_mode: config.service.server_mode,
            state: state.unwrap_or(config.service.working_dir),
            plugins: config.libpurple.plugins_dir,
            authorities: config.libpurple.cacerts_dir,
            verify_certs: config.service.verify_certs,
            remove_contacts: config.service.enable_remove_buddy,
            blocking: config.service.enable_privacy_lists,
            no_profiles: config.backend.no_vcard_fetch,
            default_avatar: config.backend.default_avatar,
            avatars: config.backend.avatars_directory,
            proxy: kind.map(|kind| Proxy {
                kind,
                host: config.proxy.host,
                port: config.proxy.port,
                user: config.proxy.username,
                password: config.proxy.password.expose().to_owned(),
            }),
            purple: config.purple,
            debug: level == LogLevel::Debug,
            jid: config.service.jid,
            other_jids,
            logging: config.logging.backend_config,
            backend_id: config.service.backend_id,
        }
    }
}
