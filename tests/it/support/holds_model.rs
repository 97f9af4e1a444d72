//! What reservations promise, written down so plainly that it can hardly be wrong: lists of what was charged and of
//! what is held, gone through from end to end for every question.
//!
//! Written from what is promised, not from how it is done. Amounts are small, so nothing rounds.

use std::collections::BTreeMap;

use tollgate::algorithm::{Retry, Verdict};
use tollgate::clock::Micros;
use tollgate::store::Before;

/// What brings room back, with lengths in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Sliding(u64),
    Fixed(u64),
    /// Days of UTC.
    Daily,
    Total,
    /// Of hits: what is charged is held by nobody in particular.
    Concurrent(u64),
}

/// What is done to one counter; a call does it to each at most once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ask {
    Hold {
        fixed: u64,
        flexible: u64,
    },
    Take(u64),
    GiveBack(u64),
    /// Whether so much would fit.
    Look(u64),
}

/// What is told of a counter: the verdict, what is used, held and left.
pub(crate) type Told = (Verdict, u64, u64, u64);

/// How long things last, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasting {
    pub(crate) ttl: u64,
    pub(crate) max_age: u64,
    pub(crate) keep: u64,
}

/// What became of a reservation that was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reserving {
    /// So many units, since then, until then.
    Taken(u64, u64, u64),
    Replayed(u64, u64, u64),
    Refused,
    Conflict,
}

/// How a reservation goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Going {
    More,
    Done,
    Released,
}

/// What became of a settling: how it was found, until when it holds, and of each part what was granted, what is paid,
/// what was charged, and the counter.
pub(crate) type Settling = (Before, Option<u64>, Vec<(u64, u64, u64, Told)>);

#[derive(Clone, Debug)]
struct Counter {
    kind: Kind,
    most: u64,
    /// When, and how much.
    charged: Vec<(u64, u64)>,
    /// Whose, until when, and how much.
    held: Vec<(u128, u64, u64)>,
    /// Of what was charged, what was spent beyond a hold or after it.
    beyond: Vec<(u64, u64)>,
    /// The end of a period, and what was paid after that and charged to nobody, since the period had room for it.
    covered: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Open,
    Settled,
    Released,
    Unheld,
}

#[derive(Clone, Debug)]
struct Record {
    body: u64,
    state: State,
    units: u64,
    began: u64,
    until: u64,
    ttl: u64,
    ends: u64,
    kept_until: u64,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    counter: usize,
    granted: u64,
    paid: u64,
    taken: u64,
    /// The end of its period.
    ends: u64,
}

/// Counters, and what was reserved of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    counters: Vec<Counter>,
    records: BTreeMap<u128, Record>,
}

impl Kind {
    /// The first instant at which what is charged at `at` is forgotten.
    fn forgotten(self, at: u64) -> u64 {
        match self {
            Self::Sliding(length) | Self::Concurrent(length) => (at / (length / 50) + 51) * (length / 50),
            Self::Fixed(_) | Self::Daily => self.period_ends(at),
            Self::Total => u64::MAX,
        }
    }

    /// The first instant that does not belong to the period of `at`.
    fn period_ends(self, at: u64) -> u64 {
        let length = match self {
            Self::Fixed(length) => length,
            Self::Daily => 86_400_000_000,
            _ => return u64::MAX,
        };
        (at / length + 1) * length
    }
}

impl Counter {
    fn counted(&self, list: &[(u64, u64)], at: u64) -> u64 {
        list.iter().filter(|(since, _)| self.kind.forgotten(*since) > at).map(|(_, units)| units).sum()
    }

    fn used(&self, at: u64) -> u64 {
        self.counted(&self.charged, at)
    }

    fn held(&self, at: u64) -> u64 {
        self.held.iter().filter(|(_, until, _)| *until > at).map(|(_, _, units)| units).sum()
    }

    fn fits(&self, at: u64, units: u64) -> bool {
        self.used(at) + self.held(at) + units <= self.most
    }

    fn room(&self, at: u64) -> u64 {
        self.most.saturating_sub(self.used(at) + self.held(at))
    }

