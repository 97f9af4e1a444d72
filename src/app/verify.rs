//! `tollgate audit verify`: has anybody changed the records of what admins did?

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

use anyhow::{Context, anyhow, bail};

use crate::audit::{Hash, Head, Verification};
use crate::config::cli::VerifyArgs;

/// Reads the chain that `asked` names, and writes to standard output what there is of it.
///
/// # Errors
///
/// Where it is broken, that it lacks the record that has to be there, and that it cannot be read.
pub fn verify(asked: &VerifyArgs) -> anyhow::Result<()> {
    let name = asked.file.display().to_string();
    let wanted = asked.head.as_deref().map(hash).transpose()?;
    let chain: Box<dyn BufRead> = match name.as_str() {
        "-" => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(&asked.file).with_context(|| name.clone())?)),
    };
    let (verification, found) = walk(chain, wanted).with_context(|| name.clone())?;
    let (head, faults) = (verification.head(), verification.faults());
    if let Some(broken) = verification.broken() {
        let Head { number, hash } = broken.good;
        let more = if faults > 1 { format!("; {faults} lines are wrong in all") } else { String::new() };
        bail!("{name}: {broken}; the last good record is {number}, {hash}{more}");
    }
    let since = match (wanted, found) {
        (Some(wanted), None) => bail!(
            "{name}: no record has the hash {wanted}: the end was cut off, or it is another chain; the last record is {}, {}",
            head.number,
            head.hash
        ),
        (_, Some(number)) if number < head.number => format!(", {} since {number}", head.number - number),
        _ => String::new(),
    };
    writeln!(io::stdout(), "whole: {head}{since}").context("cannot write to standard output")
}

fn hash(text: &str) -> anyhow::Result<Hash> {
    Hash::parse(text)
        .ok_or_else(|| anyhow!("--head: '{text}' is no hash; write its 64 digits of 0-9 and a-f"))
}

/// Looks at every line; and which record has the hash that is `wanted`.
fn walk(mut chain: impl BufRead, wanted: Option<Hash>) -> io::Result<(Verification, Option<u64>)> {
    let (mut verification, mut found) = (Verification::default(), None);
    let mut line = Vec::new();
    while chain.read_until(b'\n', &mut line)? > 0 {
        verification.line(line.strip_suffix(b"\n").unwrap_or(&line));
        let Head { number, hash } = verification.head();
        if Some(hash) == wanted {
            found = Some(number);
        }
        line.clear();
    }
    Ok((verification, found))
}
