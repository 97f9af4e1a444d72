//! Calls that travel together: put in order, written as one command, and told apart in its reply.
//!
//! A counter is named once, however many calls ask for it. Where all of them ask on the same terms for nothing
//! else, they stand in a run, which the script reads and writes once. That changes their order only against
//! calls that ask for other counters, and those cannot tell. All other calls keep their order.
//!
//! A call whose charges have nothing to do with each other is as many calls of one charge to all this, and is put
//! together again when they are answered.
//!
//! All calls of a batch go to one server: whoever has several makes a batch for each.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use redis::Cmd;
use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::limits::CounterKey;
use crate::store::{Admission, StoreError, Trail};

use super::keys;
use super::script::{self, Following, PackedCall, PackedCharge, Replied, Terms, Time};

/// The most calls of a batch.
pub(super) const MOST_CALLS: usize = 128;

/// Calls in the order in which they are sent.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Every counter once: those of the runs, then the others.
    keys: Vec<CounterKey>,
    /// Those of sliding windows, then those of fixed ones.
    runs: Vec<Run>,
    /// The terms of calls that are in no run.
    terms: Vec<Terms>,
    /// Those calls, packed.
    calls: Vec<u8>,
    /// Whether some of them are no steps.
    goes_beyond_steps: bool,
    /// The trail, if some of them spend anything.
    trail: Option<Trail>,
    /// Of whom the parts of the reply tell.
    replies: Vec<Asker>,
}

/// Who asks for what is decided and told in one piece.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// A call of so many charges.
    Call { call: usize, charges: usize },
    /// The charge at this place of a call that falls apart.
    Charge { call: usize, place: usize },
}

/// What is decided and told in one piece.
struct Piece<'c> {
    asker: Asker,
    admission: Admission,
    charges: &'c [PackedCharge],
    expenses: &'c [u8],
}

/// Counters that are asked on the same terms and in no other way.
#[derive(Debug)]
struct Run {
    terms: Terms,
    once: u16,
    /// How often each of the counters after those is asked.
    often: Vec<u16>,
}

/// What is asked of a counter.
enum Asked {
    /// Always the same, by pieces that ask for nothing else.
    Alike { run: usize, askers: SmallVec<[Asker; 2]> },
    /// This and that. The number that the script knows it by, once it has one.
    Otherwise { number: Option<u16> },
}

/// The counters of a batch.
struct Counters {
    places: HashMap<u128, usize, RandomState>,
    asked: Vec<(CounterKey, Asked)>,
    runs: Vec<Terms>,
}

impl Batch {
    /// At most [`MOST_CALLS`] calls.
    pub(super) fn of(calls: &[PackedCall]) -> Self {
        debug_assert!(calls.len() <= MOST_CALLS);
        let pieces: Vec<Piece<'_>> =
            calls.iter().enumerate().flat_map(|(call, packed)| Piece::of(call, packed)).collect();
        let mut counters = Counters::for_pieces(pieces.len());
        let plain: Vec<Option<usize>> = pieces.iter().map(|piece| counters.ask(piece)).collect();
        let mut batch = Self::default();
        batch.add_runs(&counters);
        let runs = batch.keys.len();
        for (piece, plain) in pieces.iter().zip(plain) {
            if !plain.is_some_and(|place| counters.is_in_run(place)) {
                batch.add_piece(piece, &mut counters, runs);
            }
        }
        batch
    }

    /// The same, but each call by itself and in order, so that each is told its own where Redis takes no writes.
    pub(super) fn one_by_one(calls: &[PackedCall]) -> Self {
        let pieces: Vec<Piece<'_>> =
            calls.iter().enumerate().map(|(call, packed)| Piece::whole(call, packed)).collect();
        let mut counters = Counters::for_pieces(pieces.len());
        pieces.iter().for_each(|piece| counters.keep_apart(piece));
        let mut batch = Self { goes_beyond_steps: true, ..Self::default() };
        for piece in &pieces {
            batch.add_piece(piece, &mut counters, 0);
        }
        batch
    }

    fn add_runs(&mut self, counters: &Counters) {
        let mut alike: Vec<(usize, &[Asker], CounterKey)> = counters
            .asked
            .iter()
            .filter_map(|(key, asked)| match asked {
                Asked::Alike { run, askers } => Some((*run, askers.as_slice(), *key)),
                Asked::Otherwise { .. } => None,
            })
            .collect();
        let is_sliding = |run: usize| counters.runs[run].is_sliding();
        alike.sort_by_key(|(run, askers, _)| (!is_sliding(*run), *run, askers.len() > 1));
        for run in alike.chunk_by(|one, other| one.0 == other.0) {
            let once = run.partition_point(|(_, askers, _)| askers.len() == 1);
            self.runs.push(Run {
                terms: counters.runs[run[0].0].clone(),
                once: narrow(once),
                often: run[once..].iter().map(|(_, askers, _)| narrow(askers.len())).collect(),
            });
            for (_, askers, key) in run {
                self.keys.push(*key);
                self.replies.extend(*askers);
            }
        }
    }

