//! What the configuration of the XMPP server needs for a transport.

use crate::arguments::XmppServer;

/// The lines for a transport `jid` that connects to `port` with `secret`.
///
/// Beside the component they give it the users' rosters (XEP-0356), so that contacts of the legacy network appear in them
/// without a question for each.
pub fn of(server: XmppServer, jid: &str, port: u16, secret: &str) -> String {
    // icq.example.org serves the users of example.org, as a rule.
    let host = jid.split_once('.').map_or(jid, |(_, host)| host);
    match server {
        XmppServer::Prosody => prosody(jid, host, port, &quoted(secret)),
        XmppServer::Ejabberd => ejabberd(jid, port, &quoted(secret)),
    }
}

/// Where the lines go, and what to do then.
pub const fn instructions(server: XmppServer) -> &'static str {
    match server {
        XmppServer::Prosody => {
            "Add this to /etc/prosody/prosody.cfg.lua, merge it into the VirtualHost of your users, and restart prosody:"
        }
        XmppServer::Ejabberd => {
            "Merge this into the sections of /etc/ejabberd/ejabberd.yml, and restart ejabberd:"
        }
    }
}

fn prosody(jid: &str, host: &str, port: u16, secret: &str) -> String {
    let ports = if port == 5347 { String::new() } else { format!("component_ports = {{ {port} }}\n\n") };
    format!(
        r#"{ports}VirtualHost "{host}"
    modules_enabled = {{ "privilege" }}
    privileged_entities = {{
        ["{jid}"] = {{ roster = "both", message = "outgoing", presence = "roster" }};
    }}

Component "{jid}"
    component_secret = {secret}
    modules_enabled = {{ "privilege" }}
"#
    )
}

fn ejabberd(jid: &str, port: u16, secret: &str) -> String {
    let rule = format!("spectrum2_{}", jid.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    format!(
        r#"listen:
  -
    # One transport for each port: ejabberd gives a component all the hosts of its listener.
    port: {port}
    ip: "127.0.0.1"
    module: ejabberd_service
    hosts:
      "{jid}":
        password: {secret}

acl:
  {rule}:
    server: "{jid}"

access_rules:
  {rule}:
    allow: {rule}

modules:
  mod_privilege:
    roster:
      both: {rule}
    message:
      outgoing: {rule}
    presence:
      roster: {rule}
"#
    )
}

/// A text in double quotes, as Lua and YAML both read it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prosody_gets_component_and_privileges() {
        let text = of(XmppServer::Prosody, "irc.example.org", 5347, "a\"b");
        assert!(
            text.contains("Component \"irc.example.org\"\n    component_secret = \"a\\\"b\"\n"),
            "{text}"
        );
        assert!(text.starts_with("VirtualHost \"example.org\"\n"), "{text}");
        assert!(
            of(XmppServer::Prosody, "irc.example.org", 5348, "x").starts_with("component_ports = { 5348 }")
        );
    }

    #[test]
    fn ejabberd_gets_a_listener_and_privileges() {
        let text = of(XmppServer::Ejabberd, "irc.example.org", 5347, "verona");
        assert!(text.contains("      \"irc.example.org\":\n        password: \"verona\"\n"), "{text}");
        assert!(text.contains("both: spectrum2_irc_example_org"), "{text}");
    }
}
