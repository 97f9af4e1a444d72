//! What is set over the files: whose numbers it changes, until when, and across which reloads.

use std::fmt::Write as _;

use proptest::prelude::*;
use tollgate::clock::Timestamp;
use tollgate::limits::{
    Domain, KeySecret, LimitsHandle, NativeDomain, Number, Origin, Overlay, RuleSet, Target, TierId,
    TierOrAll, Unit, Value,
};
use tollgate::money::NanoUsd;
use tollgate::prices::{Class, PerMillion, Tokens};

use crate::support::embedded::{Ask, Embedded, NOON, rules};
use crate::support::setting::{Sets, number, on_tier, own, subject, tier};

const SHOP: &str = "
domains:
  shop:
    per: user
    tier: {from: tier, default: free}
    limits: {login: 2/15m, month: month, open: {limit: 2, window: concurrent}}
    tiers:
      free: {month: 3}
      pro: {extends: free, month: 50, login: 5}
      gold: {extends: pro}
";

fn shop(rules: &RuleSet) -> &NativeDomain {
    match rules.domains.get(&b"shop"[..]) {
        Some(Domain::Native(domain)) => domain,
        other => panic!("{other:?}"),
    }
}

/// What `limit` allows on each tier.
fn numbers(limits: &LimitsHandle, limit: &str) -> Vec<Number> {
    let rules = limits.load();
    let domain = shop(&rules);
    let id = domain.limit_named(limit).unwrap();
    let given = (0..domain.tiers.names.len()).map(|tier| domain.given(TierId(tier), id).number);
    assert_eq!(given.collect::<Vec<_>>(), domain.limit(id).numbers, "what is in force is what is given");
    domain.limit(id).numbers.clone()
}

fn at_most(numbers: &[u64]) -> Vec<Number> {
    numbers.iter().map(|most| Number::AtMost(*most)).collect()
}

/// A domain with one limit, as a file may write it.
#[derive(Clone, Debug)]
struct Written {
    /// The limit's own number.
    own: Option<u64>,
    tiers: Vec<Tier>,
}

#[derive(Clone, Debug)]
struct Tier {
    extends: Option<usize>,
    own: Option<u64>,
    others: Option<u64>,
}

impl Written {
    /// The file.
    fn text(&self) -> String {
        let own = self.own.map_or(String::new(), |own| own.to_string());
        let mut text = format!(
            "domains: {{shop: {{per: user, tier: {{default: t0}}, limits: {{l: {own}/1h}}, tiers: {{"
        );
        for (index, Tier { extends, own, others }) in self.tiers.iter().enumerate() {
            let extends = extends.map(|tier| format!("extends: t{tier}"));
            let fields =
                [extends, own.map(|own| format!("l: {own}")), others.map(|others| format!("'*': {others}"))];
            let fields: Vec<String> = fields.into_iter().flatten().collect();
            write!(text, "t{index}: {{{}}}, ", fields.join(", ")).unwrap();
        }
        text + "}}}"
    }

    /// The same by somebody who writes `most` into the file, in the place of `tier`.
    fn with(mut self, tier: Option<usize>, most: u64) -> Self {
        match tier {
            None => self.own = Some(most),
            Some(tier) => self.tiers[tier].own = Some(most),
        }
        self
    }
}

