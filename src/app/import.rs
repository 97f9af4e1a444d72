//! `tollgate import usage`: tells a running server what was used elsewhere, so that nobody gets a second quota in the middle
//! of a month, and things that exist count.
//!
//! All rows are asked about before any is done: one that is wrong is named with its file and line, and then none is done.
//! What is used is set, not added, so an import that broke off may be repeated. It says how far it has come, since what was used
//! meanwhile is lost where a row is set again.

mod rows;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::config::cli::ImportArgs;
use crate::percent::encoded;

use super::asking::Server;
use rows::{Row, Wrong};

/// Where the server is told.
const ROUTE: &str = "/admin/rate-limits/import";
/// The most rows that are sent at once, and about how many bytes.
const MOST_ROWS: usize = 500;
const MOST_BYTES: usize = 48 * 1024;
/// How many wrong rows are told of.
const MOST_PROBLEMS: usize = 20;
/// What is said of a row behind the one that came before it.
const SAYS_IT: &str = " says it already";

/// Imports the file that `asked` names. The server is sent `token`, unless `asked` names a file with another.
///
/// # Errors
///
/// What is wrong with the file or with what it says, and that nobody answers.
pub async fn import(asked: &ImportArgs, token: Option<String>) -> anyhow::Result<()> {
    let server = Server::of(&asked.server, token)?;
    let text = read(&asked.file).with_context(|| format!("cannot read '{}'", asked.file.display()))?;
    let (rows, mut wrong) = told_apart(rows::read(&text));
    if rows.is_empty() && wrong.is_empty() {
        bail!("{}: holds no rows, so there is nothing to import", asked.file.display());
    }
    let (batches, mut would) = (batches(&rows), Done::default());
    for batch in &batches {
        if let Err(error) = send(&server, asked, batch, Pass::Rehearsed, &mut would, &mut wrong).await {
            // What is wrong with the file is known all the same.
            refuse(&asked.file, wrong).map_err(|wrong| wrong.context(format!("{error:#}")))?;
            return Err(error);
        }
    }
    refuse(&asked.file, wrong)?;
    if asked.dry_run {
        return would.tell("would be set");
    }
    let mut done = Done::default();
    for (index, batch) in batches.iter().enumerate() {
        let mut wrong = Vec::new();
        let sent = send(&server, asked, batch, Pass::Done, &mut done, &mut wrong).await;
        // Rows are wrong by now if somebody has changed the limits meanwhile.
        let sent = sent.and_then(|()| refuse(&asked.file, wrong));
        sent.map_err(|error| done.so_far(&batches[..index], batch, error))?;
    }
    done.tell("set")
}

/// What `file` says; `-` is standard input.
fn read(file: &Path) -> io::Result<String> {
    if file == Path::new("-") { io::read_to_string(io::stdin()) } else { std::fs::read_to_string(file) }
}

/// The rows that make sense, and what is wrong with the others: no two say the same thing.
fn told_apart(read: Vec<Result<Row, Wrong>>) -> (Vec<Row>, Vec<Wrong>) {
    let (mut rows, mut wrong, mut said) = (Vec::new(), Vec::new(), HashMap::new());
    for row in read {
        match row.map(|row| (said.insert(row.counter(), row.line), row)) {
            Ok((None, row)) => rows.push(row),
            Ok((Some(line), row)) => wrong.push((row.line, format!("line {line}{SAYS_IT}"))),
            Err(problem) => wrong.push(problem),
        }
    }
    (rows, wrong)
}

/// Whether it is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// It is said what would be.
    Rehearsed,
    /// It is.
    Done,
}

/// What was done.
#[derive(Default)]
struct Done {
    /// How many counters of each limit have another number than before, and how many had it already.
    limits: BTreeMap<String, (u64, u64)>,
    /// The records that say so.
    records: Vec<String>,
    /// In which line each counter was named: only the server knows that two ways to write an address are one.
    lines: HashMap<String, usize>,
}

