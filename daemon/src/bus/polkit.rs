//! Who may do what: root and the daemon's own user all, others what polkit says.

use std::collections::HashMap;
use std::time::Duration;

use nix::unistd::geteuid;
use tracing::{info, warn};
use zbus::message::{Flags, Header};
use zbus::names::BusName;
use zbus::{Connection, Variant};

use super::interface::Error;
use crate::gateway::admin::Right;

/// How long polkit may think when it need not ask anybody.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long somebody may take to type a password.
const TYPING: Duration = Duration::from_secs(300);
/// polkit may ask the user (`AllowUserInteraction`).
const INTERACTION: u32 = 1;

#[zbus::proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority"
)]
trait Authority {
    /// Whether, whether a password would help, and details.
    fn check_authorization(
        &self,
        subject: &(&str, HashMap<&str, Variant<'_>>),
        action_id: &str,
        details: HashMap<&str, &str>,
        flags: u32,
        cancellation_id: &str,
    ) -> zbus::Result<(bool, bool, HashMap<String, String>)>;
}

/// The polkit action for a right, as in `im.spectrum.Transport1.policy`.
fn action(right: Right) -> &'static str {
    match right {
        Right::Inspect => "im.spectrum.transport1.inspect",
        Right::ManageUsers => "im.spectrum.transport1.manage-users",
        Right::ManageTransport => "im.spectrum.transport1.manage-transport",
    }
}

/// Lets the caller pass, or not.
///
/// # Errors
/// [`Error::NotPermitted`] with what would help.
pub async fn check(connection: &Connection, header: &Header<'_>, right: Right) -> Result<u32, Error> {
    let Some(sender) = header.sender() else {
        return Err(Error::NotPermitted("The caller has no name on the bus".to_owned()));
    };
    let uid = uid(connection, BusName::from(sender.clone())).await?;
    if uid == 0 || uid == geteuid().as_raw() {
        return Ok(uid);
    }
    let interactive = header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
    let asked = ask(connection, sender.as_str(), action(right), interactive);
    let patience = if interactive { TYPING } else { PATIENCE };
    match tokio::time::timeout(patience, asked).await {
        Ok(Ok((true, ..))) => Ok(uid),
        Ok(Ok((false, true, _))) => Err(Error::NotPermitted(format!(
            "This needs the authorization {}: authenticate, or do it as root",
            action(right)
        ))),
        Ok(Ok((false, false, _))) => {
            info!(uid, action = action(right), "somebody on the bus is not authorized");
            Err(Error::NotPermitted(format!(
                "This needs the authorization {}, which you have not",
                action(right)
            )))
        }
        Ok(Err(error)) => {
            warn!(uid, action = action(right), "polkit cannot be asked: {error}");
            Err(Error::NotPermitted(
                "Without polkit only root and the transport's own user may do this".to_owned(),
            ))
        }
        Err(_) => Err(Error::NotPermitted("polkit did not answer in time; do it as root".to_owned())),
    }
}

async fn uid(connection: &Connection, caller: BusName<'_>) -> Result<u32, Error> {
    let asked = async { zbus::fdo::DBusProxy::new(connection).await?.get_connection_unix_user(caller).await };
    asked.await.map_err(|error| Error::NotPermitted(format!("The bus does not say who you are: {error}")))
}

async fn ask(
    connection: &Connection,
    sender: &str,
    action: &str,
    interactive: bool,
) -> zbus::Result<(bool, bool, HashMap<String, String>)> {
    let subject = ("system-bus-name", HashMap::from([("name", Variant::from(sender))]));
    let flags = if interactive { INTERACTION } else { 0 };
    let authority = AuthorityProxy::new(connection).await?;
    authority.check_authorization(&subject, action, HashMap::new(), flags, "").await
}
