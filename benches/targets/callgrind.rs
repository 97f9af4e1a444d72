//! Instructions counted by valgrind: the same however busy the machine is.
//!
//! What is measured runs twice, a few times and many; the slope between the two is what once costs, without the start of
//! a program, its connections and the first charge of each counter.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::load::{Callers, Calls};
use crate::server::{Server, Under, program};
use crate::wire::BUSY;

/// The calls of the two runs. The first have charged every counter once.
const CALLS: [usize; 2] = [640, 2_640];

/// Where valgrind is.
pub(crate) fn valgrind() -> Option<PathBuf> {
    program("VALGRIND", "valgrind")
}

/// The instructions of a call of `calls` to the server that `start` starts.
pub(crate) fn of_a_call(valgrind: &Path, calls: &Calls, start: impl Fn(&Under) -> Server) -> f64 {
    slope(valgrind, CALLS, |under, count| {
        let server = start(&Under(under.into()));
        Callers::connect(server.address(), BUSY, calls).run(count);
        server.end();
    })
}

/// The instructions of one step of this program in the role that `role` names, which is told last how many steps to make.
pub(crate) fn of_a_step(valgrind: &Path, role: &[&str], steps: [usize; 2]) -> f64 {
    let this = std::env::current_exe().expect("this program");
    slope(valgrind, steps, |under, count| {
        let mut command = Under(under.into()).command(&this);
        let status = command.args(role).arg(count.to_string()).status();
        assert!(status.expect("start valgrind").success(), "{role:?}");
    })
}

fn slope(valgrind: &Path, counts: [usize; 2], run: impl Fn([OsString; 4], usize)) -> f64 {
    let [few, many] = counts.map(|count| {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("callgrind.out");
        let file = format!("--callgrind-out-file={}", out.display());
        let words = [valgrind.into(), "--tool=callgrind".into(), file.into(), "--log-file=/dev/null".into()];
        run(words, count);
        total(&fs::read_to_string(out).expect("valgrind writes what it counted"))
    });
    (many - few) / (counts[1] - counts[0]) as f64
}

/// The sum at the end of what callgrind writes.
fn total(profile: &str) -> f64 {
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).expect("a sum")
}
