//! What an administrator does with transports, through systemd and D-Bus.
//!
//! Guarantees that nothing here keeps state or a process of its own: transport files, systemd and the transports
//! themselves are asked each time, so what is shown is what is so.

mod agent;
pub mod arguments;
mod bus;
mod cause;
pub mod command;
mod completions;
mod daemon;
mod dropins;
mod fleet;
pub mod generator;
mod machine;
pub mod outcome;
mod pidfile;
mod settings;
mod state;
mod systemd;
mod table;
mod terminal;
mod units;
mod usage;
mod words;