    fn add_piece(&mut self, piece: &Piece<'_>, counters: &mut Counters, runs: usize) {
        self.goes_beyond_steps |= !piece.is_step();
        script::pack_head(piece.admission, piece.charges.len(), piece.expenses, &mut self.calls);
        for charge in piece.charges {
            let counter = counters.number(charge.key).get_or_insert_with(|| {
                self.keys.push(charge.key);
                narrow(self.keys.len() - runs)
            });
            self.calls.extend(counter.to_le_bytes());
            let terms = place_of(&mut self.terms, &charge.terms) + 1;
            self.calls.extend(narrow(terms).to_le_bytes());
        }
        if !piece.expenses.is_empty() {
            script::pack_bytes(piece.expenses, &mut self.calls);
            self.trail = Some(Trail::Spent);
        }
        self.replies.push(piece.asker);
    }

    /// The command that makes the calls, by the script of this hash.
    pub(super) fn command(&self, hash: &str, time: Time) -> Cmd {
        let mut command = Cmd::with_capacity(self.keys.len() + 8, self.keys.len() * 64 + 256);
        command.arg("EVALSHA").arg(hash).arg(self.keys.len() + usize::from(self.trail.is_some()));
        for key in &self.keys {
            command.arg(&keys::counter(*key)[..]);
        }
        command.arg(self.trail.map(keys::trail));
        command.arg(time.pack(Following {
            runs: narrow(self.runs.len()),
            sliding_runs: narrow(self.runs.partition_point(|run| run.terms.is_sliding())),
            are_steps: !self.goes_beyond_steps,
        }));
        for run in &self.runs {
            let mut packed = run.terms.pack_run(run.once, time.grace());
            packed.extend(run.often.iter().flat_map(|often| often.to_le_bytes()));
            command.arg(packed);
        }
        for terms in &self.terms {
            command.arg(if self.goes_beyond_steps {
                terms.pack(time.grace())
            } else {
                terms.pack_run(0, time.grace())
            });
        }
        if !self.calls.is_empty() {
            command.arg(&self.calls);
        }
        command
    }

    /// The store's time, and what was said of each call; `refusal` is what is told to those of whom Redis takes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`], if this is no reply to these calls.
    pub(super) fn read(
        &self,
        reply: &[u8],
        refusal: Option<&StoreError>,
    ) -> Result<(Timestamp, Vec<(usize, Replied)>), StoreError> {
        let numbers = script::numbers(reply)?;
        let (now, mut rest) = numbers.split_first().ok_or(StoreError::Corrupt)?;
        let at = Timestamp(script::amount(*now)?);
        if rest.is_empty() {
            return Ok((at, self.replies.iter().filter_map(Asker::too_late).collect()));
        }
        let (mut said, mut pieces) = (Vec::with_capacity(self.replies.len()), Vec::new());
        for asker in &self.replies {
            match *asker {
                Asker::Call { call, charges } => {
                    said.push((call, script::read_call(&mut rest, charges, refusal)?));
                }
                Asker::Charge { call, place } => pieces.push((call, place, script::read_charge(&mut rest)?)),
            }
        }
        pieces.sort_unstable_by_key(|(call, place, _)| (*call, *place));
        let calls = pieces.chunk_by(|one, other| one.0 == other.0);
        said.extend(calls.map(|call| {
            let charged = call.iter().map(|(.., charged)| *charged);
            (call[0].0, Replied::Charged(charged.collect()))
        }));
        if rest.is_empty() { Ok((at, said)) } else { Err(StoreError::Corrupt) }
    }
}

impl Asker {
    /// What is said when nothing was done: once of each call, however many pieces it fell into.
    fn too_late(&self) -> Option<(usize, Replied)> {
        match *self {
            Self::Call { call, .. } | Self::Charge { call, place: 0 } => Some((call, Replied::Astray)),
            Self::Charge { .. } => None,
        }
    }
}

impl<'c> Piece<'c> {
    /// What is decided in one piece of `packed`, the call at the place `call`: it, or each of its charges.
    fn of(call: usize, packed: &'c PackedCall) -> impl Iterator<Item = Self> {
        let charges = packed.charges.len();
        let falls_apart = charges > 1 && packed.falls_apart();
        let size = if falls_apart { 1 } else { charges.max(1) };
        packed.charges.chunks(size).enumerate().map(move |(place, charges)| {
            let asker = if falls_apart {
                Asker::Charge { call, place }
            } else {
                Asker::Call { call, charges: charges.len() }
            };
            Self { asker, admission: packed.admission, charges, expenses: &packed.expenses }
        })
    }

    /// All of `packed`, the call at the place `call`.
    fn whole(call: usize, packed: &'c PackedCall) -> Self {
        let asker = Asker::Call { call, charges: packed.charges.len() };
        Self { asker, admission: packed.admission, charges: &packed.charges, expenses: &packed.expenses }
    }

