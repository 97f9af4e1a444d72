//! `tollgate audit verify`: has anybody changed the records of what admins did?

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, anyhow, bail};

use crate::audit::{Hash, Head, Record, Verification};
use crate::config::cli::VerifyArgs;
use crate::store::durable::{DataError, DataFile};
use crate::store::ledger::{self, Line, noted};

/// Reads the chain that `asked` names, and writes to standard output what there is of it. Of a data directory that no process
/// uses it is compared with what is noted there of its end, if that can be read. Nothing is written there.
///
/// # Errors
///
/// Where it is broken, that it lacks the record that has to be there, and that it cannot be read.
pub fn verify(asked: &VerifyArgs) -> anyhow::Result<()> {
    let name = asked.file.display().to_string();
    let wanted = asked.head.as_deref().map(hash).transpose()?;
    let noted = if asked.file.is_dir() { noted(&asked.file)? } else { None };
    let mut looked = Looked { wanted, noted, ..Looked::default() };
    looked.walk(open(asked, looked.noted.is_some())?).with_context(|| name.clone())?;
    let (head, faults) = (looked.verification.head(), looked.verification.faults());
    if let Some(noted) = looked.noted.filter(|_| !looked.has_noted) {
        let record = Record::of_line(&noted.bytes);
        let (number, hash) =
            record.map_or((noted.place, Hash::default()), |record| (record.number, record.hash));
        bail!(
            "{name}: lost what was there up to record {number} {hash}; the last record is {}, {}",
            head.number,
            head.hash
        );
    }
    if let Some(broken) = looked.verification.broken() {
        let Head { number, hash } = broken.good;
        let more = if faults > 1 { format!("; {faults} lines are wrong in all") } else { String::new() };
        bail!("{name}: {broken}; the last good record is {number}, {hash}{more}");
    }
    let since = match (wanted, looked.found) {
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

/// The lines that are asked for. A file that is gone has none, where it is known what it had.
fn open(asked: &VerifyArgs, is_noted: bool) -> anyhow::Result<Box<dyn BufRead>> {
    let path = if asked.file.is_dir() { asked.file.join(ledger::NAME) } else { asked.file.clone() };
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_noted => Ok(Box::new(io::empty())),
        file => Ok(Box::new(BufReader::new(file.with_context(|| path.display().to_string())?))),
    }
}

/// The last line that is noted in the data directory `dir`, where it can be known; the chain is verified without it as well.
fn noted(dir: &Path) -> anyhow::Result<Option<Line>> {
    let problem = match DataFile::peek(dir, noted::TABLE, noted::KEY) {
        Ok(None) => return Ok(None),
        Ok(Some(value)) => match noted::read(&value) {
            Some(line) => return Ok(Some(line)),
            None => format!("{}: what is noted there makes no sense", dir.display()),
        },
        Err(DataError::InUse { path }) => format!("{} is in use; /readyz tells of it", path.display()),
        Err(DataError::Io { path, source }) => format!("{}: {source}", path.display()),
        Err(DataError::Damaged { path, problem }) => format!("{} is damaged: {problem}", path.display()),
        Err(error) => error.to_string(),
    };
    let words = format!("what the data file has noted of the end is not compared: {problem}\n");
    io::stderr().write_all(words.as_bytes()).context("cannot write to standard error")?;
    Ok(None)
}

fn hash(text: &str) -> anyhow::Result<Hash> {
    Hash::parse(text)
        .ok_or_else(|| anyhow!("--head: '{text}' is no hash; write its 64 digits of 0-9 and a-f"))
}

/// What was seen of a chain.
#[derive(Default)]
struct Looked {
    verification: Verification,
    /// The hash that a record has to have, and the number of the one that has it.
    wanted: Option<Hash>,
    found: Option<u64>,
    /// The line that has to be there, and whether it is.
    noted: Option<Line>,
    has_noted: bool,
}

impl Looked {
    /// Looks at every line.
    fn walk(&mut self, mut chain: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while chain.read_until(b'\n', &mut line)? > 0 {
            let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
            self.verification.line(bytes);
            self.has_noted |= self.noted.as_ref().is_some_and(|noted| *noted.bytes == *bytes);
            let Head { number, hash } = self.verification.head();
            if Some(hash) == self.wanted {
                self.found = Some(number);
            }
            line.clear();
        }
        Ok(())
    }
}
