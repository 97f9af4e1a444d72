//! What is set last counts, what was taken back is remembered, and what is about subjects is bounded.

use super::*;

fn number(limit: &str) -> Target {
    Target::Number { domain: "shop".into(), tier: "free".into(), limit: limit.into() }
}

fn own(user: u128) -> Target {
    let subject = SubjectId { key: "user".into(), hash: user };
    Target::Own { domain: "shop".into(), limit: "login".into(), subject }
}

fn placed(most: u64, until: Option<u64>, version: u64) -> Placed {
    Placed { value: Value::Number(Number::AtMost(most), Unit::Hits), until: until.map(Timestamp), version }
}

#[test]
fn what_is_set_last_counts_until_it_is_taken_back() {
    let mut overlay = Overlay::default();
    assert_eq!((overlay.version(), overlay.get(&number("login"))), (0, None));
    overlay.place(number("login"), placed(5, None, 1));
    overlay.place(number("login"), placed(7, None, 2));
    assert_eq!(overlay.get(&number("login")), Some(&placed(7, None, 2)));
    assert_eq!(overlay.get(&number("signup")), None);
    overlay.remove(&number("login"), 3);
    assert_eq!((overlay.version(), overlay.iter().count()), (3, 0));
}

#[test]
fn nothing_holds_at_its_end() {
    for (until, now, holds) in
        [(None, u64::MAX, true), (Some(10), 9, true), (Some(10), 10, false), (Some(10), 11, false)]
    {
        assert_eq!(placed(1, until, 1).holds_at(Timestamp(now)), holds, "{until:?} at {now}");
    }
}

#[test]
fn the_next_end_is_the_first_that_is_still_to_come() {
    let mut overlay = Overlay::default();
    assert_eq!(overlay.next_end(Timestamp(0)), None);
    for (limit, until) in [("a", Some(30)), ("b", Some(20)), ("c", None)] {
        overlay.place(number(limit), placed(1, until, 1));
    }
    for (after, end) in [(0, Some(20)), (19, Some(20)), (20, Some(30)), (30, None)] {
        assert_eq!(overlay.next_end(Timestamp(after)), end.map(Timestamp), "after {after}");
    }
}

#[test]
fn only_what_is_about_subjects_is_bounded() {
    let mut overlay = Overlay::default();
    (0..Overlay::MOST_OF_SUBJECTS as u128).for_each(|user| overlay.place(own(user), placed(1, None, 1)));
    overlay.place(own(0), placed(2, None, 2));
    let has_room = |overlay: &Overlay| {
        [own(0), own(u128::MAX), number("login")].map(|target| overlay.has_room_for(&target, Timestamp(0)))
    };
    assert_eq!(has_room(&overlay), [true, false, true]);
    overlay.remove(&own(u128::MAX), 3);
    assert_eq!(has_room(&overlay), [true, false, true], "it was not there");
    overlay.remove(&own(1), 4);
    assert_eq!(has_room(&overlay), [true, true, true]);
}

#[test]
fn what_was_taken_back_was_changed() {
    let price = |from| Target::Price { model: "gpt-5".into(), from: Timestamp(from) };
    let mut overlay = Overlay::default();
    let versions = |overlay: &Overlay| {
        [number("login"), own(1), own(2), price(5), price(9)].map(|target| overlay.last_change(&target))
    };
    overlay.place(number("login"), placed(5, None, 1));
    overlay.place(own(1), placed(5, None, 2));
    overlay.place(price(5), placed(5, None, 3));
    assert_eq!(versions(&overlay), [1, 2, 0, 3, 3]);
    overlay.remove(&number("login"), 4);
    overlay.remove(&own(1), 5);
    overlay.place(price(9), placed(5, None, 6));
    overlay.remove(&price(5), 7);
    assert_eq!(versions(&overlay), [4, 5, 0, 7, 7]);
    overlay.place(number("login"), placed(6, None, 8));
    overlay.place(own(1), placed(6, None, 9));
    overlay.place(price(5), placed(6, None, 10));
    assert_eq!(versions(&overlay), [8, 9, 0, 10, 10]);
    overlay.remove(&number("signup"), 11);
    assert_eq!(overlay.last_change(&number("signup")), 0, "it was not set");
}

