//! What holds of every counter, whatever its window: asked of the arithmetic itself, without a store.

use proptest::prelude::*;
use tollgate::algorithm::{Op, Outcome, Overrun, Rule, State};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Micros, Timestamp};
use tollgate::limits::{Debt, MAX_AMOUNT, Number, Window};

fn window() -> impl Strategy<Value = Window> {
    let length = (1..100_000_u64).prop_map(Micros::from_secs);
    let berlin = Calendar::new(Period::Month, "Europe/Berlin", 31).unwrap();
    prop_oneof![
        length.clone().prop_map(|length| Window::Sliding { length }),
        length.clone().prop_map(|length| Window::Fixed { length, debt: Debt::Forgiven }),
        (length.clone(), prop_oneof![1..50_u64, Just(MAX_AMOUNT)])
            .prop_map(|(length, burst)| Window::TokenBucket { length, burst }),
        length.clone().prop_map(|max_age| Window::Concurrent { max_age }),
        proptest::option::of(length).prop_map(|forget| Window::Total { forget }),
        Just(Window::Calendar(berlin, Debt::Forgiven)),
        Just(Window::Request),
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        6 => (0..20_u64).prop_map(Number::AtMost),
        1 => Just(Number::AtMost(MAX_AMOUNT)),
        1 => Just(Number::Unlimited),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let amount = || prop_oneof![6 => 0..8_u64, 1 => Just(MAX_AMOUNT)];
    prop_oneof![
        4 => amount().prop_map(|hits| Op::Take { room: hits, charge: hits }),
        1 => amount().prop_map(|units| Op::GiveBack { units }),
        1 => amount().prop_map(|units| Op::Set { units }),
    ]
}

/// A counter with a past, and the instant at which that ends.
fn lived(window: &Window, number: Number, past: &[(u64, Op)]) -> (State, Timestamp) {
    let mut state = State::fresh(window);
    let mut now = Timestamp(1_700_000_000_000_000);
    for (span, op) in past {
        now = now.plus(Micros(*span));
        let overrun = if span % 3 == 0 { Overrun::Count } else { Overrun::Refuse };
        state.charge(Rule { window, number }, *op, overrun, now);
    }
    (state, now)
}

fn ask(state: &State, rule: Rule<'_>, hits: u64, now: Timestamp) -> Outcome {
    state.clone().charge(rule, Op::Take { room: hits, charge: hits }, Overrun::Refuse, now)
}

fn past() -> impl Strategy<Value = Vec<(u64, Op)>> {
    let span = prop_oneof![Just(0), 0..2_000_000_u64, 0..200_000_000_000_u64];
    prop::collection::vec((span, op()), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn who_may_take_more_may_take_less(
        window in window(), number in number(), past in past(), hits in 1..30_u64
    ) {
        let (state, now) = lived(&window, number, &past);
        let rule = Rule { window: &window, number };
        if ask(&state, rule, hits, now).is_admitted() {
            prop_assert!(ask(&state, rule, hits - 1, now).is_admitted());
        }
    }

    #[test]
    fn a_larger_number_never_refuses_more(
        window in window(), number in 0..20_u64, past in past(), hits in 0..30_u64
    ) {
        let (state, now) = lived(&window, Number::AtMost(number), &past);
        let with = |number| ask(&state, Rule { window: &window, number }, hits, now);
        if with(Number::AtMost(number)).is_admitted() {
            prop_assert!(with(Number::AtMost(number + 1)).is_admitted());
        }
        prop_assert!(with(Number::Unlimited).is_admitted());
    }

    #[test]
    fn a_peek_changes_nothing_but_what_time_does(
        window in window(), number in number(), past in past(), room in 0..30_u64, later in 0..100_000_000_u64
    ) {
        let (state, now) = lived(&window, number, &past);
        let rule = Rule { window: &window, number };
        let mut peeked = state.clone();
        peeked.charge(rule, Op::Take { room, charge: 0 }, Overrun::Count, now);
        peeked.charge(rule, Op::GiveBack { units: 0 }, Overrun::Count, now);
        let later = now.plus(Micros(later));
        prop_assert_eq!(ask(&peeked, rule, room, later), ask(&state, rule, room, later));
    }

    #[test]
    fn what_is_admitted_stays_within_the_number(
        window in window(), number in 1..20_u64, past in past(), hits in 1..30_u64
    ) {
        let (state, now) = lived(&window, Number::AtMost(number), &past);
        let rule = Rule { window: &window, number: Number::AtMost(number) };
        let outcome = ask(&state, rule, hits, now);
        if outcome.is_admitted() {
            let Number::AtMost(most) = rule.most() else { unreachable!("it is limited") };
            let standing = outcome.standing;
            prop_assert!(standing.used + standing.held <= most);
            prop_assert_eq!(standing.remaining, most - standing.used - standing.held);
        }
    }

    #[test]
    fn an_idle_counter_answers_as_a_fresh_one(
        window in window(), number in number(), past in past(), hits in 0..30_u64
    ) {
        let (state, now) = lived(&window, number, &past);
        let rule = Rule { window: &window, number };
        if let Some(idle) = state.idle_from(rule) {
            let then = idle.max(now);
            let fresh = State::fresh(&window);
            prop_assert_eq!(ask(&state, rule, hits, then), ask(&fresh, rule, hits, then));
        }
    }

    #[test]
    fn time_that_runs_backwards_frees_nothing(
        window in window(), number in number(), past in past(), back in 0..200_000_000_000_u64
    ) {
        let (state, now) = lived(&window, number, &past);
        let rule = Rule { window: &window, number };
        let spent = |at| {
            let standing = ask(&state, rule, 0, at).standing;
            standing.used + standing.held
        };
        prop_assert!(spent(Timestamp(now.0 - back)) >= spent(now));
    }

    #[test]
    fn amounts_never_pass_what_can_be_counted(window in window(), past in past()) {
        let (state, now) = lived(&window, Number::Unlimited, &past);
        let rule = Rule { window: &window, number: Number::Unlimited };
        let all = Op::Take { room: MAX_AMOUNT, charge: MAX_AMOUNT };
        let standing = state.clone().charge(rule, all, Overrun::Count, now).standing;
        prop_assert!(standing.used + standing.held <= MAX_AMOUNT);
    }
}
