//! T4: the memory of a million counters, each kind in a process of its own: this program in another role.

use std::process::Command;

use crate::embedded::{SIZED, bytes_each};
use crate::rounds::Figure;
use crate::table::{Bound, Row};

/// A kind of window, its number, in how many steps a minute each counter is charged, and the most it may take.
const CASES: [(&str, u64, u64, f64); 5] = [
    ("fixed", 1_000, 1, 64.0),
    ("bucket", 1_000, 1, 64.0),
    ("sliding", 1, 1, 64.0 + 4.0),
    ("sliding", 10, 10, 64.0 + 40.0),
    ("sliding", 1_000, 50, 64.0 + 204.0),
];

/// A row for each case.
pub(crate) fn rows() -> Vec<Row> {
    CASES.map(row).into()
}

fn row((window, most, steps, bound): (&str, u64, u64, f64)) -> Row {
    let this = std::env::current_exe().expect("this program");
    let words = ["bytes", window, &most.to_string(), &steps.to_string()].map(str::to_owned);
    let output = Command::new(this).args(words).output().expect("start this program");
    let bytes = String::from_utf8_lossy(&output.stdout).trim().parse();
    let bytes: f64 = bytes.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let what =
        format!("memory of a counter, 1 M of them: {window}, at most {most}, charged in {steps} cells");
    Row::new("T4", what, Bound::AtMost(bound), &Figure::of([bytes]), " B")
}

/// The other role: what `words` ask for, in bytes a counter.
pub(crate) fn measure(words: &[String]) -> f64 {
    let [window, most, steps] = words else { panic!("a window, its number, how many steps") };
    let window = SIZED.iter().find(|(name, _)| name == window).map(|(_, window)| window).expect("a window");
    bytes_each(window, most.parse().expect("a number"), steps.parse().expect("a number"))
}
