//! Who was refused, counted so that neither answers nor records grow with it.
//!
//! What is alike is one record a minute, which says how often it was: the same address, why, whose token it was, and what was
//! tried. Of strangers there are thirty a minute and no more, of those whose token lets nobody in and of those who may not what
//! they try twenty each; what is beyond is told without addresses and details. IPv6 counts by /64, and every table has an
//! end. Whoever is known by name has a table of their own, which strangers cannot fill. What could not be written down is
//! put back, and told again a minute later.

mod table;
mod waits;

use std::net::{IpAddr, Ipv6Addr};

use tokio::sync::mpsc;

use crate::audit::{Action, Actor, Attempt};
use crate::clock::Micros;

use table::Table;

pub(super) use waits::Waits;

/// How many records a minute tell of strangers one by one, and how many of others.
const STRANGERS: u64 = 30;
const OTHERS: u64 = 20;
/// How many denials may wait to be written down.
pub(super) const WAITING: usize = 1024;

/// Somebody was refused, once or more within a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Who, why, and what they tried.
    pub refused: Refused,
    /// How many were refused so since the one before was told of.
    pub times: u64,
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refused {
    /// Who, where that is known: then they may not do what they asked for.
    pub actor: Option<Actor>,
    /// Whose token was sent, where that is known and it let nobody in.
    pub holder: Option<Holder>,
    /// From where; of IPv6, the /64. `None` as well of many addresses.
    pub from: Option<IpAddr>,
    /// What they asked for; to log in, if it was not found out who they are.
    pub action: Action,
    /// Why they were refused, as [`Refusal::name`](super::Refusal::name) has it.
    pub why: &'static str,
    /// What they would have done, where they are known.
    pub attempt: Attempt,
}

/// Whose token was sent that let nobody in: whoever has sent it need not be the one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The name of the token.
    pub name: Box<str>,
    /// Whether it lets in nobody any more, however it is sent.
    pub has_expired: bool,
}

/// Denials, in their order, for whoever writes them down.
pub type Denials = mpsc::Receiver<Denial>;

/// The counts of the last minute. It is told the time, by a steady clock.
#[derive(Debug)]
pub(super) struct Counts {
    strangers: Table,
    holders: Table,
    known: Table,
}

impl Denial {
    /// The name of the token that others have read, and that would let them in.
    pub fn gives_away(&self) -> Option<&str> {
        let holder = self.refused.holder.as_ref().filter(|holder| !holder.has_expired);
        holder.map(|holder| &*holder.name)
    }
}

impl Refused {
    /// Somebody at `from` who is not let in by `entry`, with the token of `holder`, if it is anybody's.
    pub(super) fn at(from: Option<IpAddr>, entry: Action, why: &'static str, holder: Option<Holder>) -> Self {
        let attempt = Attempt::default();
        Self { actor: None, holder, from: from.map(network), action: entry, why, attempt }
    }

    /// `actor`, who may not do this.
    pub(super) fn known(actor: &Actor, action: Action, why: &'static str, attempt: Attempt) -> Self {
        let from = actor.from.map(network);
        Self { actor: Some(Actor { from, ..actor.clone() }), holder: None, from, action, why, attempt }
    }

    /// The same without what there may be many of: addresses, and what was tried.
    fn in_general(&self) -> Self {
        let actor = self.actor.clone().map(|actor| Actor { from: None, ..actor });
        Self { actor, from: None, attempt: Attempt::default(), ..self.clone() }
    }
}

/// Who is counted as one with `address`: who has one address of an IPv6 network has them all. This machine is nobody else.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()
        }
        as_it_is => as_it_is,
    }
}

impl Default for Counts {
    fn default() -> Self {
        let [strangers, holders, known] = [STRANGERS, OTHERS, OTHERS].map(Table::telling);
        Self { strangers, holders, known }
    }
}

impl Counts {
    /// Counts one refusal. What it answers is to be told now.
    pub(super) fn note(&mut self, refused: Refused, now: Micros) -> Option<Denial> {
        self.table(&refused).add(Denial { refused, times: 1 }, now)
    }

    /// Counts again what could not be told: it is told once its minute is over.
    pub(super) fn put_back(&mut self, denial: Denial, now: Micros) {
        self.table(&denial.refused).put_back(denial, now);
    }

