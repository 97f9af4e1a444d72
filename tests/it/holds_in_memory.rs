//! Reservations in the embedded store alone: what it does when it is full, and when many threads ask at once.

use std::num::NonZeroU64;

use tollgate::algorithm::{Op, Outcome, Standing};
use tollgate::clock::{Clock, Micros};
use tollgate::limits::{KeySecret, MAX_AMOUNT, Number, OnError, Unit, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{
    Admission, Before, Call, Charge, Due, Hold, Life, Page, Part, Place, Report, Reserve, Reserved, Settle,
    Settled, Spent, Store, StoreError, Then, Trail,
};

use crate::support::bench::START;
use crate::support::holding::{KEEP, LIFE, Limited, is_taken, name, part, tokens};

const CAPACITY: Window = Window::Total { forget: None };

fn store(max_keys: usize, clock: &Clock) -> MemoryStore {
    MemoryStore::new(MemorySettings { max_keys }, clock.clone(), KeySecret([7; 16]))
}

fn reserve(store: &MemoryStore, number: u128, charges: &[Charge<'_>]) -> Result<Reserved, StoreError> {
    store.reserve_now(Reserve {
        name: name(number),
        body: 1,
        charges,
        accepts_less: None,
        about: &[],
        expenses: &[],
        life: LIFE,
    })
}

fn settle(store: &MemoryStore, number: u128, total: u64, then: Then) -> Settled {
    let spent = tokens(total);
    store
        .settle_now(Settle { name: name(number), spent, then, otherwise: &[], report: None, keep: KEEP })
        .unwrap()
}

#[test]
fn what_is_held_keeps_its_place_to_be_spent() {
    let clock = Clock::manual(START);
    let store = store(4, &clock);
    let limit = Limited::new(CAPACITY, 10);
    for id in [100, 101] {
        let charges = [limit.spend(id, 1)];
        store.charge_now(Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] });
    }
    let is_held = |number| is_taken(&reserve(&store, number, &[limit.hold(number, 10)]).unwrap());
    assert_eq!([1, 2, 3].map(is_held), [true, true, false], "two places are left");
    assert_eq!(part(&settle(&store, 1, 4, Then::More)), (4, 4, 4, 6));
    clock.advance(LIFE.ttl);
    assert_eq!(part(&settle(&store, 1, 5, Then::Done)), (1, 5, 5, 0), "late, and still in its place");
    assert!(is_held(4), "the other has lapsed");
    assert!(!is_held(5));
    let refused = reserve(&store, 6, &[limit.hold(6, 11)]).unwrap();
    assert!(!is_taken(&refused));
    assert_eq!(store.len(), 4);
    let allowed = Charge { on_error: OnError::Allow, ..limit.hold(7, 10) };
    assert!(is_taken(&reserve(&store, 7, &[allowed]).unwrap()), "by its policy, beyond all counters");
    assert_eq!(part(&settle(&store, 7, 3, Then::More)).3, 0);
}

#[test]
fn what_is_over_gives_way_to_what_is_reserved() {
    let clock = Clock::manual(START);
    let store = store(64, &clock);
    let limit = Limited::new(CAPACITY, MAX_AMOUNT);
    let hold = |number| reserve(&store, number, &[limit.hold(1, 1)]).unwrap().hold;
    let is_taken = |number| matches!(hold(number), Hold::Taken(_));
    let most = (1..).find(|number| hold(*number) == Hold::Unheld).unwrap() - 1;
    assert!((64..=68).contains(&most), "{most} were kept");
    assert!(matches!(hold(1), Hold::Replayed(_)), "a replay needs no place");
    settle(&store, 5, 1, Then::Done);
    assert_eq!((is_taken(1000), is_taken(1001)), (true, false), "one was settled, not the first");
    settle(&store, 7, 1, Then::Released);
    let otherwise = [limit.hold(2, 0)];
    let unheld = Settle {
        name: name(2000),
        spent: tokens(5),
        then: Then::Done,
        otherwise: &otherwise,
        report: None,
        keep: KEEP,
    };
    assert_eq!(store.settle_now(unheld).unwrap().before, Before::Unheld);
    clock.advance(LIFE.ttl);
    assert!((3000..3000 + most).all(is_taken), "all others have lapsed");
    assert_eq!(hold(4000), Hold::Unheld);
}

