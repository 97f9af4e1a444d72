//! The targets of speed, measured: each printed as a line of a table, with what was reached.
//!
//! `cargo bench` measures all, `cargo bench -- T1 T7` some. What each line measures, and how, is in `benches/README.md`.
//! A figure is CPU time or a count, never wall time, except where calls a second are the target; what is compared runs in
//! turn in the same run.

#![expect(clippy::print_stdout, reason = "a bench prints")]

mod callgrind;
mod clients;
mod cpu;
mod deciding;
mod decision;
mod embedded;
mod empty;
mod hit;
mod holds;
mod instructions;
mod load;
mod machine;
mod memory;
mod peers;
mod redis;
mod relay;
mod rounds;
mod server;
mod shared;
mod table;
mod wire;

use std::process::ExitCode;

use mimalloc::MiMalloc;
use table::Row;

/// The allocator of the program that is measured.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What measures some of the targets.
type Measure = (&'static [&'static str], fn() -> Vec<Row>);

const MEASURES: [Measure; 11] = [
    (&["T1", "T2", "T6"], wire::against_empty),
    (&["T3"], decision::rows),
    (&["T4"], embedded::rows),
    (&["T5"], wire::many_checks),
    (&["T7", "T8"], instructions::rows),
    (&["T9"], shared::scripts),
    (&["T10"], shared::redis),
    (&["T11"], shared::own_cpu),
    (&["T12"], shared::rates),
    (&["T13"], peers::rows),
    (&["T14"], holds::rows),
];

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("empty") => empty::serve(tokio::runtime::Builder::new_current_thread()),
        Some("relay") => relay::serve(&arguments[1]),
        Some("bytes") => println!("{}", memory::measure(&arguments[1..])),
        Some("tally") => instructions::tally(&arguments[1]),
        Some("decide") => decision::decide(&arguments[1..]),
        Some("hold") => holds::hold(&arguments[1..]),
        Some("gate") => return instructions::gate(),
        _ => {
            arguments.iter_mut().for_each(|word| word.make_ascii_uppercase());
            return measure(&arguments);
        }
    }
    ExitCode::SUCCESS
}

/// Prints the lines of `wanted` targets, or of all.
fn measure(wanted: &[String]) -> ExitCode {
    let known = MEASURES.map(|(targets, _)| targets).concat();
    if let Some(unknown) = wanted.iter().find(|word| !known.contains(&word.as_str())) {
        println!("{unknown} is no target: name some of {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    println!("{}\n\n{}", machine::machine(), table::HEAD);
    let is_wanted = |target: &str| wanted.is_empty() || wanted.iter().any(|word| word == target);
    for (targets, measure) in MEASURES {
        if targets.iter().any(|target| is_wanted(target)) {
            for row in measure().into_iter().filter(|row| is_wanted(row.target())) {
                println!("{row}");
            }
        }
    }
    ExitCode::SUCCESS
}
