//! What a charge is in the script's words; what the script says of it is in [`reply`].
//!
//! The parts of the script, `lua/*.lua`, tell the form at their heads; [`super::batch`] puts calls together. Nothing
//! here talks to Redis.

mod expense;
mod info;
mod reply;
mod reservation;

use smallvec::SmallVec;

use crate::algorithm::{CELLS, Op, Overrun, Refill, Rule, carried_every};
use crate::clock::{Micros, Timestamp};
use crate::limits::{CounterKey, Number, Window};
use crate::store::{Admission, Binding, Call, Charge};

pub(super) use reply::{Replied, amount, answer, numbers, read_call, read_charge, take_apart};
pub(super) use reservation::{Answered, read_reserved, read_settled, reserve, settle};

const SLIDING: u8 = 1;
const CONCURRENT: u8 = 2;
const FIXED: u8 = 4;
const TAKE: u8 = 0;
const GIVE_BACK: u8 = 1;
const SET: u8 = 2;
const HOLD: u8 = 3;
const CLEAR: u8 = 5;
const ENFORCED: i32 = -1;
const COUNTED: i32 = -2;

/// By which time a script goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Time {
    /// By Redis's own.
    Redis {
        /// After this instant nothing is done: whoever asked has gone.
        until: Option<Timestamp>,
    },
    /// By this one, whatever Redis thinks: for tests, which then also find states that Redis's own clock
    /// would have dropped.
    At(Timestamp),
}

/// What follows the first argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Following {
    pub(super) runs: u16,
    /// How many of those, the first, are of sliding windows.
    pub(super) sliding_runs: u16,
    /// Whether all calls that are in no run are steps.
    pub(super) are_steps: bool,
}

/// A call in the script's words.
#[derive(Clone, Debug)]
pub(super) struct PackedCall {
    pub(super) admission: Admission,
    pub(super) charges: SmallVec<[PackedCharge; 1]>,
    /// What it spends; empty if that is nothing.
    pub(super) expenses: Box<[u8]>,
}

/// A charge in the script's words.
#[derive(Clone, Debug)]
pub(super) struct PackedCharge {
    pub(super) key: CounterKey,
    pub(super) terms: Terms,
}

/// All of a charge but its counter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Terms {
    kind: u8,
    op: u8,
    overrun: Overrun,
    /// Whether holds may stand beside the counter.
    beside: bool,
    binding: i32,
    room: f64,
    amount: f64,
    most: f64,
    parameters: [f64; 4],
    /// How long periods usually are that pay for each other.
    carried_every: Option<Micros>,
}

impl Time {
    /// How long Redis keeps what is as good as fresh: its clock counts in milliseconds, and a command's
    /// expiry runs from a moment before the script asks for the time.
    const GRACE: Micros = Micros::from_secs(1);
    const GRACE_OF_TESTS: Micros = Micros::from_secs(3600);

    /// How long Redis keeps what is as good as fresh, in milliseconds.
    pub(super) fn grace(self) -> u64 {
        let grace = if matches!(self, Self::Redis { .. }) { Self::GRACE } else { Self::GRACE_OF_TESTS };
        grace.0 / 1000
    }

    /// The first argument, when these follow.
    pub(super) fn pack(self, following: Following) -> Vec<u8> {
        let (now, until) = match self {
            Self::Redis { until } => (0, until),
            Self::At(now) => (now.0, None),
        };
        let mut packed = Vec::with_capacity(29);
        number(&mut packed, now);
        double(&mut packed, until.map_or(f64::INFINITY, |until| until.0 as f64));
        number(&mut packed, self.grace());
        packed.extend([following.runs, following.sliding_runs].map(u16::to_le_bytes).as_flattened());
        packed.push(u8::from(following.are_steps));
        packed
    }
}

/// `call` in the script's words; its caller believes that the store's clock shows `believed`, which is asked for
/// only when it matters. So many `notes` of usage are kept.
pub(super) fn pack(call: &Call<'_>, believed: impl Fn() -> Timestamp, notes: usize) -> PackedCall {
    let charges = call
        .charges
        .iter()
        .map(|charge| PackedCharge { key: charge.key, terms: Terms::of(charge, call.admission, &believed) });
    let spends = call.admission == Admission::AllOrNone && !call.expenses.is_empty();
    let expenses = if spends { expense::pack(call.expenses, notes).into() } else { Box::default() };
    PackedCall { admission: call.admission, charges: charges.collect(), expenses }
}

impl PackedCall {
    /// Whether each of its charges may be made as a call of its own: they have nothing to do with each other, and none
    /// goes astray.
    pub(super) fn falls_apart(&self) -> bool {
        self.admission == Admission::Each && self.charges.iter().all(|charge| charge.terms.is_plain())
    }
}

/// What stands before so many charges that are made together, and spend something or not.
pub(super) fn pack_head(admission: Admission, charges: usize, expenses: &[u8], packed: &mut Vec<u8>) {
    packed.push(match admission {
        _ if !expenses.is_empty() => 3,
        Admission::AllOrNone => 0,
        Admission::Each => 1,
        Admission::EachUnlessOver => 2,
    });
    let count = u16::try_from(charges).expect("a call's descriptors and their limits are bounded");
    packed.extend(count.to_le_bytes());
}

/// Adds `bytes`, with their number before them.
pub(super) fn pack_bytes(bytes: &[u8], packed: &mut Vec<u8>) {
    let length = u32::try_from(bytes.len()).expect("what is known of one call is short");
    packed.extend(length.to_le_bytes());
    packed.extend(bytes);
}

