//! `users` and `user`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use zbus::Variant;

use super::{Context, status};
use crate::arguments::{User, Who};
use crate::bus;
use crate::daemon;
use crate::outcome::{Exit, Failure};
use crate::table::{Table, Tone};
use crate::words::{now, since, until};

/// Shows all users.
pub async fn list(context: &Context, name: &str) -> Result<Exit, Failure> {
    let (transport, daemon) = context.daemon(name).await?;
    let users = daemon.users().await.map_err(|error| bus::failure(&error, &transport.name))?;
    if context.terminal.json {
        context.terminal.print_json(&users);
    } else {
        context.terminal.print_table(&table(&users));
    }
    Ok(Exit::Ok)
}

/// Users as a table.
pub fn table(users: &[daemon::User]) -> Table {
    let now = now();
    let mut table = Table::new(&["USER", "ACCOUNT", "STATE", "FOR", "RETRY", "REASON"]);
    for user in users {
        let tone = match user.state.as_str() {
            "online" => Tone::Good,
            "offline" => Tone::Plain,
            _ if user.retry_at > 0 || user.state == "connecting" => Tone::Waiting,
            _ => Tone::Bad,
        };
        table.row([
            (user.jid.clone(), Tone::Plain),
            (user.account.clone(), Tone::Plain),
            (user.state.clone(), tone),
            (since(user.since, now), Tone::Plain),
            (status::retry(user), Tone::Plain),
            (user.reason.clone(), Tone::Plain),
        ]);
    }
    table
}

/// Does something with one user.
pub async fn run(context: &Context, command: &User) -> Result<Exit, Failure> {
    let (User::Show(who)
    | User::Register { who, .. }
    | User::Unregister(who)
    | User::Login(who)
    | User::Logout(who)
    | User::Export(who)
    | User::Erase { who, .. }) = command;
    let Who { transport, user } = who;
    let (transport, daemon) = context.daemon(transport).await?;
    let calls = &daemon.calls;
    let failed = |error: zbus::Error| bus::failure(&error, &transport.name);
    let done = match command {
        User::Show(_) => {
            let facts = daemon.in_time(calls.get_user(user)).await.map_err(failed)?;
            show(context, facts.iter().map(|(key, value)| (key.clone(), value_of(value))).collect());
            return Ok(Exit::Ok);
        }
        User::Export(_) => {
            let text = daemon.in_time(calls.export_user(user)).await.map_err(failed)?;
            context.terminal.print(&format!("{}\n", text.trim_end()));
            return Ok(Exit::Ok);
        }
        User::Unregister(_) => daemon.in_time(calls.unregister_user(user)).await.map(|()| "unregistered"),
        User::Login(_) => daemon.in_time(calls.login_user(user)).await.map(|()| "logging in"),
        User::Logout(_) => daemon.in_time(calls.logout_user(user)).await.map(|()| "logged out"),
        User::Erase { .. } => daemon.in_time(calls.erase_user(user)).await.map(|()| "erased"),
        // Done by `register`, with a password.
        User::Register { .. } => return Ok(Exit::Ok),
    };
    say_done(context, &transport.name, user, done.map_err(failed)?);
    Ok(Exit::Ok)
}

/// Registers a user.
pub async fn register(
    context: &Context,
    name: &str,
    user: &str,
    account: &str,
    password: &str,
) -> Result<Exit, Failure> {
    let (transport, daemon) = context.daemon(name).await?;
    daemon
        .in_time(daemon.calls.register_user(user, account, password, HashMap::new()))
        .await
        .map_err(|error| bus::failure(&error, &transport.name))?;
    say_done(context, &transport.name, user, "registered");
    Ok(Exit::Ok)
}

fn say_done(context: &Context, transport: &str, user: &str, done: &str) {
    if context.terminal.json {
        context.terminal.print_json(&json!({ "transport": transport, "user": user, "done": done }));
    } else {
        context.terminal.print(&format!("{transport}: {user} {done}\n"));
    }
}

/// Key and value a line, sorted.
fn show(context: &Context, facts: Map<String, Value>) {
    if context.terminal.json {
        context.terminal.print_json(&facts);
        return;
    }
    let now = now();
    let width = facts.keys().map(|key| key.chars().count()).max().unwrap_or_default();
    for (key, value) in facts {
        let text = match (key.as_str(), value.as_u64()) {
            ("Since", Some(moment)) => words_before(since(moment, now)),
            ("RetryAt", Some(moment)) => until(moment, now),
            _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        };
        context.terminal.print(&format!(
            "{:width$}  {}\n",
            format!("{key}:"),
            crate::table::plain(&text),
            width = width + 1
        ));
    }
}

fn words_before(span: String) -> String {
    if span.is_empty() { span } else { format!("{span} ago") }
}

/// A value from the bus as JSON.
fn value_of(value: &Variant<'_>) -> Value {
    match value {
        Variant::U8(number) => json!(number),
        Variant::Bool(truth) => json!(truth),
        Variant::I16(number) => json!(number),
        Variant::U16(number) => json!(number),
        Variant::I32(number) => json!(number),
        Variant::U32(number) => json!(number),
        Variant::I64(number) => json!(number),
        Variant::U64(number) => json!(number),
        Variant::F64(number) => json!(number),
        Variant::Str(text) => json!(text.as_str()),
        Variant::Variant(inner) => value_of(inner),
        Variant::Array(array) => array.iter().map(value_of).collect(),
        Variant::Structure(structure) => structure.fields().iter().map(value_of).collect(),
        Variant::Dict(dict) => dict
            .iter()
            .map(|(key, value)| {
                let key = value_of(key);
                (key.as_str().map_or_else(|| key.to_string(), str::to_owned), value_of(value))
            })
            .collect::<Map<_, _>>()
            .into(),
        // Paths, signatures and descriptors: no user has any.
        other => json!(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_types() {
        let settings: HashMap<&str, Variant<'_>> =
            HashMap::from([("vip", true.into()), ("since", 7_u64.into()), ("rooms", vec!["a", "b"].into())]);
        assert_eq!(value_of(&settings.into()), json!({ "vip": true, "since": 7, "rooms": ["a", "b"] }));
    }
}
