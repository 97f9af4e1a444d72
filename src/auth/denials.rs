//! Who was refused, counted by address so that neither answers nor records grow with it.
//!
//! Ten refusals in a minute say what is wrong; those beyond say to wait. That is no lock: whoever has the right token is
//! let in all the same, or else one machine behind an address could keep out all the others. It need be none, since
//! 192 drawn bits are not found by trying. What it bounds is what refusals cost and how much they fill: one record a minute
//! for each address, which says how many there were, and no more than thirty a minute for all who are not known. IPv6
//! counts by /64, and the table has an end: addresses beyond it, and beyond the thirty, are told of as one. Who is known has
//! a table of their own, which strangers cannot fill.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use tokio::sync::mpsc;

use crate::audit::{Action, Actor};
use crate::clock::Micros;

/// How many refusals in a minute say what is wrong.
const TOLD: u64 = 10;
/// How long they are counted together.
const MINUTE: Micros = Micros::from_secs(60);
/// How many records a minute tell of addresses that are not known, one by one.
const RECORDS: u64 = 30;
/// How many addresses are told apart, and how many names that ask for what they may not.
const MOST: usize = 4096;
/// How many denials may wait to be written down.
pub(super) const WAITING: usize = 1024;

/// Somebody was refused, once or more within a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Who, where that is known: then they may not do what they asked for.
    pub actor: Option<Actor>,
    /// From where; of IPv6, the /64.
    pub from: Option<IpAddr>,
    /// What they asked for; to log in, if it was not found out who they are.
    pub action: Action,
    /// Why the last of them was refused, as [`Refusal::name`](super::Refusal::name) has it.
    pub why: &'static str,
    /// How many were refused since the one before was told of.
    pub times: u64,
}

/// Denials, in their order, for whoever writes them down. Those that nobody takes for long are lost.
pub type Denials = mpsc::Receiver<Denial>;

/// Whose refusals are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// All of an address who are not known.
    Address(Option<IpAddr>),
    /// One who is known and may not do this.
    Known(Actor, Action),
    /// All for whom there is no place.
    Others,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    /// When the minute began.
    begun: Micros,
    /// How many were refused in it.
    times: u64,
    /// How many of them, and of those before, have not been told of.
    untold: u64,
    /// Whether it has its record.
    is_told: bool,
    why: &'static str,
}

/// The counts of the last minute. It is told the time, by a steady clock.
#[derive(Debug, Default)]
pub(super) struct Counts {
    strangers: HashMap<Who, Count>,
    known: HashMap<Who, Count>,
    room: Room,
}

/// How many records have told of single strangers.
#[derive(Debug, Default)]
struct Room {
    /// When the minute began.
    begun: Micros,
    /// How many in it.
    records: u64,
}

/// What follows from a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// To be told now.
    pub(super) denial: Option<Denial>,
    /// How long the answer is to wait, where there were too many.
    pub(super) wait: Option<Micros>,
}

impl Who {
    /// Who is not known, at this address.
    pub(super) fn at(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(network))
    }

    /// `actor`, who may not do this.
    pub(super) fn known(actor: &Actor, action: Action) -> Self {
        Self::Known(Actor { from: actor.from.map(network), ..actor.clone() }, action)
    }

    fn denial(&self, why: &'static str, times: u64) -> Denial {
        let (actor, from, action) = match self {
            Self::Address(from) => (None, *from, Action::LogIn),
            Self::Known(actor, action) => (Some(actor.clone()), actor.from, *action),
            Self::Others => (None, None, Action::LogIn),
        };
        Denial { actor, from, action, why, times }
    }
}

/// Who has one address of an IPv6 network has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

impl Counts {
    /// Counts one refusal.
    pub(super) fn note(&mut self, who: Who, why: &'static str, now: Micros) -> Noted {
        self.add(who, why, 1, now)
    }

