//! Calls that travel together: put in order, written as one command, and told apart in its reply.
//!
//! A counter is named once, however many calls ask for it. Where all of them ask on the same terms for nothing
//! else, they stand in a run, which the script reads and writes once. That changes their order only against
//! calls that ask for other counters, and those cannot tell. All other calls keep their order.
//!
//! All calls of a batch go to one server: whoever has several makes a batch for each.

use std::collections::HashMap;

use redis::Cmd;
use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::limits::CounterKey;
use crate::store::StoreError;

use super::keys;
use super::script::{self, PackedCall, Replied, Terms, Time};

/// The most calls of a batch; the script counts them in bytes.
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
    /// Which call a part of the reply belongs to, and how many charges it has.
    replies: Vec<(usize, usize)>,
}

/// Counters that are asked on the same terms and in no other way.
#[derive(Debug)]
struct Run {
    terms: Terms,
    once: u8,
    /// How often each of the counters after those is asked.
    often: Vec<u8>,
}

/// What is asked of a counter.
enum Asked {
    /// Always the same, by calls that ask for nothing else.
    Alike { run: usize, calls: SmallVec<[usize; 2]> },
    /// This and that. The number that the script knows it by, once it has one.
    Otherwise { number: Option<u16> },
}

/// The counters of a batch.
#[derive(Default)]
struct Counters {
    places: HashMap<u128, usize>,
    asked: Vec<(CounterKey, Asked)>,
    runs: Vec<Terms>,
}

impl Batch {
    /// At most [`MOST_CALLS`] calls.
    pub(super) fn of(calls: &[PackedCall]) -> Self {
        debug_assert!(calls.len() <= MOST_CALLS);
        let mut counters = Counters::default();
        for (index, call) in calls.iter().enumerate() {
            counters.ask(index, call);
        }
        let mut batch = Self::default();
        batch.add_runs(&counters);
        let runs = batch.keys.len();
        for (index, call) in calls.iter().enumerate() {
            if !counters.is_in_run(call) {
                batch.add_call(index, call, &mut counters, runs);
            }
        }
        batch
    }

    fn add_runs(&mut self, counters: &Counters) {
        let mut alike: Vec<(usize, &[usize], CounterKey)> = counters
            .asked
            .iter()
            .filter_map(|(key, asked)| match asked {
                Asked::Alike { run, calls } => Some((*run, calls.as_slice(), *key)),
                Asked::Otherwise { .. } => None,
            })
            .collect();
        let is_sliding = |run: usize| counters.runs[run].is_sliding();
        alike.sort_by_key(|(run, calls, _)| (!is_sliding(*run), *run, calls.len() > 1));
        for run in alike.chunk_by(|one, other| one.0 == other.0) {
            let once = run.partition_point(|(_, calls, _)| calls.len() == 1);
            self.runs.push(Run {
                terms: counters.runs[run[0].0].clone(),
                once: byte(once),
                often: run[once..].iter().map(|(_, calls, _)| byte(calls.len())).collect(),
            });
            for (_, calls, key) in run {
                self.keys.push(*key);
                self.replies.extend(calls.iter().map(|call| (*call, 1)));
            }
        }
    }

    fn add_call(&mut self, index: usize, call: &PackedCall, counters: &mut Counters, runs: usize) {
        call.pack_head(&mut self.calls);
        for charge in &call.charges {
            let number = counters.number(charge.key).get_or_insert_with(|| {
                self.keys.push(charge.key);
                number(self.keys.len() - runs)
            });
            self.calls.extend(number.to_le_bytes());
            let terms = place_of(&mut self.terms, &charge.terms) + 1;
            self.calls.extend(self::number(terms).to_le_bytes());
        }
        self.replies.push((index, call.charges.len()));
    }

    /// The command that makes the calls, by the script of this hash.
    pub(super) fn command(&self, hash: &str, time: Time) -> Cmd {
        let mut command = Cmd::with_capacity(self.keys.len() + 8, self.keys.len() * 64 + 256);
        command.arg("EVALSHA").arg(hash).arg(self.keys.len());
        for key in &self.keys {
            command.arg(&keys::counter(*key)[..]);
        }
        let sliding = self.runs.partition_point(|run| run.terms.is_sliding());
        command.arg(time.pack(byte(self.runs.len()), byte(sliding)));
        for run in &self.runs {
            let mut packed = run.terms.pack_run(run.once, time.grace());
            packed.extend(&run.often);
            command.arg(packed);
        }
        for terms in &self.terms {
            command.arg(terms.pack(time.grace()));
        }
        if !self.calls.is_empty() {
            command.arg(&self.calls);
        }
        command
    }

    /// The store's time, and what was said of each call.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`], if this is no reply to these calls.
    pub(super) fn read(&self, reply: &[i64]) -> Result<(Timestamp, Vec<(usize, Replied)>), StoreError> {
        let (now, mut rest) = reply.split_first().ok_or(StoreError::Corrupt)?;
        let at = Timestamp(script::amount(*now)?);
        if rest.is_empty() {
            return Ok((at, self.replies.iter().map(|(call, _)| (*call, Replied::Astray)).collect()));
        }
        let said = self
            .replies
            .iter()
            .map(|(call, charges)| script::read_call(&mut rest, *charges).map(|replied| (*call, replied)));
        let said = said.collect::<Result<Vec<_>, _>>()?;
        if rest.is_empty() { Ok((at, said)) } else { Err(StoreError::Corrupt) }
    }
}

impl Counters {
    /// Notes what the call at `index` asks.
    fn ask(&mut self, index: usize, call: &PackedCall) {
        let Some(charge) = call.plain() else {
            for charge in &call.charges {
                let place = self.place(charge.key);
                self.asked[place].1 = Asked::Otherwise { number: None };
            }
            return;
        };
        let run = place_of(&mut self.runs, &charge.terms);
        let place = self.place(charge.key);
        match &mut self.asked[place].1 {
            Asked::Alike { calls, .. } if calls.is_empty() => {
                self.asked[place].1 = Asked::Alike { run, calls: [index].into_iter().collect() };
            }
            Asked::Alike { run: same, calls } if *same == run => calls.push(index),
            asked => *asked = Asked::Otherwise { number: None },
        }
    }

    /// Where what is asked of a counter is noted; at first nothing is.
    fn place(&mut self, key: CounterKey) -> usize {
        *self.places.entry(key.id).or_insert_with(|| {
            self.asked.push((key, Asked::Alike { run: 0, calls: SmallVec::new() }));
            self.asked.len() - 1
        })
    }

    fn is_in_run(&self, call: &PackedCall) -> bool {
        call.plain().is_some_and(|charge| {
            let place = self.places[&charge.key.id];
            matches!(self.asked[place].1, Asked::Alike { .. })
        })
    }

    /// The number of a counter that is in no run.
    fn number(&mut self, key: CounterKey) -> &mut Option<u16> {
        let place = self.place(key);
        match &mut self.asked[place].1 {
            Asked::Otherwise { number } => number,
            Asked::Alike { .. } => unreachable!("a call outside of runs is noted before it is added"),
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

fn byte(count: usize) -> u8 {
    u8::try_from(count).expect("a batch has fewer calls")
}

fn number(count: usize) -> u16 {
    u16::try_from(count).expect("a call's descriptors and their limits are bounded, and so is a batch")
}