    /// Whether `units` fit at `at`, or at which of the instants that change something they do if nobody else asks.
    fn verdict(&self, at: u64, units: u64) -> Verdict {
        if self.fits(at, units) {
            return Verdict::Admitted;
        }
        let forgotten = self.charged.iter().map(|(since, _)| self.kind.forgotten(*since));
        let lapses = self.held.iter().map(|(_, until, _)| *until);
        let instants = forgotten.chain(lapses).filter(|instant| *instant > at && *instant < u64::MAX);
        let first = instants.filter(|instant| self.fits(*instant, units)).min();
        Verdict::Refused(match first {
            Some(instant) => {
                assert!(!self.fits(instant - 1, units), "a microsecond before, it does not fit");
                Retry::After(Micros(instant - at))
            }
            None => Retry::Never,
        })
    }

    fn told(&self, at: u64, verdict: Verdict) -> Told {
        let (used, held) = (self.used(at), self.held(at));
        let left = self.room(at);
        if let Kind::Concurrent(_) = self.kind {
            (verdict, 0, used + held, left)
        } else {
            (verdict, used, held, left)
        }
    }

    /// Takes `units` off what was charged first.
    fn give_back(&mut self, at: u64, mut units: u64) {
        let kind = self.kind;
        self.charged.retain(|(since, _)| kind.forgotten(*since) > at);
        for (_, charged) in &mut self.charged {
            let less = units.min(*charged);
            *charged -= less;
            units -= less;
        }
        self.charged.retain(|(_, charged)| *charged > 0);
    }

    fn hold(&mut self, at: u64, name: u128, until: u64, units: u64) {
        self.held.push((name, until.min(self.kind.period_ends(at)), units));
    }

    /// Whether each period that is over had room for all that is of it: what was charged in it and what was covered by it
    /// afterwards, but for what was spent beyond a hold or after it.
    fn had_room_for_all(&self) -> bool {
        self.covered.iter().all(|(ends, _)| {
            let of_it = |list: &[(u64, u64)]| -> u64 {
                let charged = list.iter().filter(|(at, _)| self.kind.period_ends(*at) == *ends);
                charged.map(|(_, units)| units).sum()
            };
            let covered: u64 =
                self.covered.iter().filter(|(whose, _)| whose == ends).map(|(_, units)| units).sum();
            of_it(&self.charged) + covered <= self.most + of_it(&self.beyond)
        })
    }

    /// Ends the hold of `name`. Tells how much was held.
    fn end_hold(&mut self, at: u64, name: u128) -> Option<u64> {
        self.take_hold(name, |until| until > at)
    }

    /// Takes away what `name` holds, or held. Tells how much that is, if it is the one whose end is `meant`.
    fn take_hold(&mut self, name: u128, meant: impl Fn(u64) -> bool) -> Option<u64> {
        let found = self.held.iter().find(|(whose, until, _)| *whose == name && meant(*until));
        let units = found.map(|(_, _, units)| *units);
        self.held.retain(|(whose, ..)| *whose != name);
        units
    }
}

impl Model {
    /// Fresh counters, of which so much may be used and held.
    pub(crate) fn new(limits: &[(Kind, u64)]) -> Self {
        let none = Vec::new;
        let counter = |&(kind, most)| Counter {
            kind,
            most,
            charged: none(),
            held: Vec::new(),
            beyond: none(),
            covered: none(),
        };
        Self { counters: limits.iter().map(counter).collect(), records: BTreeMap::new() }
    }

    /// Checks that what is used and held is within every number, and so is what is of a period that is over, but for what
    /// was spent beyond a hold or after it.
    pub(crate) fn is_within_bounds(&self, at: u64) -> bool {
        self.counters.iter().all(|counter| {
            let beyond = counter.counted(&counter.beyond, at);
            counter.used(at) + counter.held(at) <= counter.most + beyond && counter.had_room_for_all()
        })
    }

    /// Does all that is asked, or nothing.
    pub(crate) fn charge(&mut self, at: u64, asks: &[(usize, Ask)]) -> Vec<Told> {
        self.all_or_none(at, asks, None).1
    }

