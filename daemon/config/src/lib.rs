//! Transport files of Spectrum 2.

mod secret;

pub use secret::Secret;
