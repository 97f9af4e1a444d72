//! Ten refusals in a minute say what is wrong; those beyond say to wait.
//!
//! That is no lock: whoever has the right token is let in all the same, or else one machine behind an address could keep out
//! all the others. It need be none, since 192 drawn bits are not found by trying.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::clock::Micros;

use super::network;

/// How many refusals in a minute say what is wrong.
const TOLD: u64 = 10;
/// How long they are counted together.
const MINUTE: Micros = Micros::from_secs(60);
/// How many addresses are told apart; all others are one.
const MOST: usize = 4096;

/// How many were refused at each address in the last minute.
#[derive(Debug, Default)]
pub(in crate::auth) struct Waits(HashMap<Option<IpAddr>, Refusals>);

#[derive(Debug)]
struct Refusals {
    /// When the minute began.
    begun: Micros,
    times: u64,
}

impl Waits {
    /// Counts a refusal. How long its answer is to wait, where there were too many.
    pub(in crate::auth) fn note(&mut self, from: Option<IpAddr>, now: Micros) -> Option<Micros> {
        let from =
            from.map(network).filter(|_| self.0.len() < MOST || self.0.contains_key(&from.map(network)));
        let refusals = self.0.entry(from).or_insert(Refusals { begun: now, times: 0 });
        if refusals.passed(now) >= MINUTE.0 {
            *refusals = Refusals { begun: now, times: 0 };
        }
        refusals.times += 1;
        (refusals.times > TOLD).then(|| Micros(MINUTE.0.saturating_sub(refusals.passed(now))))
    }

    /// Forgets minutes that are over.
    pub(in crate::auth) fn sweep(&mut self, now: Micros) {
        self.0.retain(|_, refusals| refusals.passed(now) < MINUTE.0);
    }
}

impl Refusals {
    fn passed(&self, now: Micros) -> u64 {
        now.0.saturating_sub(self.begun.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn the_eleventh_has_to_wait() {
        let mut waits = Waits::default();
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| Some(address.parse().unwrap()));
        let told: Vec<Option<Micros>> =
            (0..12).map(|second| waits.note(one, Micros(second * SECOND))).collect();
        assert_eq!(told[..10], [None; 10]);
        assert_eq!(told[10..], [Some(Micros(50 * SECOND)), Some(Micros(49 * SECOND))]);
        assert_eq!(waits.note(other, Micros(SECOND)), None, "another address");
        assert_eq!(waits.note(one, MINUTE), None, "another minute");
        waits.sweep(Micros(2 * MINUTE.0));
        assert!(waits.0.is_empty());
    }

    #[test]
    fn the_table_has_an_end() {
        let mut waits = Waits::default();
        for number in 0..u32::try_from(3 * MOST).unwrap() {
            waits.note(Some(IpAddr::V4(number.into())), Micros(0));
        }
        assert_eq!(waits.0.len(), MOST + 1, "and all others");
    }
}