    /// Forgets minutes that are over; what was not told of them is told now, and begins another.
    pub(super) fn sweep(&mut self, now: Micros) -> Vec<Denial> {
        let tables = [&mut self.strangers, &mut self.holders, &mut self.known];
        tables.into_iter().flat_map(|table| table.sweep(now)).collect()
    }

    /// All that was not told of: there is no later.
    pub(super) fn rest(&mut self, now: Micros) -> Vec<Denial> {
        let tables = [&mut self.strangers, &mut self.holders, &mut self.known];
        tables.into_iter().flat_map(|table| table.rest(now)).collect()
    }

    fn table(&mut self, refused: &Refused) -> &mut Table {
        match refused {
            Refused { actor: Some(_), .. } => &mut self.known,
            Refused { holder: Some(_), .. } => &mut self.holders,
            _ => &mut self.strangers,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::Role;

    const SECOND: u64 = 1_000_000;
    const MINUTE: Micros = Micros::from_secs(60);

    fn at(address: &str) -> Refused {
        Refused::at(Some(address.parse().unwrap()), Action::LogIn, "unknown", None)
    }

    fn number(number: u32) -> Refused {
        Refused::at(Some(IpAddr::V4(number.into())), Action::LogIn, "unknown", None)
    }

    fn denial(refused: Refused, times: u64) -> Denial {
        Denial { refused, times }
    }

    fn ann() -> Actor {
        Actor { name: "ann".into(), role: Role::Viewer, from: Some(IpAddr::from([192, 0, 2, 1])) }
    }

    fn tries(limit: &str) -> Refused {
        let attempt = Attempt { domain: Some("shop".into()), target: json!({"limit": limit}) };
        Refused::known(&ann(), Action::UpdateLimit, "forbidden", attempt)
    }

    fn sum(told: &[Denial]) -> u64 {
        told.iter().map(|denial| denial.times).sum()
    }

    #[test]
    fn ten_thousand_are_two_records() {
        let mut counts = Counts::default();
        let noted = (0..10_000).filter_map(|_| counts.note(at("192.0.2.1"), Micros(0)));
        assert_eq!(noted.map(|denial| denial.times).sum::<u64>(), 1);
        assert_eq!(counts.sweep(Micros(59 * SECOND)), []);
        assert_eq!(counts.sweep(MINUTE), [denial(at("192.0.2.1"), 9_999)]);
        assert_eq!(counts.note(at("192.0.2.1"), MINUTE), None, "the minute has its record");
        assert_eq!(counts.sweep(Micros(120 * SECOND)), [denial(at("192.0.2.1"), 1)]);
        assert_eq!(counts.sweep(Micros(180 * SECOND)), []);
        assert!(counts.strangers.is_empty());
    }

    #[test]
    fn a_minute_has_one_record_however_long_it_goes_on() {
        let (mut counts, mut told) = (Counts::default(), Vec::new());
        for second in 0..600 {
            if second % 10 == 0 {
                told.extend(counts.sweep(Micros(second * SECOND)));
            }
            told.extend(counts.note(at("192.0.2.1"), Micros(second * SECOND)));
        }
        assert_eq!((sum(&told), told.len()), (540, 10), "the rest is told at the end");
    }

    #[test]
    fn what_differs_is_told_apart() {
        let mut counts = Counts::default();
        let from = Some(IpAddr::from([192, 0, 2, 1]));
        let holder = |name: &str, has_expired| Some(Holder { name: name.into(), has_expired });
        let all = [
            Refused::at(from, Action::LogIn, "missing", None),
            Refused::at(from, Action::LogIn, "unknown", None),
            Refused::at(from, Action::LogIn, "expired", holder("old", true)),
            Refused::at(from, Action::LogIn, "in_url", holder("alice", false)),
            Refused::at(from, Action::LogIn, "in_url", None),
            tries("login"),
            tries("exports"),
        ];
        let told: Vec<Denial> = all.iter().filter_map(|one| counts.note(one.clone(), Micros(0))).collect();
        assert_eq!(told, all.clone().map(|refused| denial(refused, 1)));
        let given_away: Vec<&str> = told.iter().filter_map(Denial::gives_away).collect();
        assert_eq!(given_away, ["alice"]);
    }

    #[test]
    fn who_has_many_addresses_fills_no_more_than_thirty_and_one() {
        let (mut counts, mut told, minutes) = (Counts::default(), Vec::new(), 5);
        for second in 0..60 * minutes {
            told.extend(counts.sweep(Micros(second * SECOND)));
            for one in 0..200 {
                told.extend(counts.note(number(one), Micros(second * SECOND)));
            }
        }
        assert!(told.len() as u64 <= minutes * (STRANGERS + 1), "{}", told.len());
        for later in [0, 1] {
            told.extend(counts.sweep(Micros(60 * (minutes + later) * SECOND)));
        }
        assert_eq!(sum(&told), 200 * 60 * minutes, "none is lost");
    }

    #[test]
    fn whoever_tries_everything_fills_no_more_and_is_told_by_name() {
        let (mut counts, mut told) = (Counts::default(), Vec::new());
        for one in 0..10_000 {
            told.extend(counts.note(tries(&format!("limit-{one}")), Micros(0)));
        }
        told.extend(counts.sweep(MINUTE));
        let rest = told.last().unwrap();
        assert_eq!((told.len() as u64, sum(&told)), (OTHERS + 2, 10_000));
        assert_eq!((&rest.refused.attempt, rest.times), (&Attempt::default(), 10_000 - OTHERS - 1));
        assert_eq!(&*rest.refused.actor.as_ref().unwrap().name, "ann");
    }

    #[test]
    fn strangers_take_no_place_of_who_is_known() {
        let mut counts = Counts::default();
        for one in 0..2 * u32::try_from(Table::MOST).unwrap() {
            counts.note(number(one), Micros(0));
        }
        assert_eq!(counts.note(tries("login"), Micros(0)), Some(denial(tries("login"), 1)));
        let alice = Some(Holder { name: "alice".into(), has_expired: false });
        let sent = Refused::at(None, Action::LogIn, "in_url", alice);
        assert_eq!(counts.note(sent.clone(), Micros(0)), Some(denial(sent, 1)));
    }

    #[test]
    fn what_is_put_back_is_told_a_minute_later_with_what_came_since() {
        let mut counts = Counts::default();
        let told = counts.note(tries("login"), Micros(0)).unwrap();
        counts.put_back(told, Micros(SECOND));
        counts.note(tries("login"), Micros(2 * SECOND));
        assert_eq!(counts.sweep(Micros(59 * SECOND)), []);
        let told = counts.sweep(MINUTE);
        assert_eq!(told, [denial(tries("login"), 2)]);
        // It is forgotten by then.
        let later = Micros(600 * SECOND);
        assert_eq!(counts.sweep(later), []);
        counts.put_back(told.into_iter().next().unwrap(), later);
        assert_eq!(counts.sweep(Micros(later.0 + MINUTE.0)), [denial(tries("login"), 2)]);
    }

    #[test]
    fn what_a_sweep_has_missed_is_told_with_the_next() {
        let mut counts = Counts::default();
        for _ in 0..3 {
            counts.note(at("192.0.2.1"), Micros(0));
        }
        assert_eq!(counts.note(at("192.0.2.1"), Micros(61 * SECOND)), Some(denial(at("192.0.2.1"), 3)));
    }

    #[test]
    fn at_the_end_all_is_told_whatever_its_minute() {
        let (mut counts, mut told) = (Counts::default(), Vec::new());
        for one in 0..200 {
            told.extend([one, one, 7].into_iter().filter_map(|one| counts.note(number(one), Micros(0))));
        }
        let before = told.len();
        told.extend(counts.rest(Micros(SECOND)));
        assert_eq!(sum(&told), 600);
        assert!(told.len() <= before + 2, "one that has its record, and all there is no room for: {told:?}");
        assert_eq!(counts.rest(Micros(SECOND)), []);
    }

    #[test]
    fn networks_are_counted_as_their_holders_are() {
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_eq!(at("::1").from, Some("::1".parse().unwrap()), "this machine is told of as it is");
    }

    #[test]
    fn the_table_has_an_end() {
        let (mut counts, mut told) = (Counts::default(), Vec::new());
        for one in 0..u32::try_from(3 * Table::MOST).unwrap() {
            told.extend(counts.note(number(one), Micros(0)));
        }
        assert_eq!(counts.strangers.len(), Table::MOST, "with all others");
        told.extend(counts.sweep(MINUTE));
        assert_eq!(sum(&told), 3 * u64::try_from(Table::MOST).unwrap());
        assert_eq!(told.len() as u64, STRANGERS + 2);
    }
}