/// A store that can remember no more reservations, for as long as the one limit of its one counter holds them.
fn full_of_reservations(clock: &Clock) -> MemoryStore {
    let store = store(64, clock);
    let wide = Limited::new(CAPACITY, MAX_AMOUNT);
    let held = |number| is_taken(&reserve(&store, number, &[wide.hold(1, 1)]).unwrap());
    assert!((5000..).take_while(|number| held(*number)).count() >= 64);
    store
}

#[test]
fn what_cannot_be_remembered_is_spent_and_passes_no_limit() {
    let store = full_of_reservations(&Clock::manual(START));
    let (tokens, slots) = (Limited::new(CAPACITY, 10), Limited::new(Window::Concurrent { max_age: KEEP }, 2));
    let holds = [1, 2, 3, 4].map(|number| {
        let charges = [Charge { on_error: OnError::Local, ..tokens.hold(2, 4) }, slots.slot(3)];
        let reserved = reserve(&store, number, &charges).unwrap();
        (reserved.hold, reserved.answer.outcomes[0].standing.used, reserved.answer.outcomes[1].standing.held)
    });
    let (unheld, refused) = (Hold::Unheld, Hold::Refused);
    assert_eq!(holds, [(unheld, 4, 1), (unheld, 8, 2), (refused, 8, 2), (refused, 8, 2)]);
    let owned = Limited::new(CAPACITY, 10);
    let give_back = [Charge { op: Op::GiveBack { units: 1 }, ..owned.take(4, 0) }];
    let full = StoreError::Refused { code: "FULL".to_owned() };
    assert_eq!(reserve(&store, 5, &give_back), Err(full), "it might be given back twice");
}

#[test]
fn what_was_spent_at_once_is_spent_once_and_settled_for_the_rest() {
    let store = full_of_reservations(&Clock::manual(START));
    let limit = Limited::new(CAPACITY, 100);
    let charges = [limit.hold(2, 40)];
    let spent = |reserved: Reserved| (reserved.hold, reserved.answer.outcomes[0].standing.used);
    let again = [(); 3].map(|()| spent(reserve(&store, 1, &charges).unwrap()));
    assert_eq!(again, [(Hold::Unheld, 40); 3]);
    let other = Reserve {
        name: name(1),
        body: 2,
        charges: &charges,
        accepts_less: None,
        about: &[],
        life: LIFE,
        expenses: &[],
    };
    assert_eq!(store.reserve_now(other).unwrap().hold, Hold::Conflict);
    let settle = |total, then| {
        let (name, spent) = (name(1), tokens(total));
        let call = Settle { name, spent, then, otherwise: &charges, report: None, keep: KEEP };
        let settled = store.settle_now(call).unwrap();
        (settled.before, part(&settled))
    };
    assert_eq!(settle(30, Then::More), (Before::Unheld, (0, 40, 40, 0)));
    assert_eq!(settle(45, Then::Done), (Before::Held, (5, 45, 45, 0)));
    assert_eq!(settle(45, Then::Done), (Before::Settled, (0, 45, 45, 0)));
}

#[tokio::test]
async fn what_was_spent_at_once_is_written_down_as_it_is_charged() {
    let store = full_of_reservations(&Clock::manual(START));
    let limit = Limited::new(CAPACITY, 100);
    let money = Charge { unit: Unit::Money, ..limit.hold(4, 30) };
    let charges = [limit.hold(2, 40), limit.hold(3, 40), money, limit.slot(5)];
    let (life, expenses) = (LIFE, &[][..]);
    let call = Reserve {
        name: name(1),
        body: 1,
        charges: &charges,
        accepts_less: None,
        about: b"me",
        life,
        expenses,
    };
    for _ in 0..3 {
        assert_eq!(store.reserve_now(call).unwrap().hold, Hold::Unheld);
    }
    let spent = Spent { tokens: Due::Exactly(45), money: Due::Exactly(20) };
    let report = Some(Report { about: b"me", line: b"", classes: &[] });
    let settle = Settle { name: name(1), spent, then: Then::Done, otherwise: &[], report, keep: KEEP };
    let paid: Vec<u64> = store.settle_now(settle).unwrap().parts.iter().map(|part| part.paid).collect();
    assert_eq!(paid, [45, 45, 30, 1]);
    let page = Page { trail: Trail::Spent, from: Place::default(), most: 10 };
    let slots = Reserve { name: name(2), charges: &charges[3..], ..call };
    assert_eq!(store.reserve_now(slots).unwrap().hold, Hold::Unheld, "and no tokens and no money");
    let notes = store.notes(page).await.unwrap();
    let mine = notes.iter().filter(|note| *note.about == *b"me").filter_map(|note| note.spending.as_ref());
    assert_eq!(mine.map(|spent| (spent.tokens, spent.money)).collect::<Vec<_>>(), [(40, 30), (5, 0)]);
}

