//! What an administrator does with transports, through systemd and D-Bus.
//!
//! Guarantees that nothing here keeps state or a process of its own: transport files, systemd and the transports
//! themselves are asked each time, so what is shown is what is so.

pub mod dropins;
pub mod generator;