#[test]
fn of_much_that_was_taken_back_from_subjects_the_latest_is_told_and_nothing_is_too_old() {
    let mut overlay = Overlay::default();
    // All in one part, of which sixteen are remembered.
    let user = |number: u64| own(u128::from(number) << 64);
    (1..=20).for_each(|number| overlay.place(user(number), placed(1, None, number)));
    (1..=20).for_each(|number| overlay.remove(&user(number), 100 + number));
    for (number, last) in [(20, 120), (5, 105), (4, 104), (1, 104), (77, 104)] {
        assert_eq!(overlay.last_change(&user(number)), last, "{number}");
    }
    assert_eq!(overlay.last_change(&own(1)), 0, "of another part nothing was taken back");
    overlay.place(user(5), placed(1, None, 121));
    overlay.remove(&user(5), 122);
    assert_eq!([6, 5].map(|number| overlay.last_change(&user(number))), [106, 122], "it takes no new place");
}

#[test]
fn what_has_come_to_its_end_makes_room() {
    let mut overlay = Overlay::default();
    let most = Overlay::MOST_OF_SUBJECTS as u128;
    (0..most).for_each(|user| overlay.place(own(user), placed(1, (user < 3).then_some(10), 1)));
    overlay.place(number("login"), placed(1, Some(10), 1));
    let newcomer = own(u128::MAX);
    assert_eq!([9, 10].map(|now| overlay.has_room_for(&newcomer, Timestamp(now))), [false, true]);
    overlay.make_room(Timestamp(9));
    assert!(overlay.get(&own(0)).is_some(), "it holds still");
    overlay.make_room(Timestamp(10));
    assert_eq!((overlay.get(&own(0)), overlay.get(&own(2))), (None, None));
    assert_eq!(overlay.iter().count() as u128, most - 3 + 1, "of tiers all is kept");
    overlay.place(newcomer, placed(1, None, 2));
    overlay.place(own(0), placed(1, Some(20), 3));
    overlay.make_room(Timestamp(30));
    assert!(overlay.get(&own(0)).is_some(), "there is room");
}

#[test]
fn of_many_subjects_those_that_are_asked_for_are_told_and_nobody_pays_for_the_others() {
    let mut overlay = Overlay::default();
    overlay.place(number("login"), placed(9, None, 1));
    for user in 0..10_000_u64 {
        let hash = u128::from(user) << 64 | u128::from(user);
        overlay.place(own(hash), placed(1, Some(user + 5), 2));
    }
    overlay.remove(&number("signup"), 3);
    let about = overlay.about(&[7, 4711, 20_000]);
    let told: Vec<_> = about.iter().map(|(target, _)| target.clone()).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!([number("login"), own(7 << 64 | 7), own(4711 << 64 | 4711)].iter().all(|one| told.contains(one)));
    assert_eq!((about.version(), about.last_change(&own(5))), (overlay.version(), 0));

    // What is changed in a copy is changed there alone, and what has ended no longer counts.
    let mut other = overlay.clone();
    assert_eq!(other, overlay);
    other.remove(&own(0), 4);
    other.place(own(1 << 64 | 1), placed(2, None, 5));
    assert_eq!(overlay.get(&own(1 << 64 | 1)), Some(&placed(1, Some(6), 2)));
    assert_eq!(
        [&overlay, &other].map(|set| set.next_end(Timestamp(5))),
        [6, 7].map(|at| Some(Timestamp(at)))
    );
    assert_eq!(overlay.next_end(Timestamp(10_004)), None);
    assert_eq!((overlay.iter().count(), other.iter().count()), (10_001, 10_000));
}
