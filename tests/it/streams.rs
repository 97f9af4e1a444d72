//! Holds by descriptors alone, as the engine reads them: what is held, what is settled, and that nothing that can be sent
//! is an error or free.

use tollgate::engine::{Code, Decision, Unclaimed};
use tollgate::limits::Metadata;

use crate::support::embedded::{Ask, Embedded};

const FILE: &str = "
domains:
  llm:
    per: user
    headers: {standings: true}
    limits:
      requests: 100/1h
      streams:  {limit: 3, window: concurrent, max_age: 10m}
      tokens:   {limit: 10k tokens/1h, max_age: 20m}
      spend:    {limit: $1.00/1h, max_age: 20m}
      cap:      {limit: $0.50/1d, on_limit: trip}
      brief:    {limit: 10k tokens/1d, max_ttl: 2m, lease: 1m}
    routes:
      chat:   [requests, streams, tokens, spend]
      capped: [cap]
      POST /v1/{model}/chat: [tokens, spend]
  other:
    per: user
    limits: {words: 10 tokens/1h}
prices:
  models:
    mini: {input: 1.00, cached_input: 0.50, output: 2.00}
    maxi: {output: 20.00}
";

/// What a limit has used and holds.
type Books = (u64, u64);

fn ask(entries: &str) -> Ask {
    Ask::new("llm", &format!("user=ada {entries}"))
}

fn chat(entries: &str) -> Ask {
    ask(&format!("route=chat model=mini {entries}"))
}

/// The answer to `ask`, which its caller has got.
fn answered(service: &Embedded, ask: &Ask) -> Decision {
    let decision = service.ask(ask);
    decision.unclaimed.iter().for_each(Unclaimed::claim);
    decision
}

fn text(value: &Metadata) -> String {
    match value {
        Metadata::Text(text) => text.to_string(),
        other => panic!("{other:?} is no text"),
    }
}

fn hold_of(decision: &Decision) -> Option<String> {
    decision.metadata.as_ref()?.get("hold").map(text)
}

/// Reserves, and passes.
fn held(service: &Embedded, ask: &Ask) -> String {
    let decision = answered(service, ask);
    assert_eq!(decision.code, Code::Ok);
    hold_of(&decision).expect("something is held")
}

fn books(service: &Embedded, limit: &str) -> Books {
    let decision = service.ask(&ask(&format!("limit={limit}")).hits(0));
    let Some(Metadata::Map(standings)) = decision.metadata.as_ref().and_then(|all| all.get("standings"))
    else {
        panic!("no standings")
    };
    let Metadata::Map(standing) = &standings[limit] else { panic!("no standing") };
    let number = |name: &str| match standing[name] {
        Metadata::Number(number) => number.to_string().parse().expect("a whole number"),
        ref other => panic!("{other:?} is no number"),
    };
    (number("used"), number("held"))
}

/// Of tokens and spend, and how many slots are held.
fn all(service: &Embedded) -> (Books, Books, u64) {
    (books(service, "tokens"), books(service, "spend"), books(service, "streams").1)
}

#[test]
fn tokens_money_and_slots_are_held_and_settled_together() {
    let service = Embedded::new(FILE);
    let hold = held(&service, &chat("reserve=1000"));
    assert_eq!(all(&service), ((0, 1_000), (0, 2_000_000), 1));
    let end = chat(&format!("hold={hold} usage=input")).hits(100);
    let end = end.and(&format!("user=ada route=chat model=mini hold={hold} usage=cached_input")).hits(10);
    let end = end.and(&format!("user=ada route=chat model=mini hold={hold} usage=output")).hits(1);
    let end = end.and(&format!("user=ada route=chat hold={hold}")).hits(0);
    for _ in 0..2 {
        let decision = answered(&service, &end);
        assert_eq!((decision.code, decision.statuses.len()), (Code::Ok, 4));
        assert_eq!(all(&service), ((111, 0), (107_000, 0), 0), "100 + 5 + 2 micro-USD, priced once");
    }
    assert_eq!(books(&service, "requests"), (1, 0), "an end charges no hits");
}