#[test]
fn who_is_refused_for_want_of_a_place_is_told_so() {
    let clock = Clock::manual(START);
    let store = store(2, &clock);
    let limit = Limited::new(CAPACITY, 10);
    let refused = |number, charges: &[Charge<'_>]| {
        let reserved = reserve(&store, number, charges).unwrap();
        let answer = reserved.answer;
        let by_policy = |outcome: &Outcome| answer.is_policy_of(OnError::Deny, outcome.standing);
        (reserved.hold == Hold::Refused, answer.outcomes.iter().map(by_policy).collect::<Vec<_>>())
    };
    assert_eq!(refused(1, &[limit.hold(1, 10)]), (false, vec![false]));
    assert_eq!(refused(2, &[limit.hold(1, 1)]), (true, vec![false]), "it has no room");
    assert_eq!(refused(3, &[limit.hold(2, 1)]), (false, vec![false]));
    assert_eq!(refused(4, &[limit.hold(3, 1)]), (true, vec![true]));
    assert_eq!(refused(5, &[limit.hold(1, 1), limit.hold(3, 1)]), (true, vec![false, true]));
}

#[test]
fn what_comes_to_be_held_late_is_held_at_a_counter_that_is_kept() {
    let clock = Clock::manual(START);
    let store = store(4, &clock);
    let limit = Limited::new(Window::Sliding { length: Micros::from_secs(1) }, 10);
    let held = |id| {
        let peek = [limit.spend(id, 0)];
        let call = Call { charges: &peek, admission: Admission::AllOrNone, expenses: &[] };
        store.charge_now(call).outcomes[0].standing.held
    };
    let (charges, life) = ([limit.hold_flexibly(1, 0, 20)], LIFE);
    let accepts_less = NonZeroU64::new(20);
    let call =
        Reserve { name: name(1), body: 1, charges: &charges, accepts_less, about: &[], expenses: &[], life };
    assert!(is_taken(&store.reserve_now(call).unwrap()));
    assert_eq!(held(1), 10, "less than was asked, of a counter that was not there");
    clock.advance(LIFE.ttl);
    for id in 100..104 {
        let charges = [limit.spend(id, 1)];
        store.charge_now(Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] });
    }
    assert_eq!((store.len(), held(1)), (4, 0), "its place is another's");
    clock.advance(LIFE.ttl);
    assert_eq!(part(&settle(&store, 1, 0, Then::More)), (0, 0, 0, 10));
    assert_eq!(held(1), 10, "held on, of a counter that was let go");
}

#[test]
fn what_is_forgotten_early_holds_nothing_and_is_counted() {
    let clock = Clock::manual(START);
    let store = full_of_reservations(&clock);
    let limit = Limited::new(CAPACITY, MAX_AMOUNT);
    let spend = |number| reserve(&store, number, &[limit.hold(2, 1)]).unwrap();
    let beside = (1..)
        .find(|number| {
            spend(*number);
            store.forgotten() > 0
        })
        .unwrap()
        - 1;
    assert!((8..=9).contains(&beside), "{beside} have places of their own");
    (100..200).for_each(|number| assert_eq!(spend(number).hold, Hold::Unheld));
    assert_eq!(store.forgotten(), 101);
    assert_eq!(settle(&store, 5000, 1, Then::Done).before, Before::Held, "the first of those that hold");
    clock.advance(KEEP);
    spend(300);
    assert_eq!(store.forgotten(), 101, "nobody may ask for those any more");
}

