//! T7 and T8, and the gate: instructions of a call against those of the empty handler, and what of them is for watching.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;

use tollgate::limits::{Tallied, Tally};

use crate::callgrind::{of_a_call, of_a_step, valgrind};
use crate::deciding::LIMITS;
use crate::load::Calls;
use crate::rounds::Figure;
use crate::server::{Server, Under, named};
use crate::table::{Bound, Row};
use crate::wire::calls;

/// Fewer than the calls of the shorter run, so that the longer one meets each counter again.
const USERS: usize = 500;
/// What was reached: instructions of a call against those of the empty handler.
const REACHED: f64 = 0.683;
/// The most that the gate lets pass, whatever was reached.
const MOST: f64 = 0.90;
/// How much worse than what was reached the gate lets pass.
const SLACK: f64 = 1.05;
/// Where the environment says where a `tollgate` is that was built without tracing.
const WITHOUT_TRACING: &str = "WITHOUT_TRACING";
const NO_VALGRIND: &str = "valgrind is not there";

/// What was counted of a call.
struct Counted {
    tollgate: f64,
    empty: f64,
}

impl Counted {
    fn by(valgrind: &Path) -> Self {
        let calls = calls(USERS, 1);
        let empty = of_a_call(valgrind, &calls, Server::empty);
        Self { tollgate: tollgate(valgrind, &calls), empty }
    }

    fn ratio(&self) -> f64 {
        self.tollgate / self.empty
    }
}

fn tollgate(valgrind: &Path, calls: &Calls) -> f64 {
    of_a_call(valgrind, calls, |under| Server::tollgate(LIMITS, &[], under))
}

/// T7 and T8.
pub(crate) fn rows() -> Vec<Row> {
    let what = "instructions of a call against an empty tonic handler";
    let Some(valgrind) = valgrind() else {
        return ["T7", "T8"].map(|target| Row::not_measured(target, what, NO_VALGRIND)).into();
    };
    let counted = Counted::by(&valgrind);
    let both = format!("{:.0} against {:.0}", counted.tollgate, counted.empty);
    let row = Row::new("T7", what, Bound::AtMost(0.85), &Figure::of([counted.ratio()]), "×").noting(both);
    vec![row, metrics(&valgrind, &counted), tracing(&valgrind, &counted)]
}

fn metrics(valgrind: &Path, counted: &Counted) -> Row {
    let count = of_a_step(valgrind, &["tally"], [1_000, 101_000]);
    let share = Figure::of([count / counted.tollgate * 100.0]);
    let what = "instructions of counting what came of a call, of those of the call";
    Row::new("T8", what, Bound::AtMost(1.0), &share, " %").noting(format!("{count:.0} instructions"))
}

/// The role that counts `steps` outcomes.
pub(crate) fn tally(steps: &str) {
    let tally = Tally::default();
    for _ in 0..steps.parse().expect("a number of steps") {
        black_box(&tally).count(black_box(Tallied::Admitted));
    }
}

/// Instructions that the program spends on a call more than one whose log was compiled out.
fn tracing(valgrind: &Path, counted: &Counted) -> Row {
    let what = "instructions of tracing that is compiled in and off, of those of the call";
    let Some(program) = named(WITHOUT_TRACING) else {
        return Row::not_measured("T8", what, format!("no program in {WITHOUT_TRACING}"));
    };
    let without =
        of_a_call(valgrind, &calls(USERS, 1), |under: &Under| Server::silent(&program, LIMITS, under));
    let share = Figure::of([(counted.tollgate / without - 1.0) * 100.0]);
    let both = format!("{:.0} against {without:.0}", counted.tollgate);
    Row::new("T8", what, Bound::AtMost(1.0), &share, " %").noting(both)
}

/// Fails where a call takes more instructions than it may.
pub(crate) fn gate() -> ExitCode {
    let Some(valgrind) = valgrind() else {
        eprintln!("gate: {NO_VALGRIND}");
        return ExitCode::FAILURE;
    };
    let counted = Counted::by(&valgrind);
    let (ratio, most) = (counted.ratio(), f64::min(MOST, REACHED * SLACK));
    let Counted { tollgate, empty } = counted;
    println!(
        "gate: {tollgate:.0} instructions a call, {empty:.0} in the empty handler: {ratio:.3}×, at most {most:.3}×"
    );
    if ratio <= most { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