    fn all_or_none(
        &mut self,
        at: u64,
        asks: &[(usize, Ask)],
        holder: Option<(u128, u64)>,
    ) -> (bool, Vec<Told>) {
        let verdicts: Vec<Verdict> = asks
            .iter()
            .map(|(counter, ask)| match *ask {
                Ask::Hold { fixed, flexible } => self.counters[*counter].verdict(at, fixed + flexible),
                Ask::Take(units) | Ask::Look(units) => self.counters[*counter].verdict(at, units),
                Ask::GiveBack(_) => Verdict::Admitted,
            })
            .collect();
        let passes = verdicts.iter().all(|verdict| *verdict == Verdict::Admitted);
        for (counter, ask) in asks.iter().filter(|_| passes) {
            let counter = &mut self.counters[*counter];
            match (*ask, holder) {
                (Ask::Hold { fixed, flexible }, Some((name, until))) => {
                    counter.hold(at, name, until, fixed + flexible);
                }
                (Ask::Take(units), _) => counter.charged.push((at, units)),
                (Ask::GiveBack(units), _) => counter.give_back(at, units),
                (Ask::Look(_) | Ask::Hold { .. }, _) => {}
            }
        }
        let told = asks.iter().zip(verdicts).map(|((counter, _), verdict)| {
            let counter = &self.counters[*counter];
            counter.told(at, verdict)
        });
        (passes, told.collect())
    }

    /// Reserves. `some` is of how many units what is flexible consists, if fewer are accepted.
    pub(crate) fn reserve(
        &mut self,
        at: u64,
        (name, body): (u128, u64),
        asks: &[(usize, Ask)],
        some: Option<u64>,
        lasting: Lasting,
    ) -> (Reserving, Vec<Told>) {
        self.records.retain(|_, record| record.kept_until > at);
        if let Some(record) = self.records.get(&name) {
            if record.body != body {
                return (Reserving::Conflict, Vec::new());
            }
            let replayed = Reserving::Replayed(record.units, record.began, record.until);
            let look = |&(counter, _): &(usize, Ask)| self.counters[counter].verdict(at, 0);
            let told = asks.iter().map(|ask| self.counters[ask.0].told(at, look(ask))).collect();
            return (replayed, told);
        }
        let all = some.unwrap_or(1);
        let fits = |units: &u64| part_of_all(asks, *units, all).iter().all(|ask| self.has_room(at, ask));
        let units = if some.is_some() { (1..=all).rev().find(fits).unwrap_or(1) } else { all };
        let asks = part_of_all(asks, units, all);
        let (until, ends) = (at + lasting.ttl.min(lasting.max_age), at + lasting.max_age);
        let (passes, told) = self.all_or_none(at, &asks, Some((name, until)));
        if !passes {
            return (Reserving::Refused, told);
        }
        let parts = asks.iter().map(|ask| self.part(at, ask)).collect();
        let kept_until = until.max(at + lasting.keep);
        let (state, ttl) = (State::Open, lasting.ttl);
        let record = Record { body, state, units, began: at, until, ttl, ends, kept_until, parts };
        self.records.insert(name, record);
        (Reserving::Taken(units, at, until), told)
    }

    fn has_room(&self, at: u64, (counter, ask): &(usize, Ask)) -> bool {
        match *ask {
            Ask::Hold { fixed, flexible } => fixed + flexible <= self.counters[*counter].room(at),
            _ => true,
        }
    }

    fn part(&self, at: u64, (counter, ask): &(usize, Ask)) -> Part {
        let (granted, taken) = match *ask {
            Ask::Hold { fixed, flexible } => (fixed + flexible, 0),
            Ask::Take(units) => (0, units),
            Ask::GiveBack(_) | Ask::Look(_) => (0, 0),
        };
        let ends = self.counters[*counter].kind.period_ends(at);
        Part { counter: *counter, granted, paid: 0, taken, ends }
    }