fn written() -> impl Strategy<Value = Written> {
    let some = || prop::option::of(0..100_u64);
    let tier = (any::<prop::sample::Index>(), any::<bool>(), some(), some());
    (some(), prop::collection::vec(tier, 1..6)).prop_map(|(own, tiers)| {
        let tiers = tiers.into_iter().enumerate().map(|(index, (place, extends, own, others))| {
            let extends = (index > 0 && extends).then(|| place.index(index.max(1)));
            // Whoever extends nobody has a number for all else, so that nothing is without one.
            let others = if extends.is_none() { others.or(Some(100)) } else { others };
            Tier { extends, own, others }
        });
        Written { own, tiers: tiers.collect() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_set_counts_as_if_the_file_said_it(
        written in written(),
        places in prop::collection::vec((any::<prop::sample::Index>(), 200..300_u64), 1..4),
    ) {
        let limits = LimitsHandle::new(rules(&written.text()));
        let (mut sets, mut model) = (Sets::default(), written.clone());
        for (place, most) in places {
            let all = usize::from(written.own.is_some());
            let tier = place.index(written.tiers.len() + all).checked_sub(all);
            let name = tier.map_or("all".to_owned(), |tier| format!("t{tier}"));
            sets = sets.number(on_tier("shop", &name, "l"), most.cast_signed());
            model = model.with(tier, most);
            sets.over(&limits, NOON);
            let expected = LimitsHandle::new(rules(&model.text()));
            prop_assert_eq!(numbers(&limits, "l"), numbers(&expected, "l"), "{}\n{}", written.text(), model.text());

            let changed = LimitsHandle::new(rules(&model.clone().with(tier, 999).text()));
            let differ = numbers(&limits, "l").into_iter().zip(numbers(&changed, "l")).enumerate();
            let differ: Vec<TierId> = differ.filter(|(_, (one, other))| one != other).map(|(tier, _)| TierId(tier)).collect();
            let by = tier.map_or(TierOrAll::All, |tier| TierOrAll::Tier(TierId(tier)));
            let id = shop(&limits.load()).limit_named("l").unwrap();
            prop_assert_eq!(shop(&limits.load()).tier_or_all(&name, id), Some(by));
            prop_assert_eq!(shop(&limits.load()).reaches(by, id), differ.clone());
            prop_assert_eq!(shop(&limits.files()).reaches(by, id).len() >= differ.len(), true);
        }
    }
}

#[test]
fn every_number_says_where_it_comes_from() {
    let limits = LimitsHandle::new(rules(SHOP));
    let until = Some(Timestamp(NOON.0 + 1));
    let sets = Sets::default().until(
        on_tier("shop", "free", "month"),
        Value::Number(Number::AtMost(4), Unit::Hits),
        until,
    );
    sets.number(on_tier("shop", "all", "login"), 9).over(&limits, NOON);
    let rules = limits.load();
    let domain = shop(&rules);
    let of = |limit: &str| {
        let id = domain.limit_named(limit).unwrap();
        [0, 1, 2].map(|tier| domain.given(TierId(tier), id).origin)
    };
    let login = Origin::Override { version: 2, until: None };
    assert_eq!(of("month"), [Origin::Override { version: 1, until }, Origin::File, Origin::File]);
    assert_eq!(of("login"), [login, Origin::File, Origin::File]);
    assert_eq!(of("open"), [Origin::File; 3]);
    let own = |limit: &str| domain.limit(domain.limit_named(limit).unwrap()).basis.for_all;
    assert_eq!(own("login").map(|given| (given.number, given.origin)), Some((number(9), login)));
    assert_eq!(own("month"), None);
}

#[test]
fn what_is_set_ends_when_its_time_is_over() {
    let shop = Embedded::new(SHOP);
    let limits = shop.limits();
    let until = |seconds: u64| Some(Timestamp(NOON.0 + seconds * 1_000_000));
    let value = |most| Value::Number(Number::AtMost(most), Unit::Hits);
    let sets = Sets::default()
        .until(on_tier("shop", "free", "month"), value(5), until(60))
        .until(on_tier("shop", "all", "login"), value(9), until(120))
        .number(on_tier("shop", "gold", "login"), 7);
    let mut seen = Vec::new();
    let mut now = NOON;
    loop {
        sets.over(limits, now);
        seen.push((numbers(limits, "month"), numbers(limits, "login")));
        let Some(next) = limits.overlay().next_end(now) else { break };
        now = next;
    }
    let expected = [([5, 50, 50], [9, 5, 7]), ([3, 50, 50], [9, 5, 7]), ([3, 50, 50], [2, 5, 7])];
    assert_eq!(seen, expected.map(|(month, login)| (at_most(&month), at_most(&login))));
    assert_eq!(limits.overlay().iter().count(), 3, "what is over stays in the record");
}

#[test]
fn an_end_counts_by_the_clock_of_whoever_follows() {
    let shop = Embedded::new(SHOP);
    let ask = Ask::new("shop", "limit=login user=u");
    let until = Some(Timestamp(NOON.0 + 60_000_000));
    let sets = Sets::default().until(
        on_tier("shop", "all", "login"),
        Value::Number(Number::AtMost(4), Unit::Hits),
        until,
    );
    sets.over(shop.limits(), shop.clock.now());
    assert_eq!(shop.passes(&ask, 3), 3);
    shop.wait(60);
    sets.over(shop.limits(), shop.clock.now());
    assert_eq!(shop.passes(&ask, 3), 0, "what was used counts on under the number of the file");
}

#[test]
fn a_reload_goes_on_under_what_is_set() {
    let shop = Embedded::new(SHOP);
    let limits = shop.limits().clone();
    let ask = Ask::new("shop", "limit=login user=u");
    assert_eq!(shop.passes(&ask, 3), 2);
    Sets::default()
        .number(on_tier("shop", "all", "login"), 4)
        .number(on_tier("shop", "pro", "month"), 60)
        .over(&limits, NOON);
    assert_eq!(shop.passes(&ask, 3), 2);
    shop.reload(&SHOP.replace("login: 2/15m", "login: 3/15m").replace("month: 3", "month: 8"));
    assert_eq!(numbers(&limits, "login"), at_most(&[4, 5, 5]));
    assert_eq!(numbers(&limits, "month"), at_most(&[8, 60, 60]));
    assert_eq!(shop.passes(&ask, 1), 0);
    assert_eq!(
        shop.tallied("shop", "login", "free"),
        [4, 3, 0, 0],
        "counts go on across what is set and reloads"
    );
    Sets::default().over(&limits, NOON);
    assert_eq!(numbers(&limits, "login"), at_most(&[3, 5, 5]));
    assert_eq!(shop.passes(&ask, 1), 0);
    assert_eq!(shop.tallied("shop", "login", "free"), [4, 4, 0, 0]);
}

#[test]
fn what_the_files_do_not_have_is_kept_until_they_do() {
    let shop = Embedded::new(SHOP);
    let limits = shop.limits();
    let user = || subject(KeySecret([7; 16]), &[("user", "u")]);
    let kit = || subject(KeySecret([7; 16]), &[("kit", "k")]);
    let strays = [
        on_tier("shop", "free", "logn"),
        on_tier("shop", "silver", "login"),
        on_tier("shop", "all", "month"),
        on_tier("stop", "free", "login"),
        own("shop", "logn", user()),
        own("shop", "login", kit()),
    ];
    let mut sets = strays.iter().cloned().fold(Sets::default(), |sets, stray| sets.number(stray, 77));
    sets = sets.tier(tier("shop", user()), "silver").number(on_tier("shop", "free", "login"), 6);
    sets.over(limits, NOON);
    assert_eq!(
        (numbers(limits, "login"), numbers(limits, "month")),
        (at_most(&[6, 5, 5]), at_most(&[3, 50, 50]))
    );
    let mut expected: Vec<Target> = strays.into_iter().chain([tier("shop", user())]).collect();
    expected.sort();
    assert_eq!(limits.strays(), expected);

    shop.reload(
        &SHOP.replace("month: month", "month: 1/month").replace("gold:", "silver: {login: 1}\n      gold:"),
    );
    assert_eq!(numbers(limits, "login"), at_most(&[6, 5, 77, 5]));
    assert_eq!(numbers(limits, "month"), at_most(&[3, 50, 77, 50]), "free and pro have their own");
    assert_eq!(limits.strays().len(), 4);
}

#[test]
fn a_number_is_never_taken_for_so_much_of_another_unit() {
    let file = |login| format!("domains: {{shop: {{per: user, limits: {{login: {login}}}}}}}");
    let shop = Embedded::new(&file("60/1m"));
    let (on_all, ann) = (on_tier("shop", "all", "login"), subject(KeySecret([7; 16]), &[("user", "ann")]));
    let anns = own("shop", "login", ann);
    Sets::default().number(on_all.clone(), 100).number(anns.clone(), 200).over(shop.limits(), NOON);
    let in_force = || numbers(shop.limits(), "login");
    assert_eq!((in_force(), shop.limits().strays()), (at_most(&[100]), vec![]));
    for other in ["$5/1m", "5 tokens/1m"] {
        shop.reload(&file(other));
        assert_ne!(in_force(), at_most(&[100]), "{other}");
        assert_eq!(shop.limits().strays(), [on_all.clone(), anns.clone()], "{other}");
        let rules = shop.limits().load();
        let id = self::shop(&rules).limit_named("login").unwrap();
        assert!(self::shop(&rules).limit(id).own.is_none(), "{other}");
    }
    shop.reload(&file("3/day"));
    assert_eq!((in_force(), shop.limits().strays()), (at_most(&[100]), vec![]));
}

#[test]
fn a_domain_without_tiers_has_one_number_for_all() {
    let limits = LimitsHandle::new(rules("domains: {shop: {per: user, limits: {login: 2/15m}}}"));
    let rules = limits.load();
    let id = shop(&rules).limit_named("login").unwrap();
    assert_eq!(shop(&rules).tier_or_all("all", id), Some(TierOrAll::All));
    assert_eq!(shop(&rules).reaches(TierOrAll::All, id), [TierId(0)]);
    Sets::default().number(on_tier("shop", "all", "login"), -1).over(&limits, NOON);
    assert_eq!(numbers(&limits, "login"), [Number::Unlimited]);
}

#[test]
fn a_refusal_says_the_number_that_is_set() {
    let shop = Embedded::new(SHOP);
    let ask = Ask::new("shop", "limit=month user=u");
    Sets::default().number(on_tier("shop", "free", "month"), 1).over(shop.limits(), NOON);
    assert_eq!(shop.passes(&ask, 2), 1);
    let body = |shop: &Embedded| shop.ask(&ask).body.unwrap().to_string();
    assert_eq!(body(&shop), r#"{"error":"Rate limit exceeded: 1 per month"}"#);
    Sets::default().number(on_tier("shop", "free", "month"), 0).over(shop.limits(), NOON);
    assert_eq!(body(&shop), r#"{"error":"Rate limit exceeded: not available on tier free"}"#);
}

#[test]
fn prices_that_are_set_hold_from_their_instant_on() {
    let limits = LimitsHandle::new(rules(
        "prices: {aliases: {five: gpt-5}, models: {gpt-5: [{input: 1}, {from: 2027-01-01, input: 4}]}}",
    ));
    let price = |dollars: u64| -> PerMillion {
        [(Class::Input, NanoUsd(dollars * 1_000_000_000))].into_iter().collect()
    };
    let set = |model: &str, from| Target::Price { model: model.into(), from };
    let later = Timestamp(NOON.0 + 1_000_000);
    Sets::default()
        .set(set("gpt-5", later), Value::Price(price(3)))
        .set(set("gpt-5", NOON), Value::Price(price(2)))
        .set(set("new", NOON), Value::Price(price(7)))
        .set(set("NEW", later), Value::Price(price(8)))
        .over(&limits, NOON);
    let cost = |model: &str, at| {
        let mut tokens = Tokens::default();
        tokens.add(Class::Input, 1_000_000).unwrap();
        limits.load().prices.cost(model.as_bytes(), &tokens, at).ok().map(|cost| cost.nanos / 1_000_000_000)
    };
    let before = Timestamp(NOON.0 - 1);
    let next_year = Timestamp(1_798_761_600_000_000);
    let times = [before, NOON, later, next_year];
    assert_eq!(times.map(|at| cost("gpt-5", at)), [Some(1), Some(2), Some(3), Some(4)]);
    assert_eq!(times.map(|at| cost("openai/FIVE", at)), times.map(|at| cost("gpt-5", at)));
    assert_eq!(times.map(|at| cost("new", at)), [None, Some(7), Some(8), Some(8)]);
    assert_eq!(limits.strays(), []);
    Sets::default().over(&limits, NOON);
    assert_eq!(times.map(|at| cost("gpt-5", at)), [Some(1), Some(1), Some(1), Some(4)]);
    assert_eq!(limits.overlay().as_ref(), &Overlay::default());
}

#[test]
fn what_is_in_force_is_not_made_again_for_whoever_asks_about_it() {
    let limits = LimitsHandle::new(rules(SHOP));
    let over = std::sync::Arc::new({
        let mut over = Overlay::default();
        let placed = |version| tollgate::limits::Placed {
            value: Value::Number(number(9), Unit::Hits),
            until: Some(Timestamp(NOON.0 + 10)),
            version,
        };
        over.place(on_tier("shop", "free", "month"), placed(1));
        over
    });
    limits.set_over(over.clone(), NOON);
    let in_force = limits.load();
    assert!(std::sync::Arc::ptr_eq(&limits.under(&over, Timestamp(NOON.0 + 9)), &in_force));
    let later = limits.under(&over, Timestamp(NOON.0 + 10));
    assert!(!std::sync::Arc::ptr_eq(&later, &in_force), "its time is over");
    let free = |rules: &RuleSet| {
        let domain = shop(rules);
        let tier = domain.tiers.names.iter().position(|name| **name == *"free").unwrap();
        domain.given(TierId(tier), domain.limit_named("month").unwrap()).number
    };
    assert_eq!([free(&in_force), free(&later)], [number(9), number(3)]);
    assert_eq!(free(&limits.under(&Overlay::default(), NOON)), number(3));
}
