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

use clap::CommandFactory;
use tokio::time::{Duration, Instant, timeout};

use crate::arguments::{Arguments, Command};
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
        for unit in systemd.active_units(units::DAEMONS).await? {
            if let Some(instance) = units::transport_of(&unit) {
                fleet.add(Transport::of_name(instance, directory));
            }
        }
        for transport in &mut fleet.transports {
            if transport.config.is_none()
                && let Ok(instance) = &transport.instance
                && let Some(daemon) = machine.try_daemon(instance).await
                && let Ok(facts) = daemon.facts().await
            {
                transport.jid = facts.jid;
            }
        }
        Ok(fleet)
    }

    /// A running transport with that name or JID.
    async fn daemon(&self, name: &str) -> Result<(Transport, Daemon), Failure> {
        let machine = self.machine().await?;
        let fleet = self.fleet(&machine).await?;
        let transport = fleet.find(name)?.clone();
        let daemon = machine.daemon(&transport).await?;
        Ok((transport, daemon))
    }
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
        let mut command = Arguments::command();
        clap_complete::generate(shell, &mut command, "spectrum2_manager", &mut std::io::stdout());
        return Ok(Exit::Ok);
    }
    let (settings, warnings) = Settings::load(&arguments.config)?;
    for warning in warnings {
        terminal.note(&warning);
    }
    let context = Context { terminal, settings, patience };
    // People think as long as they like; nothing else is done before the last question.
    let command = prepare(&context, arguments.command)?;
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

fn prepare(context: &Context, command: Command) -> Result<Prepared, Failure> {
    use crate::arguments::User;
    match &command {
        Command::Create(wanted) => Ok(Prepared::Create(create::plan(context, wanted)?)),
        Command::User(User::Register { who, account }) => Ok(Prepared::Register {
            password: context.terminal.password(&format!("Password of {account}"))?,
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