impl Terms {
    fn of(charge: &Charge<'_>, admission: Admission, believed: impl Fn() -> Timestamp) -> Self {
        let (op, room, amount) = match charge.op {
            Op::Take { room, charge } => (TAKE, room, charge),
            Op::GiveBack { units } => (GIVE_BACK, 0, units),
            Op::Set { units } => (SET, 0, units),
            Op::Clear => (CLEAR, 0, 0),
            Op::Hold { fixed, flexible } => (HOLD, fixed, flexible),
        };
        let binding = match charge.binding {
            Binding::Enforced => ENFORCED,
            Binding::Counted => COUNTED,
            Binding::Quota { group } => i32::from(group),
        };
        let most = match charge.rule.most() {
            Number::Unlimited => f64::INFINITY,
            Number::AtMost(most) => most as f64,
        };
        Self {
            kind: kind(charge.rule.window),
            op,
            overrun: charge.overrun(admission),
            beside: charge.has_holds(),
            binding,
            room: room as f64,
            amount: amount as f64,
            most,
            parameters: parameters(charge.rule, believed),
            carried_every: carried_every(charge.rule.window),
        }
    }

    /// Whether a run can hold a call of one charge on these terms. Its admission need not be known: what that means to
    /// one charge is in `overrun` already.
    pub(super) fn is_plain(&self) -> bool {
        let is_taken = self.op == TAKE && self.room == self.amount && self.amount > 0.0;
        let may_run = match self.kind {
            SLIDING => self.binding == ENFORCED,
            // A quota that is alone in its call refuses, whatever its terms say.
            FIXED => matches!(self.binding, ENFORCED | COUNTED),
            _ => false,
        };
        is_taken && may_run && !self.beside && self.carried_every.is_none() && self.most.is_finite()
    }

    /// Whether a run on these terms is one of sliding windows.
    pub(super) fn is_sliding(&self) -> bool {
        self.kind == SLIDING
    }

    /// The argument of a run on these terms, but for the counters that are asked more than once; or of steps, with no
    /// counters.
    pub(super) fn pack_run(&self, once: u16, grace: u64) -> Vec<u8> {
        let mut packed = Vec::with_capacity(64);
        for part in [self.parameters[0], self.most, self.amount] {
            double(&mut packed, part);
        }
        if self.is_sliding() {
            packed.extend(once.to_le_bytes());
            self.pack_expiry(&mut packed, grace);
        } else {
            packed.push(self.counts_over());
            packed.extend(once.to_le_bytes());
        }
        packed
    }

    /// The argument that is these terms.
    pub(super) fn pack(&self, grace: u64) -> Vec<u8> {
        let mut packed = Vec::with_capacity(80);
        packed.extend([self.kind, self.op, self.counts_over(), u8::from(self.beside)]);
        packed.extend(self.binding.to_le_bytes());
        for part in [self.room, self.amount, self.most].into_iter().chain(self.parameters) {
            double(&mut packed, part);
        }
        self.pack_expiry(&mut packed, grace);
        packed
    }

    fn counts_over(&self) -> u8 {
        u8::from(self.overrun == Overrun::Count)
    }

    /// How long Redis keeps the cells of a window from the last that is begun: until that is forgotten, and a
    /// little. Of periods, how long they usually are, if debt is carried.
    fn pack_expiry(&self, packed: &mut Vec<u8>, grace: u64) {
        if matches!(self.kind, SLIDING | CONCURRENT) {
            let kept = (self.parameters[0] * (CELLS + 1) as f64 / 1000.0).ceil() + grace as f64;
            packed.extend(kept.to_string().into_bytes());
        } else if let Some(usual) = self.carried_every {
            packed.extend(usual.0.to_string().into_bytes());
        }
        packed.push(0);
    }
}

fn kind(window: &Window) -> u8 {
    match window {
        Window::Sliding { .. } => SLIDING,
        Window::Concurrent { .. } => CONCURRENT,
        Window::TokenBucket { .. } => 3,
        Window::Fixed { .. } => FIXED,
        Window::Calendar(..) => 5,
        Window::Total { .. } => 6,
        Window::Request => 7,
    }
}

fn parameters(rule: Rule<'_>, believed: impl Fn() -> Timestamp) -> [f64; 4] {
    let one = |parameter: f64| [parameter, 0.0, 0.0, 0.0];
    match rule.window {
        Window::Sliding { length } | Window::Concurrent { max_age: length } => {
            one((length.0 / CELLS).max(1) as f64)
        }
        Window::TokenBucket { .. } => {
            let refill = Refill::of(rule.window, rule.number);
            [refill.units, refill.length, 0.0, 0.0]
        }
        Window::Fixed { length, .. } => one(length.0 as f64),
        Window::Calendar(calendar, _) => calendar.boundaries(believed()).map(|start| start.0 as f64),
        Window::Total { forget } => one(forget.map_or(f64::INFINITY, |span| span.0 as f64)),
        Window::Request => one(0.0),
    }
}

fn number(packed: &mut Vec<u8>, number: u64) {
    double(packed, number as f64);
}

fn double(packed: &mut Vec<u8>, double: f64) {
    packed.extend(double.to_le_bytes());
}

/// Adds a number as text, which is what commands of Redis have.
fn text(packed: &mut Vec<u8>, number: u64) {
    packed.extend(number.to_string().into_bytes());
    packed.push(0);
}