#[test]
fn money_is_held_as_it_is_asked_and_tokens_are_only_looked_at() {
    let service = Embedded::new(FILE);
    let hold = held(&service, &chat("reserve=$0.02"));
    assert_eq!(all(&service), ((0, 0), (0, 20_000_000), 1));
    answered(&service, &chat(&format!("hold={hold} usage=output")).hits(5));
    assert_eq!(all(&service), ((5, 0), (10_000, 0), 0));
}

/// What Envoy sends as `hits_addend` where a header says `NaN`.
const NOT_A_NUMBER: u64 = 1 << 63;

#[test]
fn what_is_told_as_no_number_costs_at_least_what_was_held() {
    let service = Embedded::new(FILE);
    let hold = held(&service, &chat("reserve=1000"));
    let end = chat(&format!("hold={hold} usage=input")).hits(100);
    let end = end.and(&format!("user=ada route=chat model=mini hold={hold} usage=output")).hits(NOT_A_NUMBER);
    let end = end.and(&format!("user=ada route=chat hold={hold}")).hits(0);
    for _ in 0..2 {
        assert_eq!(answered(&service, &end).code, Code::Ok);
        assert_eq!(all(&service), ((1_000, 0), (2_000_000, 0), 0));
    }
    let more =
        chat("usage=output").hits(NOT_A_NUMBER).and("user=ada route=chat model=mini usage=input").hits(7);
    assert_eq!(answered(&service, &more).code, Code::Ok);
    assert_eq!(all(&service), ((1_007, 0), (2_007_000, 0), 0), "of what nobody held, what is known");
}

#[test]
fn a_weight_that_is_no_number_is_none() {
    let service = Embedded::new(FILE);
    let call = ask("limit=requests").hits(NOT_A_NUMBER).and("user=ada limit=tokens").hits(NOT_A_NUMBER);
    assert_eq!(answered(&service, &call).code, Code::Ok);
    assert_eq!([books(&service, "requests"), books(&service, "tokens")], [(1, 0); 2]);
}

#[test]
fn a_slot_that_one_descriptor_holds_and_another_takes_is_one() {
    let service = Embedded::new(FILE);
    for _ in 0..4 {
        let plain = "user=ada limit=streams";
        let (first, second) = (
            chat("reserve=1").and(plain),
            ask("limit=streams").and("user=ada route=chat model=mini reserve=1"),
        );
        for call in [first, second] {
            let hold = held(&service, &call);
            assert_eq!(books(&service, "streams"), (0, 1));
            answered(&service, &chat(&format!("hold={hold}")).hits(0));
            assert_eq!(books(&service, "streams"), (0, 0));
        }
    }
}

#[test]
fn the_model_in_a_path_beats_the_one_that_is_sent() {
    let service = Embedded::new(FILE);
    let call = |entries: &str| ask(&format!("method=POST path=/v1/maxi/chat {entries}"));
    for sent in ["", "model=mini "] {
        let hold = held(&service, &call(&format!("{sent}reserve=100")));
        assert_eq!(books(&service, "spend").1, 2_000_000);
        answered(&service, &call(&format!("{sent}hold={hold} usage=output")).hits(0));
    }
    answered(&service, &call("model=mini usage=output").hits(10));
    assert_eq!(books(&service, "spend"), (200_000, 0));
}

#[test]
fn what_is_refused_holds_nothing() {
    let service = Embedded::new(FILE);
    for asked in ["10001", "$1.01", "99999999999999999999999"] {
        let decision = answered(&service, &chat(&format!("reserve={asked}")));
        assert_eq!((decision.code, hold_of(&decision)), (Code::OverLimit, None), "{asked}");
    }
    let unpriced = answered(&service, &ask("route=chat model=unknown reserve=1"));
    assert_eq!((unpriced.code, hold_of(&unpriced)), (Code::OverLimit, None));
    assert_eq!(all(&service), ((0, 0), (0, 0), 0));
    assert_eq!(books(&service, "requests"), (0, 0));
}