    /// Forgets minutes that are over; what was not told of them is told now, and begins another.
    pub(super) fn sweep(&mut self, now: Micros) -> Vec<Denial> {
        let mut over = Vec::new();
        for counts in [&mut self.strangers, &mut self.known] {
            counts.retain(|_, count| !count.is_over(now) || count.untold > 0);
            let ended = counts.iter_mut().filter(|(_, count)| count.is_over(now));
            over.extend(ended.map(|(who, count)| {
                count.begin(now);
                (who.clone(), count.why, count.tell())
            }));
        }
        over.into_iter().filter_map(|(who, why, untold)| self.told(who, why, untold, now)).collect()
    }

    fn add(&mut self, who: Who, why: &'static str, times: u64, now: Micros) -> Noted {
        let counts = match who {
            Who::Known(..) => &mut self.known,
            Who::Address(_) | Who::Others => &mut self.strangers,
        };
        let has_place = who == Who::Others || counts.len() < MOST || counts.contains_key(&who);
        if !has_place {
            return self.add(Who::Others, why, times, now);
        }
        let count = counts.entry(who.clone()).or_insert(Count::new(why, now));
        if count.is_over(now) {
            count.begin(now);
        }
        count.times += times;
        count.untold += times;
        count.why = why;
        let wait = count.wait(now);
        let untold = (!count.is_told).then(|| count.tell());
        Noted { denial: untold.and_then(|untold| self.told(who, why, untold, now)), wait }
    }

    /// What tells of so many; where there is no room for it, they are some of the others.
    fn told(&mut self, who: Who, why: &'static str, times: u64, now: Micros) -> Option<Denial> {
        match who {
            Who::Address(_) if !self.room.take(now) => self.add(Who::Others, why, times, now).denial,
            who => Some(who.denial(why, times)),
        }
    }
}

impl Count {
    fn new(why: &'static str, now: Micros) -> Self {
        Self { begun: now, times: 0, untold: 0, is_told: false, why }
    }

    fn is_over(&self, now: Micros) -> bool {
        now.0.saturating_sub(self.begun.0) >= MINUTE.0
    }

    /// Begins another minute. What has not been told of is told of in that.
    fn begin(&mut self, now: Micros) {
        *self = Self { untold: self.untold, ..Self::new(self.why, now) };
    }

    /// How many there are to tell of; then the minute has its record.
    fn tell(&mut self) -> u64 {
        self.is_told = true;
        std::mem::take(&mut self.untold)
    }

    fn wait(&self, now: Micros) -> Option<Micros> {
        let passed = now.0.saturating_sub(self.begun.0);
        (self.times > TOLD).then(|| Micros(MINUTE.0.saturating_sub(passed)))
    }
}

