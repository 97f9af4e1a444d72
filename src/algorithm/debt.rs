//! What is used in a period beyond its number, and paid by the periods after it.
//!
//! A period begins with what is left to be paid as used, and pays the largest number that it is charged by, in whatever
//! order: who may spend more in it is no debtor for being charged by less too. A period that nobody charges pays what the
//! one before it did. Nobody has to act at a boundary: what is left is worked out when the counter is looked at.
//!
//! **Bound.** Of k periods in a row no more is used than k·N, but for what the last of them is charged beyond N.
//!
//! **Source.** An overdraft. Guava's `RateLimiter` has the same of permits: who asks pays for those who asked before.

use crate::clock::{Micros, Timestamp};
use crate::limits::{Debt, MAX_AMOUNT, Number, Window};

use super::counter::Counter;
use super::period::PeriodCount;
use super::{Retry, Rule, Span};

/// A wait beyond this is for ever: 142 years.
const ENDLESS: u64 = 1 << 52;

/// The count of one period, and by what is paid what it leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Indebted {
    pub(super) count: PeriodCount,
    /// What its period pays: the largest number that it was charged by; 0 where it was charged by none, or nothing is
    /// owed.
    pub(super) pays: u64,
}

impl Indebted {
    /// The instant from which the count is as good as fresh by `window`, or a little later.
    pub fn idle_from(&self, window: &Window) -> Timestamp {
        let usual = carried_every(window).map_or(0, |usual| usual.0);
        // Boundaries are less than a period from where they usually are.
        let periods = match self.more_periods(self.count.used) {
            0 => 0,
            more => more + 1,
        };
        self.count.end.plus(Micros(periods.saturating_mul(usual).min(ENDLESS)))
    }

    /// How many periods more than this one it takes to pay so many units.
    fn more_periods(&self, units: u64) -> u64 {
        if self.pays > 0 { units.div_ceil(self.pays).max(1) - 1 } else { 0 }
    }

    /// The boundary of `window` at which so many units are paid; `None` if not in a lifetime.
    fn paid_at(&self, window: &Window, units: u64) -> Option<Timestamp> {
        let usual = carried_every(window).map_or(0, |usual| usual.0);
        match self.more_periods(units).saturating_mul(usual) {
            0 => Some(self.count.end),
            ENDLESS.. => None,
            more => Some(boundary_near(window, self.count.end.plus(Micros(more)))),
        }
    }

    /// What is left to be paid when a period begins at `start`, which is a later one. Boundaries are never half a period
    /// away from where they usually are, so rounding tells how many there were.
    fn left_at(&self, start: Timestamp, usual: Micros) -> u64 {
        let periods = 1 + (start.since(self.count.end).0 + usual.0 / 2) / usual.0;
        if self.pays > 0 { self.count.used.saturating_sub(self.pays.saturating_mul(periods)) } else { 0 }
    }

    /// Of a period that was charged before, its largest number counts; what a period paid says nothing of the next.
    fn keep(&mut self, rule: Rule<'_>, seen: Self, used: u64) -> Self {
        let before = if self.count.end == seen.count.end { self.pays } else { 0 };
        let pays = match (rule.window.debt(), rule.number) {
            (Debt::Forgiven, _) => 0,
            (Debt::Carried, Number::AtMost(most)) => before.max(most.min(MAX_AMOUNT)),
            (Debt::Carried, Number::Unlimited) => MAX_AMOUNT,
        };
        *self = Self { count: PeriodCount { used, ..seen.count }, pays };
        *self
    }
}

impl Counter<Rule<'_>> for Indebted {
    type Seen = Self;

    fn seen(&self, rule: Rule<'_>, now: Timestamp) -> Self {
        if now < self.count.end {
            return *self;
        }
        let Span { start, end } = Span::holding(rule.window, now);
        let used = carried_every(rule.window).map_or(0, |usual| self.left_at(start, usual));
        Self { count: PeriodCount { end, used }, ..*self }
    }

    fn spent(&self, seen: Self) -> u64 {
        seen.count.used
    }

    /// A boundary frees no more than is paid at it.
    fn freed_after(&self, rule: Rule<'_>, seen: Self, excess: u64, now: Timestamp) -> Retry {
        seen.paid_at(rule.window, excess).map_or(Retry::Never, |paid| Retry::After(paid.since(now)))
    }

    /// The boundary at which nothing is left to be paid.
    fn whole_at(&self, rule: Rule<'_>, seen: Self) -> Option<Timestamp> {
        seen.paid_at(rule.window, seen.count.used)
    }

    fn add(&mut self, rule: Rule<'_>, seen: Self, charge: u64, _: Timestamp) -> Self {
        self.keep(rule, seen, seen.count.used.saturating_add(charge).min(MAX_AMOUNT))
    }

    fn give_back(&mut self, rule: Rule<'_>, seen: Self, units: u64, _: Timestamp) -> Self {
        self.keep(rule, seen, seen.count.used.saturating_sub(units))
    }
}

/// How long the periods of `window` usually are, if they pay for each other.
pub fn carried_every(window: &Window) -> Option<Micros> {
    match window {
        Window::Fixed { length, debt: Debt::Carried } => Some(*length),
        Window::Calendar(calendar, Debt::Carried) => Some(calendar.period().usual_length()),
        _ => None,
    }
}