#[test]
fn all_descriptors_of_a_call_are_one_hold_or_none() {
    let service = Embedded::new(FILE);
    let two = ask("limit=tokens reserve=6000").and("user=bob limit=tokens reserve=6000");
    let hold = held(&service, &two);
    assert_eq!(books(&service, "tokens"), (0, 6_000));
    assert_eq!(answered(&service, &two).code, Code::OverLimit);
    assert_eq!(books(&service, "tokens"), (0, 6_000));
    answered(&service, &ask(&format!("hold={hold}")).hits(0));
    assert_eq!(books(&service, "tokens"), (6_000, 0), "nobody told what was used");
}

#[test]
fn several_holds_are_several_settles() {
    let service = Embedded::new(FILE);
    let holds = [1_000, 2_000].map(|tokens| held(&service, &ask(&format!("limit=tokens reserve={tokens}"))));
    let end = ask(&format!("limit=tokens hold={} usage=output", holds[0])).hits(7);
    let end = end.and(&format!("user=ada limit=tokens hold={}", holds[1])).hits(0);
    answered(&service, &end.and("user=ada limit=requests").hits(2));
    assert_eq!(books(&service, "tokens"), (2_007, 0));
    assert_eq!(books(&service, "requests"), (2, 0), "the others of the call go their usual way");
}

#[test]
fn what_cannot_be_read_is_held_as_expected() {
    let service = Embedded::new(FILE);
    for asked in ["auto", "x", "-5", "1.5", "0", "00", "$0", "$0.00", "$-1", "NaN", "1e9"] {
        let hold = held(&service, &chat(&format!("reserve={asked}")));
        assert_eq!(all(&service), ((0, 1_024), (0, 2_048_000), 1), "{asked}");
        answered(&service, &chat(&format!("hold={hold} usage=output")).hits(0));
        assert_eq!(all(&service), ((0, 0), (0, 0), 0), "{asked}");
    }
    let empty = chat("").entry(b"reserve", b"");
    held(&service, &empty);
    assert_eq!(books(&service, "tokens"), (0, 1_024));
}

#[test]
fn no_more_is_expected_than_a_limit_allows_at_all() {
    let service = Embedded::new(
        "
domains:
  llm:
    per: user
    headers: {standings: true}
    limits: {words: 500 tokens/1h, cents: $0.001/1h, crumbs: $0.000001/1h, trial: {limit: 10 tokens/1h, shadow: true}}
    routes: {words: [words, trial], cents: [words, cents], crumbs: crumbs}
prices:
  models: {mini: {output: 4.00}}
",
    );
    let auto = |route: &str| ask(&format!("route={route} model=mini reserve=auto"));
    let hold = held(&service, &auto("words"));
    assert_eq!(books(&service, "words"), (0, 500));
    assert_eq!(answered(&service, &auto("words")).code, Code::OverLimit, "nothing is left");
    answered(&service, &ask(&format!("route=words model=mini hold={hold} usage=output")).hits(0));
    held(&service, &auto("cents"));
    assert_eq!((books(&service, "words"), books(&service, "cents")), ((0, 250), (0, 1_000_000)));
    held(&service, &auto("crumbs"));
    assert_eq!(books(&service, "crumbs"), (0, 0), "not a token can be paid, and one unit is left");
}

#[test]
fn what_calls_use_is_learned() {
    let service = Embedded::new(FILE);
    for calls in 0..20 {
        let hold = held(&service, &chat("reserve=auto"));
        assert_eq!(books(&service, "tokens").1, 1_024, "after {calls}");
        service.wait(60);
        let end = chat(&format!("hold={hold} usage=output")).hits(40);
        answered(
            &service,
            &end.and(&format!("user=ada route=chat model=mini hold={hold} usage=input")).hits(8),
        );
    }
    held(&service, &chat("reserve=auto"));
    assert_eq!(books(&service, "tokens"), (20 * 48, 8 + 43), "the steps that 8 and 40 are in");
    held(&service, &chat("reserve=auto").entry(b"x", b"y"));
    assert_eq!(books(&service, "streams"), (0, 2));
    held(&service, &ask("route=chat model=any/MINI-2025-08-07 reserve=auto"));
    assert_eq!(books(&service, "tokens").1, 3 * 51, "by whatever name");
}

