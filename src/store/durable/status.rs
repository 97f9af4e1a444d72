//! What became of flushing: counts for metrics, and whether the disk is well.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// What became of flushing since the start of the process.
#[derive(Debug, Default)]
pub struct FlushStatus {
    flushes: AtomicU64,
    failures: AtomicU64,
    written: AtomicU64,
    problem: Mutex<Option<String>>,
}

impl FlushStatus {
    /// How often something was written.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// How often something could not be.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How many changes were written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Why the last flush failed; `None` if it did not.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    pub(super) fn succeeded(&self, changes: usize) {
        if changes > 0 {
            self.flushes.fetch_add(1, Ordering::Relaxed);
        }
        self.written.fetch_add(changes as u64, Ordering::Relaxed);
        *self.problem.lock() = None;
    }

    pub(super) fn failed(&self, problem: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.problem.lock() = Some(problem);
    }
}