/// The boundary of `window` that is usually at `at`.
pub fn boundary_near(window: &Window, at: Timestamp) -> Timestamp {
    let half = carried_every(window).map_or(0, |usual| usual.0 / 2);
    Span::holding(window, at.plus(Micros(half))).start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{Op, Overrun, State, Verdict};
    use crate::calendar::{Calendar, Period};

    const HOUR: Window = Window::Fixed { length: Micros::from_secs(3600), debt: Debt::Carried };
    const TEN: Number = Number::AtMost(10);

    fn spend(state: &mut State, window: &Window, number: Number, units: u64, at: Timestamp) -> u64 {
        let op = Op::Take { room: 0, charge: units };
        state.charge(Rule { window, number }, op, Overrun::Count, at).standing.used
    }

    fn charged(window: &Window, units: u64, at: Timestamp) -> State {
        let mut state = State::fresh(window);
        spend(&mut state, window, TEN, units, at);
        state
    }

    fn used(window: &Window, state: &State, at: Timestamp) -> u64 {
        spend(&mut state.clone(), window, TEN, 0, at)
    }

    fn hour(count: u64) -> Timestamp {
        Timestamp(1_795_262_400_000_000).plus(Micros::from_secs(3600 * count))
    }

    #[test]
    fn each_period_pays_what_it_allows_even_if_nobody_asks_in_it() {
        let state = charged(&HOUR, 35, hour(0));
        let seen = [0, 1, 2, 3, 4, 5].map(|after| used(&HOUR, &state, hour(after)));
        assert_eq!(seen, [35, 25, 15, 5, 0, 0]);
        let rule = Rule { window: &HOUR, number: TEN };
        assert!(state.idle_from(rule) >= Some(hour(4)), "kept until it is paid");
        assert_eq!(
            charged(&HOUR, 10, hour(0)).idle_from(rule),
            Some(hour(1)),
            "and no longer than it has to be"
        );
    }

    #[test]
    fn who_is_refused_is_told_when_enough_is_paid() {
        let mut state = charged(&HOUR, 35, hour(0));
        let rule = Rule { window: &HOUR, number: TEN };
        let take = |room| Op::Take { room, charge: room };
        for (room, hours) in [(0, 3), (1, 3), (5, 3), (6, 4), (10, 4)] {
            let outcome = state.charge(rule, take(room), Overrun::Refuse, hour(0));
            let wait = Retry::After(hour(hours).since(hour(0)));
            assert_eq!(outcome.verdict, Verdict::Refused(wait), "{room}");
            let whole = outcome.standing.reset_after;
            assert_eq!(whole, Some(hour(4).since(hour(0))), "all is paid");
            let mut then = state.clone();
            assert!(then.charge(rule, take(room), Overrun::Refuse, hour(hours)).is_admitted(), "{room}");
        }
        let mut state = charged(&HOUR, MAX_AMOUNT, hour(0));
        let outcome = state.charge(rule, take(1), Overrun::Refuse, hour(0));
        assert_eq!(outcome.verdict, Verdict::Refused(Retry::Never), "not in a lifetime");
        assert_eq!(outcome.standing.reset_after, None, "nor is it whole");
    }

    #[test]
    fn only_what_was_charged_beyond_the_number_of_its_time_is_owed() {
        for (number, owed) in
            [(Number::Unlimited, 0), (Number::AtMost(0), 0), (Number::AtMost(35), 0), (Number::AtMost(34), 1)]
        {
            let mut state = State::fresh(&HOUR);
            spend(&mut state, &HOUR, number, 35, hour(0));
            assert_eq!(used(&HOUR, &state, hour(1)), owed, "{number:?}, which is another now");
        }
        let mut state = charged(&HOUR, 35, hour(0));
        let back = Op::GiveBack { units: 25 };
        state.charge(Rule { window: &HOUR, number: TEN }, back, Overrun::Count, hour(0));
        assert_eq!(used(&HOUR, &state, hour(1)), 0, "given back in time");
    }

    #[test]
    fn a_limit_may_come_to_forgive_and_to_carry() {
        let forgiving = Window::Fixed { length: Micros::from_secs(3600), debt: Debt::Forgiven };
        assert_eq!(used(&forgiving, &charged(&HOUR, 35, hour(0)), hour(1)), 0);
        let mut state = charged(&forgiving, 35, hour(0));
        assert_eq!(used(&HOUR, &state, hour(1)), 0, "it was charged when nothing was owed");
        assert_eq!(spend(&mut state, &HOUR, TEN, 1, hour(0)), 36);
        assert_eq!(used(&HOUR, &state, hour(1)), 26);
    }

    #[test]
    fn every_period_of_every_calendar_pays_once() {
        let months = [(Period::Month, 1), (Period::Month, 31), (Period::Year, 29)];
        for (period, anchor) in [(Period::Day, 1), (Period::Week, 1)].into_iter().chain(months) {
            for zone in ["UTC", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"] {
                pays_once(&Calendar::new(period, zone, anchor).unwrap());
            }
        }
    }

    /// From 2011 on, when Apia left a day out.
    fn pays_once(calendar: &Calendar) {
        let window = Window::Calendar(calendar.clone(), Debt::Carried);
        let begin = Timestamp(1_293_840_000_000_000);
        let state = charged(&window, 10_000, begin);
        let mut at = begin;
        // What is paid after 142 years never is.
        let periods = if calendar.period() == Period::Year { 140 } else { 500 };
        for paid in 0..periods {
            let [start, end] = calendar.period_of(at);
            for at in [start.max(begin), Timestamp(end.0 - 1)] {
                assert_eq!(used(&window, &state, at), 10_000 - 10 * paid, "{calendar:?} at {at:?}");
            }
            let take = Op::Take { room: 10, charge: 10 };
            let mut asked = charged(&window, 10 * (paid + 1), begin);
            let verdict =
                asked.charge(Rule { window: &window, number: TEN }, take, Overrun::Refuse, begin).verdict;
            assert_eq!(verdict, Verdict::Refused(Retry::After(end.since(begin))), "{calendar:?} at {at:?}");
            at = end;
        }
    }
}