    /// Whether it takes from sliding windows alone, enforced, all or none, names no counter twice, and spends nothing.
    fn is_step(&self) -> bool {
        let is_together = self.admission == Admission::AllOrNone || self.charges.len() == 1;
        let is_alone =
            |index: usize| self.charges[..index].iter().all(|other| other.key != self.charges[index].key);
        let takes = |charge: &PackedCharge| charge.terms.is_plain() && charge.terms.is_sliding();
        is_together
            && self.expenses.is_empty()
            && self.charges.iter().all(takes)
            && (0..self.charges.len()).all(is_alone)
    }

    /// Its one charge, if it is one that a run can hold.
    fn plain(&self) -> Option<&'c PackedCharge> {
        match self.charges {
            [charge] if self.expenses.is_empty() && charge.terms.is_plain() => Some(charge),
            _ => None,
        }
    }
}

impl Counters {
    fn for_pieces(count: usize) -> Self {
        let places = HashMap::with_capacity_and_hasher(count, RandomState::default());
        Self { places, asked: Vec::with_capacity(count), runs: Vec::new() }
    }

    /// Notes what `piece` asks; where its counter is noted, if a run can hold it.
    fn ask(&mut self, piece: &Piece<'_>) -> Option<usize> {
        let Some(charge) = piece.plain() else {
            self.keep_apart(piece);
            return None;
        };
        let run = place_of(&mut self.runs, &charge.terms);
        let place = self.place(charge.key);
        match &mut self.asked[place].1 {
            Asked::Alike { askers, .. } if askers.is_empty() => {
                self.asked[place].1 = Asked::Alike { run, askers: [piece.asker].into_iter().collect() };
            }
            Asked::Alike { run: same, askers } if *same == run => askers.push(piece.asker),
            asked => *asked = Asked::Otherwise { number: None },
        }
        Some(place)
    }

    /// Keeps the counters of `piece` out of runs.
    fn keep_apart(&mut self, piece: &Piece<'_>) {
        for charge in piece.charges {
            let place = self.place(charge.key);
            self.asked[place].1 = Asked::Otherwise { number: None };
        }
    }

    /// Where what is asked of a counter is noted; at first nothing is.
    fn place(&mut self, key: CounterKey) -> usize {
        *self.places.entry(key.id).or_insert_with(|| {
            self.asked.push((key, Asked::Alike { run: 0, askers: SmallVec::new() }));
            self.asked.len() - 1
        })
    }

    fn is_in_run(&self, place: usize) -> bool {
        matches!(self.asked[place].1, Asked::Alike { .. })
    }

    /// The number of a counter that is in no run.
    fn number(&mut self, key: CounterKey) -> &mut Option<u16> {
        let place = self.place(key);
        match &mut self.asked[place].1 {
            Asked::Otherwise { number } => number,
            Asked::Alike { .. } => unreachable!("what is outside of runs is noted before it is added"),
        }
    }
}

/// Where `terms` stand among those that were seen; most often they were the last.
fn place_of(seen: &mut Vec<Terms>, terms: &Terms) -> usize {
    seen.iter().rposition(|other| other == terms).unwrap_or_else(|| {
        seen.push(terms.clone());
        seen.len() - 1
    })
}

/// `count` as the script reads it.
fn narrow(count: usize) -> u16 {
    u16::try_from(count).expect("a call's descriptors and their limits are bounded, and so is a batch")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{Op, Rule};
    use crate::clock::Micros;
    use crate::limits::{Number, OnError, Unit, Window};
    use crate::store::{Binding, Call, Charge, FreedBy};

    const MINUTE: Window = Window::Sliding { length: Micros::from_secs(60) };

    /// A call that takes 1 from each of these counters, whatever becomes of the others.
    fn call(ids: &[u128]) -> PackedCall {
        let charge = |id: &u128| Charge {
            key: CounterKey { tag: 0, id: *id },
            overflow: *id,
            rule: Rule { window: &MINUTE, number: Number::AtMost(1) },
            op: Op::Take { room: 1, charge: 1 },
            binding: Binding::Enforced,
            on_error: OnError::Deny,
            freed_by: FreedBy::Hand,
            unit: Unit::Hits,
            memo: 0,
        };
        let charges: Vec<Charge<'_>> = ids.iter().map(charge).collect();
        script::pack(
            &Call { charges: &charges, admission: Admission::Each, expenses: &[] },
            Timestamp::default,
            0,
        )
    }

    #[test]
    fn a_call_hears_once_that_it_is_too_late_also_when_it_fell_apart() {
        let batch = Batch::of(&[call(&[1, 2]), call(&[3])]);
        let said = vec![(0, Replied::Astray), (1, Replied::Astray)];
        assert_eq!(batch.read(&7_f64.to_le_bytes(), None), Ok((Timestamp(7), said)));
    }
}
