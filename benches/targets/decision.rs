//! T3: what a decision costs apart from its wire.

use std::process::Command;

use crate::cpu;
use crate::deciding::{Deciding, LIMITS};
use crate::rounds::{Figure, interleave};
use crate::server::{beside, program};
use crate::table::{Bound, Row};

const USERS: usize = 10_000;
const CALLS: usize = 200_000;
const ROUNDS: usize = 7;

/// T3, time and allocations.
pub(crate) fn rows() -> Vec<Row> {
    let mut deciding = Deciding::new(LIMITS, USERS);
    deciding.decide(2 * USERS);
    let mut step = || {
        let before = cpu::of_thread();
        deciding.decide(CALLS);
        (cpu::of_thread() - before) / CALLS as f64 / 1e3
    };
    let [times] = interleave(ROUNDS, [&mut step]);
    let what = "match, hash, decide and count, one descriptor, CPU in process";
    let time = Row::new("T3", what, Bound::AtMost(1.0), &Figure::of(times), " µs");
    vec![time, allocations()]
}

/// Counted by valgrind, as the slope between two runs: what is allocated at the start is in both.
fn allocations() -> Row {
    let what = "allocations of the same";
    let (Some(valgrind), Some(this)) = (program("VALGRIND", "valgrind"), beside("defaults")) else {
        return Row::not_measured("T3", what, "needs valgrind and the bench `defaults`");
    };
    let [few, many] = [1_000, 3_000].map(|calls: u32| {
        let output = Command::new(&valgrind).arg(&this).args(["decide", &calls.to_string()]).output();
        let said = String::from_utf8(output.expect("start valgrind").stderr).expect("text");
        let usage = said.split_once("total heap usage: ").unwrap_or_else(|| panic!("{said}")).1;
        let count = usage.split(' ').next().unwrap_or_default().replace(',', "");
        count.parse::<f64>().expect("a count")
    });
    Row::new("T3", what, Bound::AtMost(5.0), &Figure::of([(many - few) / 2_000.0]), "")
}
