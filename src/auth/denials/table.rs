//! Refusals of one kind, counted: each that is alike once a minute, and no more records than there is room for.

use std::collections::HashMap;

use crate::clock::Micros;

use super::{Denial, Refused};

/// How long they are counted together.
const MINUTE: Micros = Micros::from_secs(60);

#[derive(Debug)]
pub(super) struct Table {
    counts: HashMap<Refused, Count>,
    room: Room,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    /// When the minute began.
    begun: Micros,
    /// How many, in it or before, have not been told of.
    untold: u64,
    /// Whether it has its record.
    is_told: bool,
}

/// How many records have told of single ones.
#[derive(Debug)]
struct Room {
    /// When the minute began.
    begun: Micros,
    /// How many in it.
    records: u64,
    /// How many there may be.
    most: u64,
}

impl Table {
    /// How many are told apart.
    pub(super) const MOST: usize = 4096;

    /// One that tells of so many a minute, and of the others in general.
    pub(super) fn telling(most: u64) -> Self {
        Self { counts: HashMap::new(), room: Room { begun: Micros(0), records: 0, most } }
    }

    /// Counts what `denial` says. What it answers is to be told now.
    pub(super) fn add(&mut self, denial: Denial, now: Micros) -> Option<Denial> {
        let refused = self.place(denial.refused);
        let count = self.counts.entry(refused.clone()).or_insert(Count::new(now));
        if count.is_over(now) {
            count.begin(now);
        }
        count.untold += denial.times;
        let times = (!count.is_told).then(|| count.tell())?;
        self.told(Denial { refused, times }, now)
    }

    pub(super) fn put_back(&mut self, denial: Denial, now: Micros) {
        let refused = self.place(denial.refused);
        let count = self.counts.entry(refused).or_insert(Count::new(now));
        count.untold += denial.times;
        // Until the minute is over.
        count.is_told = true;
    }

    pub(super) fn sweep(&mut self, now: Micros) -> Vec<Denial> {
        self.counts.retain(|_, count| !count.is_over(now) || count.untold > 0);
        let ended = self.counts.iter_mut().filter(|(_, count)| count.is_over(now));
        let tell = |(refused, count): (&Refused, &mut Count)| {
            count.begin(now);
            Denial { refused: refused.clone(), times: count.tell() }
        };
        let over: Vec<Denial> = ended.map(tell).collect();
        over.into_iter().filter_map(|denial| self.told(denial, now)).collect()
    }

    /// What was not told of, whether its minute is over or not. That there is no room to tell of one by one is counted in
    /// general, and is told behind the others.
    pub(super) fn rest(&mut self, now: Micros) -> Vec<Denial> {
        let mut rest = self.untold(now);
        rest.extend(self.untold(now));
        rest
    }

    fn untold(&mut self, now: Micros) -> Vec<Denial> {
        let untold = self.counts.iter_mut().filter(|(_, count)| count.untold > 0);
        let tell = |(refused, count): (&Refused, &mut Count)| Denial {
            refused: refused.clone(),
            times: count.tell(),
        };
        let untold: Vec<Denial> = untold.map(tell).collect();
        untold.into_iter().filter_map(|denial| self.told(denial, now)).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Under what it is counted: by itself, as long as there is a place. In general there always is: few are left then.
    fn place(&self, refused: Refused) -> Refused {
        let has_place = self.counts.len() < Self::MOST || self.counts.contains_key(&refused);
        if has_place { refused } else { refused.in_general() }
    }

    /// What tells of it; where there is no room for that, it is counted in general.
    fn told(&mut self, denial: Denial, now: Micros) -> Option<Denial> {
        let general = denial.refused.in_general();
        if denial.refused == general || self.room.take(now) {
            return Some(denial);
        }
        self.add(Denial { refused: general, ..denial }, now)
    }
}

impl Count {
    fn new(now: Micros) -> Self {
        Self { begun: now, untold: 0, is_told: false }
    }

    fn is_over(&self, now: Micros) -> bool {
        now.0.saturating_sub(self.begun.0) >= MINUTE.0
    }

    /// Begins another minute. What has not been told of is told of in that.
    fn begin(&mut self, now: Micros) {
        *self = Self { untold: self.untold, ..Self::new(now) };
    }

    /// How many there are to tell of; then the minute has its record.
    fn tell(&mut self) -> u64 {
        self.is_told = true;
        std::mem::take(&mut self.untold)
    }
}

impl Room {
    /// Takes the room of one record, if there is any.
    fn take(&mut self, now: Micros) -> bool {
        if now.0.saturating_sub(self.begun.0) >= MINUTE.0 {
            (self.begun, self.records) = (now, 0);
        }
        self.records += 1;
        self.records <= self.most
    }
}
