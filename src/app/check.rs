//! `tollgate check`: are the files right, and what do they say?

use std::io::Write;

use anyhow::Context;

use crate::config::cli::CheckArgs;
use crate::config::settings::{InputPlace, Inputs};
use crate::config::table::table;

use super::rules;

/// Writes what the files of `arguments` say to standard output.
///
/// # Errors
///
/// [`Diagnostics`](crate::config::diagnostic::Diagnostics), when they cannot be used.
pub fn check(arguments: CheckArgs) -> anyhow::Result<()> {
    let inputs = Inputs { place: InputPlace::Files(arguments.files), merge_domains: false };
    let compiled = rules::compile_all(&inputs)?;
    let mut out = std::io::stdout().lock();
    write!(out, "{}", table(&compiled.rules)).context("cannot write to standard output")?;
    for warning in compiled.warnings.iter() {
        writeln!(out, "{warning}").context("cannot write to standard output")?;
    }
    Ok(())
}