#[test]
fn usage_is_never_free() {
    let service = Embedded::new(FILE);
    let lapsed = held(&service, &chat("reserve=1000"));
    service.wait(2 * 3600);
    let mut used = 0;
    let garbage = ["x".to_owned(), lapsed[1..].to_owned(), lapsed.replace('0', "1"), "0".repeat(86)];
    for hold in garbage.iter().chain([&lapsed]) {
        answered(&service, &chat(&format!("hold={hold} usage=output")).hits(10));
        used += 10;
        assert_eq!(all(&service), ((used, 0), (used * 2_000, 0), 0), "{hold}");
    }
    // Without a hold each is charged; a class that nobody knows is paid like output.
    for class in ["output", "letters"] {
        answered(&service, &chat(&format!("usage={class}")).hits(10));
        used += 10;
        assert_eq!(all(&service), ((used, 0), (used * 2_000, 0), 0), "{class}");
    }
    // To close what is not there does nothing.
    answered(&service, &chat("hold=x").hits(0));
    assert_eq!(all(&service), ((used, 0), (used * 2_000, 0), 0));
    assert_eq!(books(&service, "requests"), (0, 0));
}

#[test]
fn a_model_without_a_price_is_paid_by_what_was_held() {
    let service = Embedded::new(FILE);
    let hold = held(&service, &chat("reserve=1000"));
    answered(&service, &ask(&format!("route=chat model=else hold={hold} usage=output")).hits(7));
    assert_eq!(all(&service), ((7, 0), (2_000_000, 0), 0));
}

#[test]
fn whoever_never_gets_its_answer_holds_nothing() {
    let service = Embedded::new(FILE);
    let decision = service.ask(&chat("reserve=1000"));
    assert_eq!(all(&service), ((0, 1_000), (0, 2_000_000), 1));
    let hold = hold_of(&decision).unwrap();
    drop(decision);
    assert_eq!(all(&service), ((0, 0), (0, 0), 0));
    // It may have come to something all the same.
    answered(&service, &chat(&format!("hold={hold} usage=output")).hits(7));
    assert_eq!(all(&service), ((7, 0), (14_000, 0), 0));
}

#[test]
fn what_nobody_ends_lapses_with_the_strictest_limit() {
    let service = Embedded::new(FILE);
    held(&service, &chat("reserve=1000"));
    service.wait(599);
    assert_eq!(all(&service), ((0, 1_000), (0, 2_000_000), 1));
    service.wait(1);
    assert_eq!(all(&service), ((0, 0), (0, 0), 0));
    held(&service, &ask("limit=brief reserve=1000"));
    service.wait(119);
    assert_eq!(books(&service, "brief"), (0, 1_000), "nobody could renew a lease");
    service.wait(1);
    assert_eq!(books(&service, "brief"), (0, 0));
}

#[test]
fn a_give_back_is_one_whatever_else_it_says() {
    let service = Embedded::new(FILE);
    let slot = held(&service, &ask("limit=streams reserve=auto"));
    answered(&service, &ask("limit=streams"));
    assert_eq!(books(&service, "streams"), (0, 2));
    answered(&service, &ask(&format!("limit=streams hold={slot}")).give_back());
    assert_eq!(books(&service, "streams"), (0, 1));
}

#[test]
fn what_was_used_opens_a_breaker_too() {
    let service = Embedded::new(FILE);
    answered(&service, &ask("route=capped model=mini usage=output").hits(249_999));
    assert_eq!(answered(&service, &ask("limit=spend")).code, Code::Ok);
    answered(&service, &ask("route=capped model=mini usage=output").hits(1));
    let refused = answered(&service, &ask("limit=spend reserve=$0.01"));
    assert_eq!(refused.code, Code::OverLimit, "nothing is spent while it is open");
}

#[test]
fn whoever_settles_a_hold_opens_the_breaker_of_its_own_domain() {
    let service = Embedded::new(FILE);
    let hold = held(&service, &ask("route=capped model=mini reserve=$0.10"));
    answered(
        &service,
        &Ask::new("other", &format!("user=ada model=mini hold={hold} usage=output")).hits(250_000),
    );
    assert_eq!(answered(&service, &ask("limit=spend reserve=$0.01")).code, Code::OverLimit);
}