#[test]
fn long_holds_keep_no_places_that_short_ones_leave() {
    let clock = Clock::manual(START);
    let store = store(128, &clock);
    let limit = Limited::new(CAPACITY, MAX_AMOUNT);
    let long = Life { ttl: KEEP, max_age: KEEP, keep: KEEP };
    let charges = [limit.hold(1, 1)];
    for number in 0..64 {
        let call = Reserve {
            name: name(number),
            body: 1,
            charges: &charges,
            accepts_less: None,
            about: &[],
            expenses: &[],
            life: long,
        };
        assert!(is_taken(&store.reserve_now(call).unwrap()));
    }
    clock.advance(Micros(1));
    for number in 1000..2000 {
        assert!(is_taken(&reserve(&store, number, &charges).unwrap()), "{number}");
        settle(&store, number, 1, Then::Done);
    }
    assert!((0..64).all(|number| settle(&store, number, 1, Then::Done).before == Before::Held));
}

#[test]
fn what_is_settled_is_charged_or_not_paid() {
    let store = store(1, &Clock::manual(START));
    let limit = Limited::new(CAPACITY, 1000);
    store.charge_now(Call {
        charges: &[limit.spend(100, 1)],
        admission: Admission::AllOrNone,
        expenses: &[],
    });
    let settle = |on_error| {
        let otherwise = [Charge { on_error, overflow: 9, ..limit.hold(2, 0) }];
        let (name, spent) = (name(2000), tokens(5));
        let call = Settle { name, spent, then: Then::Done, otherwise: &otherwise, report: None, keep: KEEP };
        store.settle_now(call)
    };
    let full = StoreError::Refused { code: "FULL".to_owned() };
    assert_eq!([(); 2].map(|()| settle(OnError::Deny)), [Err(full.clone()), Err(full)], "nor remembered");
    let settled = settle(OnError::Local).unwrap();
    assert_eq!((settled.before, part(&settled)), (Before::Unheld, (5, 5, 5, 0)), "by those who share");
}

#[test]
fn newcomers_that_share_a_counter_share_what_is_held_of_it() {
    let store = store(1, &Clock::manual(START));
    let limit = Limited::new(CAPACITY, 10);
    store.charge_now(Call {
        charges: &[limit.spend(100, 1)],
        admission: Admission::AllOrNone,
        expenses: &[],
    });
    let newcomer = |id, units| Charge { overflow: 9, on_error: OnError::Local, ..limit.hold(id, units) };
    assert!(!is_taken(&reserve(&store, 1, &[newcomer(2, 10), newcomer(3, 1)]).unwrap()));
    assert!(
        is_taken(&reserve(&store, 1, &[newcomer(2, 4), newcomer(3, 6)]).unwrap()),
        "nothing is left of it"
    );
    let none = reserve(&store, 2, &[newcomer(4, 1)]).unwrap();
    assert_eq!((none.hold, none.answer.outcomes[0].standing.held), (Hold::Refused, 10));
    let settled = settle(&store, 1, 3, Then::Done);
    let standing = |part: &Part| (part.outcome.standing.used, part.outcome.standing.held);
    assert_eq!(settled.parts.iter().map(standing).collect::<Vec<_>>(), [(3, 6), (6, 0)]);
}

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A store that remembers few of many reservations: what holds something is always found, what is used is what was told to
/// be charged, and nothing is held when all is over.
#[test]
fn with_few_places_nothing_is_lost_that_holds_something() {
    for seed in 0..20 {
        let clock = Clock::manual(START);
        let (store, mut dice) = (store(64, &clock), Dice(seed));
        let limits = [2_000, MAX_AMOUNT].map(|most| Limited::new(CAPACITY, most));
        let look = |charge: Charge<'_>| {
            let charges = [Charge { op: Op::Take { room: 0, charge: 0 }, ..charge }];
            let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
            store.charge_now(call).outcomes[0].standing
        };
        let (mut open, mut charged) = (Vec::new(), [0; 2]);
        for number in 0..400 {
            clock.advance(Micros::from_secs(dice.roll(4)));
            let ask = 1 + dice.roll(40);
            let charges = [limits[0].hold(1, ask), limits[1].hold(2, ask)];
            match reserve(&store, number, &charges).unwrap().hold {
                Hold::Taken(grant) => open.push((number, grant.until, ask)),
                Hold::Unheld => charged.iter_mut().for_each(|sum| *sum += ask),
                Hold::Refused => {}
                hold => panic!("{number} is asked for the first time: {hold:?}"),
            }
            open.retain(|(_, until, _)| *until > store.now());
            let held: u64 = open.iter().map(|(_, _, ask)| ask).sum();
            for (index, limit) in limits.iter().enumerate() {
                let Standing { used, held: found, .. } = look(limit.hold(index as u128 + 1, 0));
                assert_eq!((used, found), (charged[index], held), "{number} of {seed}");
            }
            if dice.roll(3) == 0 && !open.is_empty() {
                let place = usize::try_from(dice.roll(open.len() as u64)).unwrap();
                let (number, _, ask) = open.remove(place);
                let settled = settle(&store, number, dice.roll(ask + 10), Then::Done);
                assert_eq!((settled.before, settled.parts[0].granted), (Before::Held, ask), "{number}");
                charged.iter_mut().zip(&settled.parts).for_each(|(sum, part)| *sum += part.charged);
            }
        }
        assert!(store.forgotten() > 0 && charged[0] > 0, "{charged:?}");
        clock.advance(KEEP);
        let left = look(limits[0].hold(1, 0));
        assert_eq!((left.used, left.held), (charged[0], 0));
    }
}

