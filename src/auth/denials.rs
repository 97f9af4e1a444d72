//! Who was refused, counted by address so that neither answers nor records grow with it.
//!
//! Ten refusals in a minute say what is wrong; those beyond say to wait. That is no lock: whoever has the right token is
//! let in all the same, or else one machine behind an address could keep out all the others. It need be none, since
//! 192 drawn bits are not found by trying. What it bounds is what refusals cost and how much they fill: one record a minute
//! for each address, which says how many there were. IPv6 counts by /64, and the table has an end: addresses beyond it
//! are counted as one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use tokio::sync::mpsc;

use crate::audit::{Action, Actor};
use crate::clock::Micros;

/// How many refusals in a minute say what is wrong.
const TOLD: u64 = 10;
/// How long they are counted together.
const MINUTE: Micros = Micros::from_secs(60);
/// How many addresses, and names that ask for what they may not, are told apart.
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
    /// How many of them have not been told of.
    untold: u64,
    why: &'static str,
}

/// The counts of the last minute. It is told the time, by a steady clock.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<Who, Count>);

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
        let has_place = self.0.len() < MOST || self.0.contains_key(&who);
        let who = if has_place { who } else { Who::Others };
        let count = self.0.entry(who.clone()).or_insert(Count { begun: now, times: 0, untold: 0, why });
        if count.is_over(now) {
            *count = Count { begun: now, times: 0, ..*count };
        }
        count.times += 1;
        count.untold += 1;
        count.why = why;
        let first = count.times == 1;
        let denial = first.then(|| who.denial(why, std::mem::take(&mut count.untold)));
        let passed = now.0.saturating_sub(count.begun.0);
        let wait = (count.times > TOLD).then(|| Micros(MINUTE.0.saturating_sub(passed)));
        Noted { denial, wait }
    }

    /// Forgets minutes that are over; what was not told of them is told now, and begins another.
    pub(super) fn sweep(&mut self, now: Micros) -> Vec<Denial> {
        self.0.retain(|_, count| !count.is_over(now) || count.untold > 0);
        let over = self.0.iter_mut().filter(|(_, count)| count.is_over(now));
        over.map(|(who, count)| {
            let untold = count.untold;
            *count = Count { begun: now, times: 0, untold: 0, why: count.why };
            who.denial(count.why, untold)
        })
        .collect()
    }
}

impl Count {
    fn is_over(&self, now: Micros) -> bool {
        now.0.saturating_sub(self.begun.0) >= MINUTE.0
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
        assert_eq!(counts.sweep(Micros(121 * SECOND)), []);
        assert!(counts.0.is_empty());
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
        let mut counts = Counts::default();
        for number in 0..u32::try_from(3 * MOST).unwrap() {
            counts.note(Who::at(Some(IpAddr::V4(number.into()))), "unknown", Micros(0));
        }
        assert_eq!(counts.0.len(), MOST + 1);
        let others = counts.sweep(Micros(MINUTE.0));
        assert_eq!(
            others.iter().map(|denial| denial.times).sum::<u64>(),
            u64::try_from(2 * MOST - 1).unwrap()
        );
    }
}