/// Rows, as many as may be sent at once.
fn batches(rows: &[Row]) -> Vec<Vec<&Row>> {
    let (mut batches, mut bytes): (Vec<Vec<&Row>>, usize) = (Vec::new(), 0);
    for row in rows {
        let size = row.json.to_string().len() + 1;
        match batches.last_mut() {
            Some(batch) if batch.len() < MOST_ROWS && bytes + size <= MOST_BYTES => batch.push(row),
            _ => {
                batches.push(vec![row]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    batches
}

async fn send(
    server: &Server<'_>,
    asked: &ImportArgs,
    batch: &[&Row],
    pass: Pass,
    done: &mut Done,
    wrong: &mut Vec<Wrong>,
) -> anyhow::Result<()> {
    let rows: Vec<&Value> = batch.iter().map(|row| &row.json).collect();
    let reason = asked.reason.as_deref().unwrap_or_default();
    // The domain stands in the address, where it is read also of those who may not import.
    let target = match &asked.domain {
        Some(domain) => format!("{ROUTE}?domain={}", encoded(domain)),
        None => ROUTE.to_owned(),
    };
    let body = json!({"rows": rows, "dryRun": pass == Pass::Rehearsed, "reason": reason});
    let answer = server.post(&target, body.to_string()).await?.whole().await?;
    let answer: Value = serde_json::from_slice(&answer).context("the server's answer is no JSON")?;
    let told = answer["rows"].as_array().map_or(&[][..], Vec::as_slice);
    if told.len() != batch.len() {
        bail!("the server answers for {} rows of {}", told.len(), batch.len());
    }
    for (row, told) in batch.iter().zip(told) {
        match told["error"].as_str() {
            Some(error) => wrong.push((row.line, in_file(error, batch))),
            None => wrong.extend(done.count(row, told).err()),
        }
    }
    done.records.extend(answer["version"].as_str().map(str::to_owned));
    Ok(())
}

/// What is wrong with a row of `batch`: another one of it is named by its line.
fn in_file(error: &str, batch: &[&Row]) -> String {
    let row = || error.strip_prefix("row ")?.strip_suffix(SAYS_IT)?.parse::<usize>().ok()?.checked_sub(1);
    let line = row().and_then(|row| batch.get(row)).map(|row| row.line);
    line.map_or_else(|| error.to_owned(), |line| format!("line {line}{SAYS_IT}"))
}

/// Says what is wrong with rows of `file`, if anything is.
fn refuse(file: &Path, mut wrong: Vec<Wrong>) -> anyhow::Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.sort();
    let told = wrong.iter().take(MOST_PROBLEMS);
    let mut lines: Vec<String> =
        told.map(|(line, problem)| format!("{}:{line}: {problem}", file.display())).collect();
    if let more @ 1.. = wrong.len().saturating_sub(MOST_PROBLEMS) {
        lines.push(format!("and {more} more"));
    }
    bail!("{}", lines.join("\n"))
}

impl Done {
    /// Counts what became of `row`; it is wrong if another one has set the same.
    fn count(&mut self, row: &Row, told: &Value) -> Result<(), Wrong> {
        let counter = told["counter"].as_str().map(str::to_owned);
        if let Some(line) = counter.and_then(|counter| self.lines.insert(counter, row.line)) {
            return Err((row.line, format!("line {line}{SAYS_IT}")));
        }
        let (set, kept) = self.limits.entry(row.limit.clone()).or_default();
        *(if told["before"] == told["after"] { kept } else { set }) += 1;
        Ok(())
    }

    /// Why it broke off at `batch`, and which lines it has set by then: those of the batches `before` it.
    fn so_far(&self, before: &[Vec<&Row>], batch: &[&Row], error: anyhow::Error) -> anyhow::Error {
        let line = |row: Option<&&Row>| row.map_or(0, |row| row.line);
        let [Some(first), Some(last)] = [before.first(), before.last()] else { return error };
        let (first, last) = (line(first.first()), line(last.last()));
        let (from, to) = (line(batch.first()), line(batch.last()));
        let records = self.records.join(", ");
        error.context(format!(
            "lines {first} to {last} are set (record {records}), lines {from} to {to} are not known to be, and those behind are not"
        ))
    }

    fn tell(&self, what: &str) -> anyhow::Result<()> {
        let mut output = io::stdout().lock();
        let mut tell = || -> io::Result<()> {
            for (limit, (set, kept)) in &self.limits {
                writeln!(output, "{limit}: {set} {what}, {kept} as before")?;
            }
            if !self.records.is_empty() {
                writeln!(output, "record {}", self.records.join(", "))?;
            }
            output.flush()
        };
        tell().context("cannot write to standard output")
    }
}
