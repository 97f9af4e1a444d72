//! `tollgate check`: are the files right, and what do they say?

use std::io::Write;

use anyhow::Context;

use crate::auth::{AuthSettings, Domains};
use crate::clock::Clock;
use crate::config::reload::load;
use crate::config::settings::Inputs;
use crate::config::table::table;

use super::callers::astray;

/// Writes to standard output what every tier is allowed by the files of `inputs`, and to standard error
/// what is odd about them, and about what `callers` may ask for by them.
///
/// # Errors
///
/// [`Diagnostics`](crate::config::diagnostic::Diagnostics), when they cannot be used.
pub fn check(inputs: &Inputs, callers: Option<&AuthSettings<Domains>>) -> anyhow::Result<()> {
    let compiled = load(inputs)?.compiled;
    for warning in compiled.warnings.iter() {
        eprintln!("{warning}");
    }
    for astray in callers.iter().flat_map(|callers| astray(callers, &compiled.rules)) {
        eprintln!("warning: {astray}");
    }
    write!(std::io::stdout(), "{}", table(&compiled.rules, Clock::System.now()))
        .context("cannot write to standard output")
}
