//! The table: one line a target, printed as soon as it is measured.

use std::fmt;

use crate::rounds::Figure;

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is reached.
    Pass,
    /// It is not.
    Short,
    /// What measures it is not there.
    NotMeasured,
    /// There is no target: the figure stands beside others.
    Shown,
}

/// The most, or the least, that a figure may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// This, or less.
    AtMost(f64),
    /// This, or more.
    AtLeast(f64),
    /// Anything.
    None,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    target: &'static str,
    what: String,
    bound: String,
    measured: String,
    verdict: Verdict,
}

impl Row {
    /// `figure` against `bound`, both in `unit`.
    pub(crate) fn new(
        target: &'static str,
        what: impl Into<String>,
        bound: Bound,
        figure: &Figure,
        unit: &str,
    ) -> Self {
        let (least, most) = figure.range();
        let spread =
            if least < most { format!(" ({} to {})", short(least), short(most)) } else { String::new() };
        let measured = format!("{}{unit}{spread}", short(figure.median()));
        let (bound, verdict) = bound.judge(figure.median(), unit);
        Self { target, what: what.into(), bound, measured, verdict }
    }

    /// A target whose measure is missing, and why.
    pub(crate) fn not_measured(
        target: &'static str,
        what: impl Into<String>,
        why: impl fmt::Display,
    ) -> Self {
        let measured = why.to_string();
        Self { target, what: what.into(), bound: String::new(), measured, verdict: Verdict::NotMeasured }
    }

    /// Which target it is of.
    pub(crate) fn target(&self) -> &str {
        self.target
    }

    /// Says more about what was measured.
    pub(crate) fn noting(mut self, note: impl fmt::Display) -> Self {
        self.measured = format!("{}; {note}", self.measured);
        self
    }
}

impl Bound {
    fn judge(self, median: f64, unit: &str) -> (String, Verdict) {
        let verdict = |reached| if reached { Verdict::Pass } else { Verdict::Short };
        match self {
            Self::AtMost(most) => (format!("≤ {most}{unit}"), verdict(median <= most)),
            Self::AtLeast(least) => (format!("≥ {least}{unit}"), verdict(median >= least)),
            Self::None => (String::new(), Verdict::Shown),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Short => "SHORT",
            Self::NotMeasured => "not measured",
            Self::Shown => "",
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, what, bound, measured, verdict } = self;
        write!(f, "| {target:<3} | {what} | {bound} | {measured} | {verdict} |")
    }
}

/// What stands above the first line.
pub(crate) const HEAD: &str =
    "| # | what | target | measured: median (least to most) | |\n|---|---|---|---|---|";

/// `value` with three digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
