//! What an admin must act on: the `MESSAGE_ID=` of the journal.
//!
//! Each has an entry in `systemd/spectrum2.catalog`, which `journalctl --catalog` shows, and `tests/source` keeps the
//! two together. An id is for ever: it is never given to something else.

/// The XMPP server does not take us as this component.
pub const COMPONENT_REFUSED: &str = "b46c1fed233045de99f4fc0cb8a71c59";
/// The connection to the XMPP server is lost, or does not come about.
pub const COMPONENT_LOST: &str = "b94421d601704c6bae4cee678ccfb52f";
/// No backend process can be started.
pub const BACKEND_UNAVAILABLE: &str = "a383dbb3d59e48d280c477ee85c0b303";
/// A backend runs, but cannot serve anybody.
pub const BACKEND_USELESS: &str = "d3858c1271024043914155678c9233f1";
/// A backend process died with users on it.
pub const BACKEND_CRASHED: &str = "25dda27d5fda4aaf9ddaec4db183bfe5";
/// Backends end again and again before they are ready.
pub const BACKEND_CRASH_LOOP: &str = "0293f5d9948f4b2baac2ff185cb7cd20";
/// An account broke several backends and is locked out for an hour.
pub const USER_LOCKED_OUT: &str = "9aabeab96bd8499d91ab5e1a97ea1c22";
/// A legacy network refused a login for a reason that only the user can mend.
pub const LOGIN_REFUSED: &str = "dc4e94a2570d45b0af58e88b04249277";
/// The certificate for clients cannot be used, and the transport does not start.
pub const CERTIFICATE_UNUSABLE: &str = "27356ec0bc574933990770f53b595e53";
/// The certificate of a legacy network cannot be trusted.
pub const CERTIFICATE_REFUSED: &str = "32fe57bb9bd3494baf806b58e7b83d1a";
/// The database cannot be opened, and the transport does not start.
pub const DATABASE_UNUSABLE: &str = "f88656599e534a85ac47b6bc8acf66ef";
/// Something could not be read from the database or stored in it.
pub const DATABASE_FAILED: &str = "747e4db9020b4519a4e51ee53c66472a";
/// The transport file cannot work, and the transport does not start.
pub const CONFIGURATION_WRONG: &str = "b6b586560a3c42deb890be0ade0ac098";
/// A reload was refused, and the transport goes on as it was.
pub const CONFIGURATION_KEPT: &str = "3a9f21a87e654690b23c50f4c1b455b0";
/// Everybody on this machine can read a secret, and the transport does not start.
pub const SECRET_EXPOSED: &str = "0f4d71c75a4e4a4eaf602eedf371f0b0";
/// The system does not allow what the transport needs, and it does not start.
pub const NOT_PERMITTED: &str = "2146c8e728d7447b8d079b81e047187f";
/// The transport runs already, outside of this start.
pub const RUNS_ALREADY: &str = "5dc204c71e344fe7be9abd0db160e23e";
/// A log file cannot be written.
pub const LOG_FILE_UNWRITABLE: &str = "b0a31903448c4f74a2c59ff87b9ca728";
/// A registration was refused, because service.max_users is reached.
pub const USERS_FULL: &str = "2741cb0870d643cb9f8aaa0a17eb4baa";
