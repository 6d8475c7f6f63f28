//! The commands, one a file.

mod ask;
mod backends;
mod check;
mod create;
mod lifecycle;
mod list;
mod log;
mod log_level;
mod remove;
mod snippet;
mod standalone;
mod status;
mod users;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout};

use crate::agent::Agent;
use crate::arguments::{Arguments, Command};
use crate::completions;
use crate::daemon::Daemon;
use crate::fleet::{Fleet, Transport};
use crate::machine::Machine;
use crate::outcome::{Exit, Failure};
use crate::settings::Settings;
use crate::terminal::Terminal;
use crate::units;

/// What every command has.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where results go.
    pub terminal: Terminal,
    /// Where the transport files are.
    pub settings: Settings,
    /// How long to wait at most.
    pub patience: Duration,
}

impl Context {
    /// The moment until which a command that begins now may wait.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    async fn machine(&self) -> Result<Machine, Failure> {
        Machine::find(self.patience).await
    }

    /// All transports: those with files, and those that systemd still runs without.
    async fn fleet(&self, machine: &Machine) -> Result<Fleet, Failure> {
        let directory = &self.settings.config_directory;
        let mut fleet = Fleet::load(directory)?;
        let Some(systemd) = &machine.systemd else { return Ok(fleet) };
        for unit in systemd.known_units(units::DAEMONS).await? {
            if let Some(instance) = units::transport_of(&unit) {
                fleet.add(Transport::of_name(instance, directory));
            }
        }
        let unread = fleet.transports.iter_mut().filter(|transport| transport.config.is_none());
        let (mut asked, mut answers) = (Vec::new(), Vec::new());
        for transport in unread {
            if let Ok(instance) = transport.instance.clone() {
                let machine = machine.clone();
                answers.push(async move { machine.try_daemon(instance.as_str()).await?.facts().await.ok() });
                asked.push(transport);
            }
        }
        for (transport, facts) in asked.into_iter().zip(at_once(answers).await) {
            transport.jid = facts.map(|facts| facts.jid).unwrap_or_default();
        }
        Ok(fleet)
    }

    /// A running transport with that name or JID, which may be that of a vhost.
    async fn daemon(&self, name: &str) -> Result<(Transport, Daemon), Failure> {
        let machine = self.machine().await?;
        let fleet = self.fleet(&machine).await?;
        let transport = fleet.find(name)?.clone();
        let daemon = machine.daemon(&transport, transport.vhost(name)).await?;
        Ok((transport, daemon))
    }
}

/// What all of them come to, in their order: one that hangs holds nobody up.
async fn at_once<F>(work: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// The system bus allows a connection 128 calls that are not answered yet, and each takes one at a time.
    const TURNS: usize = 64;
    let turns = Arc::new(Semaphore::new(TURNS));
    let mut tasks = JoinSet::new();
    for (index, work) in work.into_iter().enumerate() {
        let turns = Arc::clone(&turns);
        tasks.spawn(async move {
            // Never closed, so there is always a turn.
            let _turn = turns.acquire().await;
            (index, work.await)
        });
    }
    let mut results = tasks.join_all().await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Runs a command. It ends, whatever happens: every step has its time limit, and this is the limit of all.
///
/// # Errors
/// Why it could not be done.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    /// For what comes after the waiting: asking for the cause, and showing it.
    const GRACE: Duration = Duration::from_secs(15);

    let terminal = Terminal::new(arguments.json);
    let patience = arguments.timeout();
    if let Command::Completions { shell } = arguments.command {
        terminal.print(&completions::script(shell));
        return Ok(Exit::Ok);
    }
    let (settings, warnings) = Settings::load(&arguments.config)?;
    for warning in warnings {
        terminal.note(&warning);
    }
    let context = Context { terminal, settings, patience };
    // People think as long as they like; nothing else is done before the last question.
    let command = prepare(&context, arguments.command)?;
    // Held until all is done.
    let _agent = if asks_for_rights(&command) { Agent::start().await } else { None };
    let ended = timeout(patience + GRACE, dispatch(&context, command)).await;
    terminal.end_progress();
    ended
        .unwrap_or_else(|_| Err(Failure::unavailable("It took too long. Try again with a longer --timeout.")))
}

/// A command with all that had to be asked for.
enum Prepared {
    Ready(Command),
    Create(create::Plan),
    Register { transport: String, user: String, account: String, password: String },
}

/// Whether polkit may want a password for it.
fn asks_for_rights(command: &Prepared) -> bool {
    match command {
        Prepared::Ready(command) => !matches!(
            command,
            Command::List
                | Command::Status { .. }
                | Command::Check { .. }
                | Command::Log { .. }
                | Command::Server { .. }
        ),
        // A new file takes root, whatever polkit says.
        Prepared::Create(_) => false,
        Prepared::Register { .. } => true,
    }
}

fn prepare(context: &Context, command: Command) -> Result<Prepared, Failure> {
    use crate::arguments::User;
    match &command {
        Command::Create(wanted) => Ok(Prepared::Create(create::plan(context, wanted)?)),
        Command::User(User::Register { who, account, no_password }) => Ok(Prepared::Register {
            password: match no_password {
                true => String::new(),
                false => context.terminal.password(&format!("Password of {account}"))?,
            },
            transport: who.transport.clone(),
            user: who.user.clone(),
            account: account.clone(),
        }),
        Command::User(User::Erase { who, yes: false }) => {
            context.terminal.confirm(&format!("Erase all that {} keeps of {}?", who.transport, who.user))?;
            Ok(Prepared::Ready(command))
        }
        Command::Remove { name, yes: false } => {
            context.terminal.confirm(&format!("Stop {name} and remove its file?"))?;
            Ok(Prepared::Ready(command))
        }
        _ => Ok(Prepared::Ready(command)),
    }
}

async fn dispatch(context: &Context, command: Prepared) -> Result<Exit, Failure> {
    use lifecycle::Order;
    let command = match command {
        Prepared::Ready(command) => command,
        Prepared::Create(plan) => return create::run(context, &plan).await,
        Prepared::Register { transport, user, account, password } => {
            return users::register(context, &transport, &user, &account, &password).await;
        }
    };
    match command {
        Command::List => list::run(context).await,
        Command::Status { names, short } => status::run(context, &names, short).await,
        Command::Start(names) => lifecycle::run(context, Order::Start, &names.names).await,
        Command::Stop(names) => lifecycle::run(context, Order::Stop, &names.names).await,
        Command::Restart(names) => lifecycle::run(context, Order::Restart, &names.names).await,
        Command::Reload(names) => lifecycle::run(context, Order::Reload, &names.names).await,
        Command::Enable(names) => lifecycle::set_enabled(context, &names.names, true).await,
        Command::Disable(names) => lifecycle::set_enabled(context, &names.names, false).await,
        Command::Check { names } => check::run(context, &names),
        Command::Remove { name, .. } => remove::run(context, &name).await,
        Command::Users { name } => users::list(context, &name).await,
        Command::User(user) => users::run(context, &user).await,
        Command::Backends { name } => backends::run(context, &name).await,
        Command::Log { name, follow, lines } => log::run(context, name.as_deref(), follow, lines).await,
        Command::LogLevel { name, level, subsystem, user, seconds } => {
            log_level::run(context, &name, &level, (&subsystem, &user), seconds).await
        }
        Command::Ask(words) => ask::run(context, &words).await,
        Command::Server { .. } => Err(Failure::unavailable(
            "The web interface is not part of this version. Use spectrum2_manager status, users and user.",
        )),
        // Both were done before.
        Command::Create(_) | Command::Completions { .. } => Ok(Exit::Ok),
    }
}
