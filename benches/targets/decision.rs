//! T3: what a decision costs apart from its wire.

use std::process::Command;

use crate::callgrind::{of_a_step, valgrind};
use crate::cpu;
use crate::deciding::{CALL, Deciding, Entries, LIMITS};
use crate::rounds::{Figure, interleave};
use crate::server::{beside, program};
use crate::table::{Bound, Row};

const USERS: usize = 10_000;
const CALLS: usize = 200_000;
const ROUNDS: usize = 7;
/// The same limit in a domain of four tiers.
const TIERED: &str = "domains: {bench: {per: user, tier: {from: tier, default: free}, limits: {calls: 1000/1m}, \
                      tiers: {guest: {calls: 60}, free: {}, pro: {calls: 5000}, max: {calls: -1}}, \
                      routes: {/v1/chat: calls}}}";
/// A call that names its tier.
const ON_TIER: Entries = &[("path", "/v1/chat"), ("tier", "free")];

/// T3, time and allocations.
pub(crate) fn rows() -> Vec<Row> {
    let mut deciding = Deciding::new(LIMITS, CALL, USERS);
    deciding.decide(2 * USERS);
    let mut step = || {
        let before = cpu::of_thread();
        deciding.decide(CALLS);
        (cpu::of_thread() - before) / CALLS as f64 / 1e3
    };
    let [times] = interleave(ROUNDS, [&mut step]);
    let what = "match, hash, decide and count, one descriptor, CPU in process";
    let time = Row::new("T3", what, Bound::AtMost(1.0), &Figure::of(times), " µs");
    let mut rows = vec![time, allocations()];
    rows.extend([("", "plain"), (" in a domain of tiers", "tiered")].map(instructions));
    rows
}

/// Counted by valgrind, of a decision `of` such limits, which the role calls `by`.
fn instructions((of, by): (&str, &str)) -> Row {
    let what = format!("instructions of the same{of}");
    match valgrind() {
        Some(valgrind) => {
            let count = of_a_step(&valgrind, &["decide", by], [USERS + 1_000, USERS + 3_000]);
            Row::new("T3", what, Bound::None, &Figure::of([count]), "")
        }
        None => Row::not_measured("T3", what, "valgrind is not there"),
    }
}

/// The role that decides so many calls in a plain domain, or in one of tiers.
pub(crate) fn decide(arguments: &[String]) {
    let [by, steps] = arguments else { panic!("which domain, and steps: {arguments:?}") };
    let (limits, entries) = if by == "tiered" { (TIERED, ON_TIER) } else { (LIMITS, CALL) };
    Deciding::new(limits, entries, USERS).decide(steps.parse().expect("a number of steps"));
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
