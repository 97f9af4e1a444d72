//! A ledger without a home: each line goes to an output, and the newest are remembered.

use std::collections::VecDeque;
use std::fmt;
use std::future::ready;
use std::io::Write;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::{Ledger, LedgerError, Line, Placing, held, off_the_runtime};

/// What errors call it.
const OUTPUT: &str = "the output of the audit";

/// The newest lines, in memory; all of them went to an output.
#[derive(Clone)]
pub struct MemoryLedger(Arc<Memory>);

struct Memory {
    /// Held by whoever adds a line, from the first step to the last.
    output: Mutex<Box<dyn Write + Send>>,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    newest: VecDeque<Line>,
    /// The place of the last.
    last: u64,
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger").finish_non_exhaustive()
    }
}

impl MemoryLedger {
    /// How many lines it remembers.
    pub const MOST: usize = 10_000;

    /// One that writes each line to `output`, and then remembers it.
    pub fn new(output: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Memory { output: Mutex::new(Box::new(output)), lines: Mutex::default() }))
    }
}

impl Memory {
    fn append(&self, place: u64, line: &[u8]) -> Result<Placing, LedgerError> {
        let mut output = held(&self.output, OUTPUT)?;
        if place <= self.lines.lock().last {
            return Ok(Placing::Overtaken);
        }
        // In one piece: others may write there too.
        let written = output.write_all(&[line, b"\n"].concat()).and_then(|()| output.flush());
        written.map_err(|error| LedgerError::of(OUTPUT, &error))?;
        self.lines.lock().add(Line { place, bytes: line.into() });
        Ok(Placing::Done)
    }
}

impl Lines {
    fn add(&mut self, line: Line) {
        if self.newest.len() == MemoryLedger::MOST {
            self.newest.pop_front();
        }
        self.last = line.place;
        self.newest.push_back(line);
    }

    fn read(&self, from: u64, most: usize) -> Vec<Line> {
        let first = self.newest.partition_point(|line| line.place < from);
        self.newest.range(first..).take(most).cloned().collect()
    }

    fn read_back(&self, before: u64, most: usize) -> Vec<Line> {
        let behind = self.newest.partition_point(|line| line.place < before);
        self.newest.range(..behind).rev().take(most).cloned().collect()
    }
}

impl Ledger for MemoryLedger {
    fn append<'a>(&'a self, place: u64, line: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>> {
        let (memory, line) = (self.0.clone(), Box::<[u8]>::from(line));
        // Whoever reads the output may be slow.
        off_the_runtime(OUTPUT.to_owned(), move || memory.append(place, &line)).boxed()
    }

    fn read(&self, from: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        ready(Ok(self.0.lines.lock().read(from, most))).boxed()
    }

    fn read_back(&self, before: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        ready(Ok(self.0.lines.lock().read_back(before, most))).boxed()
    }
}