    /// Settles. `spent` of each counter is what is spent in all, or `None` if that is as much as was held.
    pub(crate) fn settle(
        &mut self,
        at: u64,
        name: u128,
        spent: impl Fn(usize) -> Option<u64>,
        going: Going,
        otherwise: &[usize],
        keep: u64,
    ) -> Settling {
        self.records.retain(|_, record| record.kept_until > at);
        let mut record = match self.records.get(&name) {
            Some(record) => record.clone(),
            None if otherwise.is_empty() => return (Before::Unknown, None, Vec::new()),
            None => {
                let part = |counter: &usize| self.part(at, &(*counter, Ask::Look(0)));
                let parts = otherwise.iter().map(part).collect();
                let (state, ttl, ends) = (State::Unheld, keep, u64::MAX);
                Record { body: 0, state, units: 0, began: at, until: at, ttl, ends, kept_until: 0, parts }
            }
        };
        let before = match (record.state, going) {
            (State::Unheld, _) => Before::Unheld,
            (State::Settled, _) | (State::Released, Going::Released) => Before::Settled,
            (State::Released, _) => Before::Late,
            (State::Open, _) => {
                if at < record.until {
                    Before::Held
                } else {
                    Before::Late
                }
            }
        };
        if before == Before::Settled {
            let look = |part: &Part| {
                let counter = &self.counters[part.counter];
                (part.granted, part.paid, 0, counter.told(at, counter.verdict(at, 0)))
            };
            return (before, None, record.parts.iter().map(look).collect());
        }
        let until = match going {
            Going::More => Some((at + record.ttl).min(record.ends)).filter(|until| *until > at),
            Going::Done | Going::Released => None,
        };
        let parts = record.parts.iter_mut();
        let parts = parts.map(|part| self.settle_part(at, name, part, spent(part.counter), going, until));
        let parts = parts.collect();
        record.state = match going {
            Going::More => State::Open,
            Going::Done => State::Settled,
            Going::Released => State::Released,
        };
        record.until = until.unwrap_or(record.until);
        record.kept_until = record.until.max(at + keep);
        self.records.insert(name, record);
        (before, until, parts)
    }

    fn settle_part(
        &mut self,
        at: u64,
        name: u128,
        part: &mut Part,
        spent: Option<u64>,
        going: Going,
        until: Option<u64>,
    ) -> (u64, u64, u64, Told) {
        let counter = &mut self.counters[part.counter];
        let is_over = at >= part.ends;
        let due = if going == Going::Released { 0 } else { spent.unwrap_or(part.granted) }.max(part.paid);
        // The room that it had when its period ended was nobody else's: what is of that is charged to nobody.
        let room = if is_over { counter.take_hold(name, |until| until == part.ends) } else { None };
        let was_held = counter.end_hold(at, name);
        let covered = (due - part.paid).min(room.unwrap_or(0));
        if let Some(left) = room.filter(|_| going != Going::Released) {
            counter.held.push((name, part.ends, left - covered));
        }
        let charged = due - part.paid - covered;
        counter.charged.push((at, charged));
        counter.beyond.push((at, charged.saturating_sub(was_held.unwrap_or(0))));
        counter.covered.extend((covered > 0).then_some((part.ends, covered)));
        if going == Going::Released {
            counter.give_back(at, if is_over { 0 } else { std::mem::take(&mut part.taken) });
        }
        part.paid = due;
        let rest = part.granted.saturating_sub(due);
        let told = match until {
            Some(until) if !is_over => {
                let verdict = counter.verdict(at, rest);
                if was_held.is_some() || verdict == Verdict::Admitted {
                    counter.hold(at, name, until, rest);
                }
                counter.told(at, verdict)
            }
            _ => counter.told(at, counter.verdict(at, 0)),
        };
        (part.granted, part.paid, charged, told)
    }
}

/// With `units` of `all` that is flexible, rounded up.
fn part_of_all(asks: &[(usize, Ask)], units: u64, all: u64) -> Vec<(usize, Ask)> {
    let part = |ask| match ask {
        Ask::Hold { fixed, flexible } => Ask::Hold { fixed, flexible: (flexible * units).div_ceil(all) },
        ask => ask,
    };
    asks.iter().map(|(counter, ask)| (*counter, part(*ask))).collect()
}