/// Reserves and settles some of the limits many times. Tells what was spent of each.
fn one_caller(store: &MemoryStore, limits: &[Limited], caller: u64) -> Vec<u64> {
    let (mut dice, mut sums) = (Dice(caller), vec![0; limits.len()]);
    for attempt in 0..500 {
        let number = u128::from(caller * 1000 + attempt);
        let (ask, touched) = (1 + dice.roll(40), 1 + dice.roll(7));
        let touched = |index: &usize| touched >> index & 1 == 1;
        let charges: Vec<Charge<'_>> =
            (0..limits.len()).filter(touched).map(|index| limits[index].hold(index as u128, ask)).collect();
        let reserved = reserve(store, number, &charges).unwrap();
        for (charge, outcome) in charges.iter().zip(&reserved.answer.outcomes) {
            let Standing { used, held, remaining, .. } = outcome.standing;
            assert_eq!(Number::AtMost(used + held + remaining), charge.rule.number);
        }
        if !is_taken(&reserved) {
            continue;
        }
        let total = dice.roll(ask + 1);
        let (total, then) = if dice.roll(4) == 0 { (0, Then::Released) } else { (total, Then::Done) };
        let so_far = dice.roll(total + 1);
        settle(store, number, so_far, Then::More);
        let settled = settle(store, number, total, then);
        assert_eq!((settled.before, settled.until), (Before::Held, None));
        (0..limits.len()).filter(touched).for_each(|index| sums[index] += total.max(so_far));
    }
    sums
}

#[test]
fn threads_that_reserve_and_settle_lose_nothing() {
    let store = store(10_000, &Clock::System);
    let limits = [10_000, 20_000, MAX_AMOUNT].map(|most| Limited::new(CAPACITY, most));
    let sums: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let callers = (1..=8).map(|caller| {
            scope.spawn({
                let (store, limits) = (&store, &limits);
                move || one_caller(store, limits, caller)
            })
        });
        let callers: Vec<_> = callers.collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    for (index, limit) in limits.iter().enumerate() {
        let charges = [Charge { op: Op::Take { room: 0, charge: 0 }, ..limit.hold(index as u128, 0) }];
        let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
        let standing = store.charge_now(call).outcomes[0].standing;
        let spent: u64 = sums.iter().map(|sums| sums[index]).sum();
        assert_eq!((standing.used, standing.held), (spent, 0), "{limit:?}");
        assert!(spent > 5_000, "{spent} spent of {limit:?}");
    }
}

/// Each tries to hold a tenth of the room twenty times.
#[test]
fn of_fifty_threads_as_many_hold_as_there_is_room() {
    let store = store(10_000, &Clock::System);
    let (limit, parent) = (Limited::new(CAPACITY, 100), Limited::new(CAPACITY, 1_000_000));
    let one = |caller: u128| {
        let charges = [limit.hold(1, 10), parent.hold(2, 10)];
        let takes = |attempt: &u128| is_taken(&reserve(&store, caller * 100 + attempt, &charges).unwrap());
        (0..20).filter(takes).count()
    };
    let taken: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..50).map(|caller| scope.spawn(move || one(caller))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    let held = [limit.hold(1, 0), parent.hold(2, 0)].map(|charge| {
        let charges = [Charge { op: Op::Take { room: 0, charge: 0 }, ..charge }];
        let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
        store.charge_now(call).outcomes[0].standing.held
    });
    assert_eq!((taken, held), (10, [100, 100]));
}
