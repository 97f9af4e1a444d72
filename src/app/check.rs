//! `tollgate check`: are the files right, and what do they say?

use std::io::Write;

use anyhow::Context;

use crate::config::cli::CheckArgs;
use crate::config::reload::load;
use crate::config::settings::{InputPlace, Inputs};
use crate::config::table::table;

/// Writes to standard output what every tier is allowed by the files of `arguments`, and to standard error
/// what is odd about them.
///
/// # Errors
///
/// [`Diagnostics`](crate::config::diagnostic::Diagnostics), when they cannot be used.
pub fn check(arguments: CheckArgs) -> anyhow::Result<()> {
    let inputs = Inputs { place: InputPlace::Files(arguments.files), merge_domains: arguments.merge_domains };
    let compiled = load(&inputs)?.compiled;
    for warning in compiled.warnings.iter() {
        eprintln!("{warning}");
    }
    write!(std::io::stdout(), "{}", table(&compiled.rules)).context("cannot write to standard output")
}