impl Room {
    /// Takes the room of one record, if there is any.
    fn take(&mut self, now: Micros) -> bool {
        if now.0.saturating_sub(self.begun.0) >= MINUTE.0 {
            *self = Self { begun: now, records: 0 };
        }
        self.records += 1;
        self.records <= RECORDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn at(address: &str) -> Who {
        Who::at(Some(address.parse().unwrap()))
    }

    #[test]
    fn the_first_is_told_and_the_eleventh_has_to_wait() {
        let mut counts = Counts::default();
        let noted: Vec<Noted> =
            (0..12).map(|second| counts.note(at("192.0.2.1"), "unknown", Micros(second * SECOND))).collect();
        let told: Vec<u64> =
            noted.iter().map(|noted| noted.denial.as_ref().map_or(0, |denial| denial.times)).collect();
        assert_eq!(told, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let waits: Vec<Option<Micros>> = noted.iter().map(|noted| noted.wait).collect();
        assert_eq!(waits[..10], [None; 10]);
        assert_eq!(waits[10..], [Some(Micros(50 * SECOND)), Some(Micros(49 * SECOND))]);
        assert_eq!(counts.note(at("192.0.2.2"), "unknown", Micros(SECOND)).wait, None, "another address");
    }

    #[test]
    fn ten_thousand_are_two_records() {
        let mut counts = Counts::default();
        let noted = (0..10_000).filter_map(|_| counts.note(at("192.0.2.1"), "unknown", Micros(0)).denial);
        assert_eq!(noted.map(|denial| denial.times).sum::<u64>(), 1);
        assert_eq!(counts.sweep(Micros(59 * SECOND)), []);
        let told = counts.sweep(Micros(60 * SECOND));
        assert_eq!(told, [at("192.0.2.1").denial("unknown", 9_999)]);
        assert_eq!(counts.note(at("192.0.2.1"), "missing", Micros(60 * SECOND)).wait, None, "another minute");
        let told = counts.sweep(Micros(120 * SECOND));
        assert_eq!(told, [at("192.0.2.1").denial("missing", 1)]);
        assert_eq!(counts.sweep(Micros(180 * SECOND)), []);
        assert!(counts.strangers.is_empty());
    }

    #[test]
    fn a_minute_has_one_record_however_long_it_goes_on() {
        let mut counts = Counts::default();
        let mut told = Vec::new();
        for second in 0..600 {
            if second % 10 == 0 {
                told.extend(counts.sweep(Micros(second * SECOND)));
            }
            told.extend(counts.note(at("192.0.2.1"), "unknown", Micros(second * SECOND)).denial);
        }
        assert_eq!(told.iter().map(|denial| denial.times).sum::<u64>(), 540, "the rest is told at the end");
        assert_eq!(told.len(), 10);
    }

    #[test]
    fn who_has_many_addresses_fills_no_more_than_thirty_and_one() {
        let mut counts = Counts::default();
        let mut told = Vec::new();
        let minutes = 5;
        for second in 0..60 * minutes {
            told.extend(counts.sweep(Micros(second * SECOND)));
            for number in 0..200 {
                let who = Who::at(Some(IpAddr::V4(number.into())));
                told.extend(counts.note(who, "unknown", Micros(second * SECOND)).denial);
            }
        }
        assert!(told.len() as u64 <= minutes * (RECORDS + 1), "{}", told.len());
        told.extend(counts.sweep(Micros(60 * minutes * SECOND)));
        told.extend(counts.sweep(Micros(60 * (minutes + 1) * SECOND)));
        assert_eq!(told.iter().map(|denial| denial.times).sum::<u64>(), 200 * 60 * minutes, "none is lost");
    }

    #[test]
    fn strangers_take_no_place_of_who_is_known() {
        let mut counts = Counts::default();
        for number in 0..2 * u32::try_from(MOST).unwrap() {
            counts.note(Who::at(Some(IpAddr::V4(number.into()))), "unknown", Micros(0));
        }
        let ann = Actor { name: "ann".into(), role: crate::audit::Role::Viewer, from: None };
        let denial = counts.note(Who::known(&ann, Action::SetBreaker), "forbidden", Micros(0)).denial;
        let denial = denial.map(|denial| (denial.actor, denial.action, denial.times));
        assert_eq!(denial, Some((Some(ann), Action::SetBreaker, 1)));
    }

    #[test]
    fn what_a_sweep_has_missed_is_told_with_the_next() {
        let mut counts = Counts::default();
        for _ in 0..3 {
            counts.note(at("192.0.2.1"), "unknown", Micros(0));
        }
        let denial = counts.note(at("192.0.2.1"), "expired", Micros(61 * SECOND)).denial;
        assert_eq!(denial, Some(at("192.0.2.1").denial("expired", 3)));
    }

    #[test]
    fn networks_are_counted_as_their_holders_are() {
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    #[test]
    fn the_table_has_an_end() {
        let (mut counts, mut told) = (Counts::default(), Vec::new());
        for number in 0..u32::try_from(3 * MOST).unwrap() {
            told.extend(counts.note(Who::at(Some(IpAddr::V4(number.into()))), "unknown", Micros(0)).denial);
        }
        assert_eq!(counts.strangers.len(), MOST);
        told.extend(counts.sweep(MINUTE));
        assert_eq!(told.iter().map(|denial| denial.times).sum::<u64>(), 3 * u64::try_from(MOST).unwrap());
        assert_eq!(told.len() as u64, RECORDS + 2);
    }
}
