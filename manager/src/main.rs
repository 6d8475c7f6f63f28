//! `spectrum2_manager`.

fn main() {}
