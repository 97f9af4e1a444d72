//! What a call of a native domain is charged, and what its answer says.

use std::sync::Arc;

use tollgate::clock::Clock;
use tollgate::engine::{
    Check, Code, Decision, DescriptorStatus, Enforcement, Engine, EngineSettings, InvalidRequest, Switch,
};
use tollgate::limits::{KeySecret, LimitsHandle, Metadata, Tallied, TallyLabels, WireUnit};
use tollgate::store::memory::{MemorySettings, MemoryStore};

use crate::support::embedded::{Ask, Embedded, NOON, header, rules};
use crate::support::gone::Gone;

const SHOP: &str = "
domains:
  shop:
    per: user
    tier: {from: tier, default: free, anonymous: guest}
    limits:
      every: 100/1m per user|ip
      login: 2/15m per email|ip
      month: month
      streams: {limit: 2, window: concurrent, max_age: 1m}
      assets: total
      bulk: 10/request
      edge: 1/1s burst 3
      tokens: 100 tokens/1m
      money: $1.00/day
      kits: 1 total per user+kit
      trial: {limit: 1, window: 1m, shadow: true}
      loose: {limit: 3, window: 1h, refundable: true}
      fixed: 2/1m fixed
      session: {limit: 5, window: 1m, per: session, on_missing: refuse}
      optional: {limit: 5, window: 1m, per: session, on_missing: skip}
    tiers:
      guest: {'*': 0, every: 10}
      free: {month: 2, assets: 2}
      pro: {extends: free, month: -1, assets: 5}
    routes:
      '*': every
      POST /login: login
      POST /make: [month, login]
      GET /stream: streams
      POST /assets: assets
      POST /bulk: bulk
      /edge: edge
      llm: [tokens, money]
      POST /kits/{kit}: kits
      /trial: [trial, fixed]
      /session: session
      /optional: optional
";

fn shop() -> Embedded {
    Embedded::new(SHOP)
}

fn ask(entries: &str) -> Ask {
    Ask::new("shop", entries)
}

#[test]
fn a_refusal_says_which_limit_and_when_to_come_back() {
    let shop = shop();
    let login = ask("method=POST path=/login ip=10.0.0.1 user=u");
    assert_eq!(shop.passes(&login, 2), 2);
    shop.wait(60);
    let refused = shop.ask(&login);
    assert_eq!(refused.code, Code::OverLimit);
    assert_eq!(refused.body.as_deref(), Some(r#"{"error":"Rate limit exceeded: 2 per 15 minute"}"#));
    assert_eq!(header(&refused, "X-RateLimit-Limit").as_deref(), Some("2"));
    assert_eq!(header(&refused, "X-RateLimit-Remaining").as_deref(), Some("0"));
    assert_eq!(header(&refused, "X-Tollgate-Limit").as_deref(), Some("login"));
    assert_eq!(header(&refused, "Content-Type").as_deref(), Some("application/json"));
    let wait: u64 = header(&refused, "Retry-After").unwrap().parse().unwrap();
    assert!((840..=858).contains(&wait), "15 minutes, up to a fiftieth more, less the minute gone: {wait}");
    let limit = refused.statuses[0].limit.clone().unwrap();
    assert_eq!(
        (limit.name.as_str(), limit.requests_per_unit, limit.unit, limit.multiplier),
        ("login", 2, WireUnit::Minute, 15)
    );
    shop.wait(wait - 1);
    assert_eq!(shop.passes(&login, 1), 0, "a second before it is too early");
    shop.wait(1);
    assert_eq!(shop.passes(&login, 1), 1);
}

#[test]
fn a_refusal_costs_nothing_anywhere() {
    let shop = shop();
    let make = ask("method=POST path=/make user=u ip=10.0.0.1");
    assert_eq!(shop.passes(&make, 5), 2, "month allows 2");
    let every = shop.ask(&ask("route=none user=u").hits(0));
    assert_eq!(
        header(&every, "X-RateLimit-Remaining").as_deref(),
        Some("98"),
        "only what passed was charged"
    );
}

#[test]
fn every_call_is_charged_once_to_the_star_whatever_its_hits() {
    let shop = shop();
    let left = |shop: &Embedded| shop.ask(&ask("route=none user=u").hits(0)).statuses[0].remaining;
    shop.ask(&ask("method=POST path=/bulk user=u").hits(7));
    assert_eq!(left(&shop), 99);
    shop.ask(
        &ask("method=POST path=/bulk user=u").hits(7).and("route=llm user=u").and("path=/nowhere user=u"),
    );
    assert_eq!(left(&shop), 98, "three descriptors, one call");
    shop.ask(&ask("limit=login user=u ip=1.1.1.1"));
    assert_eq!(left(&shop), 98, "a limit that is named does not touch the star");
    shop.ask(&ask("method=POST path=/bulk user=u").hits(0));
    shop.ask(&ask("method=GET path=/stream user=u").give_back());
    assert_eq!(left(&shop), 98, "looking and giving back are free");
    shop.ask(&ask("user=u"));
    assert_eq!(left(&shop), 97, "a call that matches no route is still a call");
}

#[test]
fn what_is_sent_does_not_fill_what_the_path_leaves_empty() {
    let farm = Embedded::new(
        "
domains:
  farm:
    tier: {from: tier, default: free, anonymous: guest}
    limits: {kits: {limit: 2, window: 1h, per: kit}, plan: {limit: 1, window: 1h, per: all}}
    tiers: {guest: {}, free: {}, pro: {plan: -1}}
    routes: {'GET /k/{kit}/z': kits, 'GET /p/{tier}/{user}/z': plan}
",
    );
    let ask = |entries: &str| Ask::new("farm", entries);
    assert_eq!(farm.passes(&ask("method=GET path=/k//z kit=sent"), 2), 2);
    assert_eq!(farm.passes(&ask("method=GET path=/k//z kit=other"), 1), 0, "both name nobody");
    assert_eq!(farm.passes(&ask("limit=kits kit=sent"), 1), 1, "who is named was not charged");
    assert_eq!(farm.passes(&ask("method=GET path=/p//u/z tier=pro"), 2), 1, "no tier is named");
}

#[test]
fn one_limit_and_subject_is_charged_once_with_the_largest_hits() {
    let shop = shop();
    let twice = ask("limit=login email=e").and("method=POST path=/login email=e user=u");
    assert_eq!(shop.passes(&twice, 3), 2);
    let bulk = ask("limit=loose user=u").hits(1).and("limit=loose user=u").hits(3);
    assert_eq!(shop.ask(&bulk).code, Code::Ok);
    assert_eq!(shop.ask(&ask("limit=loose user=u").hits(0)).statuses[0].remaining, 0);
}

#[test]
fn the_tier_comes_from_the_entry_else_anonymous_else_the_default() {
    let shop = shop();
    let shown = |entries: &str| {
        let decision = shop.ask(&ask(entries).hits(0));
        let status = &decision.statuses[0];
        (decision.code, status.limit.as_ref().map(|limit| limit.requests_per_unit))
    };
    assert_eq!(shown("limit=month user=u"), (Code::Ok, Some(2)));
    assert_eq!(shown("limit=month user=u tier=pro"), (Code::Ok, None), "unlimited shows no limit");
    assert_eq!(
        shown("limit=month user=u tier=nonsense"),
        (Code::Ok, Some(2)),
        "an unknown tier is the default"
    );
    assert_eq!(shown("limit=month user=u tier="), (Code::Ok, Some(2)));
    assert_eq!(shown("limit=month ip=1.2.3.4"), (Code::OverLimit, Some(0)), "0 refuses even a look");
    assert_eq!(shown("limit=every ip=1.2.3.4"), (Code::Ok, Some(10)));
    let blocked = shop.ask(&ask("limit=month ip=1.2.3.4"));
    assert_eq!(
        blocked.body.as_deref(),
        Some(r#"{"error":"Rate limit exceeded: not available on tier guest"}"#)
    );
    assert_eq!(header(&blocked, "Retry-After"), None, "waiting does not help");
}

#[test]
fn a_tier_change_moves_the_number_and_keeps_what_is_used() {
    let shop = shop();
    assert_eq!(shop.passes(&ask("limit=assets user=u tier=pro"), 9), 5);
    let free = shop.ask(&ask("limit=assets user=u tier=free").hits(0));
    assert_eq!(free.code, Code::OverLimit, "5 used of 2");
    shop.ask(&ask("limit=assets user=u tier=free").hits(4).give_back());
    assert_eq!(shop.ask(&ask("limit=assets user=u tier=free").hits(0)).statuses[0].remaining, 1);
}

#[test]
fn unlimited_still_counts() {
    let shop = shop();
    assert_eq!(shop.passes(&ask("limit=month user=u tier=pro"), 7), 7);
    let status = shop.ask(&ask("limit=month user=u tier=pro")).statuses[0].clone();
    assert_eq!((status.limit, status.remaining), (None, u32::MAX));
    assert_eq!(shop.ask(&ask("limit=month user=u tier=free")).code, Code::OverLimit, "8 are used");
}

#[test]
fn captures_are_entries_and_beat_sent_ones() {
    let shop = shop();
    assert_eq!(shop.passes(&ask("method=POST path=/kits/a user=u kit=z"), 2), 1);
    assert_eq!(shop.passes(&ask("method=POST path=/kits/b user=u kit=z"), 2), 1);
    assert_eq!(shop.passes(&ask("limit=kits user=u kit=a"), 1), 0);
    assert_eq!(shop.passes(&ask("limit=kits user=u kit=z"), 1), 1);
}

#[test]
fn the_subject_is_the_first_alternative_that_has_a_value() {
    let shop = shop();
    assert_eq!(shop.passes(&ask("limit=login email=e ip=1.1.1.1"), 3), 2);
    assert_eq!(shop.passes(&ask("limit=login email=e ip=2.2.2.2"), 1), 0, "the same email elsewhere");
    assert_eq!(shop.passes(&ask("limit=login email= ip=1.1.1.1"), 3), 2, "an empty email names nobody");
    assert_eq!(shop.passes(&ask("limit=login remote_address=::ffff:1.1.1.1"), 1), 0, "the same address");
    assert_eq!(
        shop.passes(&ask("limit=login ip= remote_address=1.1.1.1"), 1),
        0,
        "an empty ip hides no address"
    );
    assert_eq!(shop.passes(&ask("limit=login email=1.1.1.1"), 3), 2, "an email is no address");
    assert_eq!(shop.passes(&ask("limit=login masked_remote_address=2001:db8::1"), 3), 2);
    assert_eq!(shop.passes(&ask("limit=login ip=2001:db8::ffff"), 1), 0, "one /64");
    let masked = ask("limit=login masked_remote_address=2001:db8::abcd/128");
    assert_eq!(shop.passes(&masked, 1), 0, "the same /64, with the mask that Envoy writes behind it");
    assert_eq!(shop.passes(&ask("limit=login"), 3), 2, "all that name nobody share one counter");
}

#[test]
fn a_missing_subject_is_shared_skipped_or_refused() {
    let shop = shop();
    let refused = shop.ask(&ask("path=/session user=u"));
    assert_eq!(refused.code, Code::OverLimit);
    assert_eq!(refused.body.as_deref(), Some(r#"{"error":"Rate limit exceeded: session needs session"}"#));
    assert_eq!(header(&refused, "Retry-After"), None);
    assert_eq!(shop.ask(&ask("route=none user=u").hits(0)).statuses[0].remaining, 100, "nothing was charged");
    assert_eq!(shop.passes(&ask("path=/optional user=u"), 9), 9);
    assert_eq!(shop.passes(&ask("path=/optional user=u session=s"), 9), 5);
}

#[test]
fn held_room_comes_back_when_it_is_given_back_or_lapses() {
    let shop = shop();
    let open = ask("method=GET path=/stream user=u");
    assert_eq!(shop.passes(&open, 3), 2);
    let refused = shop.ask(&open);
    assert_eq!(refused.body.as_deref(), Some(r#"{"error":"Rate limit exceeded: 2 concurrent"}"#));
    assert_eq!(refused.statuses[0].limit.as_ref().map(|limit| limit.unit), Some(WireUnit::Unknown));
    shop.ask(&open.clone().give_back());
    assert_eq!(shop.passes(&open, 2), 1);
    shop.wait(62);
    assert_eq!(shop.passes(&open, 3), 2, "abandoned slots lapse after max_age and at most a fiftieth more");
    let many = shop.ask(&open.clone().hits(9).give_back());
    assert_eq!(many.code, Code::Ok);
    assert_eq!(shop.passes(&open, 3), 2, "never below 0");
}

#[test]
fn a_look_at_held_room_passes_until_it_is_overdrawn() {
    let shop = shop();
    let look = ask("limit=streams user=u").hits(0);
    assert_eq!(shop.passes(&ask("limit=streams user=u"), 2), 2);
    assert_eq!(shop.ask(&look).code, Code::Ok, "used + held = N");
    let look = ask("limit=assets user=u").hits(0);
    assert_eq!(shop.passes(&ask("limit=assets user=u tier=pro"), 3), 3);
    assert_eq!(shop.ask(&look).code, Code::OverLimit, "3 of 2");
}

#[test]
fn only_what_takes_back_is_given_back_to() {
    let shop = shop();
    shop.passes(&ask("limit=loose user=u"), 3);
    shop.passes(&ask("limit=login email=e"), 2);
    let back = shop.ask(&ask("limit=loose user=u").give_back().and("limit=login email=e").give_back());
    assert_eq!(back.code, Code::Ok);
    assert_eq!(shop.passes(&ask("limit=loose user=u"), 3), 1);
    assert_eq!(shop.passes(&ask("limit=login email=e"), 1), 0);
}

#[test]
fn tokens_and_money_behind_a_route_are_looked_at_and_spent_by_name() {
    let shop = shop();
    let call = ask("route=llm user=u");
    assert_eq!(shop.passes(&call, 50), 50, "plain hits spend nothing");
    assert_eq!(shop.ask(&ask("limit=tokens user=u").hits(99)).statuses[0].remaining, 1);
    assert_eq!(shop.ask(&call).code, Code::Ok);
    shop.ask(&ask("limit=tokens user=u").hits(1));
    let refused = shop.ask(&call);
    assert_eq!(refused.body.as_deref(), Some(r#"{"error":"Rate limit exceeded: 100 tokens per 1 minute"}"#));
    shop.wait(62);
    assert_eq!(shop.ask(&call).code, Code::Ok);
    let spent = shop.ask(&ask("limit=money user=u").hits(999_999));
    let limit = spent.statuses[0].limit.clone().unwrap();
    assert_eq!(
        (spent.statuses[0].remaining, limit.requests_per_unit, limit.unit),
        (1, 1_000_000, WireUnit::Day),
        "micro-USD"
    );
    assert_eq!(shop.ask(&ask("limit=money user=u").hits(2)).code, Code::OverLimit);
    assert_eq!(shop.ask(&ask("limit=money user=u").hits(1)).code, Code::Ok, "reaching it exactly is allowed");
    let refused = shop.ask(&call);
    assert_eq!(refused.body.as_deref(), Some(r#"{"error":"Rate limit exceeded: $1.00 per day"}"#));
    assert_eq!(header(&refused, "Retry-After").as_deref(), Some("43138"), "a minute after noon to midnight");
}

#[test]
fn the_size_of_a_call_is_limited_and_nothing_is_stored() {
    let shop = shop();
    let bulk = ask("limit=bulk user=u");
    assert_eq!(shop.passes(&bulk.clone().hits(10), 100), 100);
    let refused = shop.ask(&bulk.hits(11));
    assert_eq!(refused.body.as_deref(), Some(r#"{"error":"Rate limit exceeded: at most 10 per request"}"#));
    assert_eq!(header(&refused, "Retry-After"), None);
}

#[test]
fn a_bucket_holds_its_burst_and_refills() {
    let shop = shop();
    let edge = ask("limit=edge user=u");
    assert_eq!(shop.passes(&edge, 9), 3);
    let refused = shop.ask(&edge);
    assert_eq!(header(&refused, "Retry-After").as_deref(), Some("1"));
    assert_eq!(header(&refused, "X-RateLimit-Limit").as_deref(), Some("1"), "the number, not the burst");
    shop.wait(2);
    assert_eq!(shop.passes(&edge, 9), 2, "one a second");
    assert_eq!(header(&shop.ask(&edge.hits(4)), "Retry-After"), None, "more than it ever holds");
}

#[test]
fn shadow_is_counted_and_never_refuses() {
    let shop = shop();
    let trial = ask("path=/trial user=u");
    assert_eq!(shop.passes(&trial, 3), 2, "fixed refuses the third");
    let look = shop.ask(&ask("limit=trial user=u").hits(0));
    assert_eq!((look.code, look.statuses[0].code, look.statuses[0].remaining), (Code::Ok, Code::Ok, 0));
}

#[test]
fn a_number_for_an_endless_window_is_no_number_for_a_minute() {
    let shop = shop();
    let edge = ask("limit=loose user=u").number(9, WireUnit::Year, u32::MAX);
    assert_eq!(shop.passes(&edge, 5), 3);
}

#[test]
fn an_own_number_needs_the_same_window_and_never_lifts_a_zero() {
    let shop = shop();
    let shown =
        |ask: Ask| shop.ask(&ask.hits(0)).statuses[0].limit.as_ref().map(|limit| limit.requests_per_unit);
    assert_eq!(shown(ask("limit=login email=e").number(9, WireUnit::Minute, 15)), Some(9));
    assert_eq!(shown(ask("limit=login email=e").number(9, WireUnit::Minute, 1)), Some(2), "another window");
    assert_eq!(shown(ask("limit=month user=u").number(9, WireUnit::Month, 1)), Some(9));
    assert_eq!(shown(ask("limit=month ip=1.1.1.1").number(9, WireUnit::Month, 1)), Some(0));
    let two = ask("method=POST path=/make user=u email=e").number(9, WireUnit::Minute, 15);
    assert_eq!(shop.passes(&two, 9), 2, "beside two limits it counts for neither");
}

#[test]
fn a_descriptor_shows_the_limit_that_matters_most() {
    let shop = shop();
    let name = |ask: &Ask| shop.ask(ask).statuses[0].limit.as_ref().map(|limit| limit.name.clone()).unwrap();
    let make = ask("method=POST path=/make user=u email=e");
    assert_eq!(name(&make), "login", "of 1 of 2 each and 99 of 100 the first in the file");
    shop.ask(&ask("limit=month user=u"));
    assert_eq!(name(&make.clone().hits(0)), "month", "0 of 2 before 1 of 2");
    shop.ask(&ask("limit=login email=e"));
    assert_eq!(name(&make), "month", "both refuse: the longer wait");
}

#[test]
fn statuses_belong_to_their_descriptors() {
    let shop = shop();
    let call = ask("limit=fixed user=u").and("limit=unknown user=u").and("limit=loose user=u");
    assert_eq!(shop.passes(&call, 2), 2);
    let third = shop.ask(&call);
    let codes: Vec<Code> = third.statuses.iter().map(|status| status.code).collect();
    assert_eq!((third.code, codes), (Code::OverLimit, vec![Code::OverLimit, Code::Ok, Code::Ok]));
    assert_eq!(third.statuses[1].limit, None);
    assert_eq!(third.statuses[2].remaining, 1, "not charged by the refused call");
}

#[test]
fn bad_requests_name_the_field() {
    let shop = shop();
    let error = |ask: Ask| shop.try_ask(&ask).unwrap_err().to_string();
    assert_eq!(error(Ask::new("", "a=b")), "domain: must not be empty");
    assert_eq!(shop.try_ask(&ask("").hits(1)), Err(InvalidRequest::NoEntries { descriptor: 0 }));
    assert_eq!(shop.try_ask(&ask("a=b a=c")), Err(InvalidRequest::RepeatedKey { descriptor: 0, entry: 1 }));
    assert_eq!(shop.try_ask(&ask("=b")), Err(InvalidRequest::EmptyKey { descriptor: 0, entry: 0 }));
    assert_eq!(
        error(ask("a=b").number(1, WireUnit::Unknown, 1)),
        "descriptors[0].limit.unit: must be SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR"
    );
    assert!(error(ask("a=b").hits(u64::MAX)).starts_with("descriptors[0].hits_addend: 18446744073709551615"));
    let many = (0..32).fold(ask("user=u"), |ask, _| ask.and("user=u"));
    assert_eq!(shop.try_ask(&many), Err(InvalidRequest::TooManyDescriptors(33)));
    let wide = (0..16).fold(ask("user=u"), |ask, index| ask.entry(format!("k{index}").as_bytes(), b"v"));
    assert_eq!(shop.try_ask(&wide), Err(InvalidRequest::TooManyEntries { descriptor: 0, given: 17 }));
    let long = ask("user=u").entry(&[b'k'; 65], b"v");
    assert_eq!(shop.try_ask(&long), Err(InvalidRequest::LongKey { descriptor: 0, entry: 1, bytes: 65 }));
}

#[test]
fn any_bytes_count() {
    let shop = shop();
    let long = vec![b'x'; 50_000];
    for value in [&b"\xff\xfe"[..], b"\0", b"{}", b"_", b"%00", b"\n", &long] {
        let login = ask("limit=login").entry(b"email", value);
        assert_eq!(shop.passes(&login, 3), 2, "{} bytes", value.len());
        let path = [b"/", value].concat();
        let call = ask("method=POST").entry(b"path", &path).entry(b"user", value);
        assert_eq!(shop.passes(&call, 101), 100, "{} bytes", value.len());
    }
}

#[test]
fn headers_are_sent_as_the_domain_says() {
    let with = |headers: &str| {
        let document = format!("domains: {{d: {{headers: {headers}, limits: {{l: 1/1m per all}}}}}}");
        let tollgate = Embedded::new(&document);
        let ask = Ask::new("d", "limit=l");
        (tollgate.ask(&ask), tollgate.ask(&ask))
    };
    let (passed, refused) = with("{reset: epoch}");
    let noon = NOON.0 / 1_000_000;
    assert_eq!(
        header(&passed, "X-RateLimit-Reset").as_deref(),
        Some((noon + 62).to_string().as_str()),
        "one cell late"
    );
    assert_eq!(header(&refused, "X-RateLimit-Reset").as_deref(), Some((noon + 62).to_string().as_str()));
    let (passed, refused) = with("refused");
    assert!(passed.headers.is_empty());
    assert_eq!(header(&refused, "X-RateLimit-Reset").as_deref(), Some("62"));
    let (passed, refused) = with("off");
    assert!(passed.headers.is_empty());
    let names: Vec<&str> = refused.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["Content-Type"]);
    let (passed, _) = with("{ietf: true}");
    assert_eq!(header(&passed, "RateLimit-Policy").as_deref(), Some(r#""l";q=1;w=60"#));
    assert_eq!(header(&passed, "RateLimit").as_deref(), Some(r#""l";r=0;t=62"#));
    let (passed, refused) = with(r#"{standings: true, body: '{"code":"{limit}","in":{retry_after}}'}"#);
    assert_eq!(refused.body.as_deref(), Some(r#"{"code":"l","in":62}"#));
    assert!(passed.metadata.is_some());
}

#[test]
fn a_server_on_trial_counts_and_lets_pass() {
    let settings = EngineSettings { enforcement: Enforcement::Shadow, ..EngineSettings::default() };
    let shop = Embedded::with(SHOP, settings);
    let login = ask("limit=login email=e");
    assert_eq!(shop.passes(&login, 5), 5);
    let shown = shop.ask(&login);
    assert_eq!((shown.code, shown.statuses[0].code, shown.body), (Code::Ok, Code::OverLimit, None));
    shop.ask(&ask("path=/session user=u"));
    let every = shop.ask(&ask("route=none user=u").hits(0));
    assert_eq!(every.statuses[0].remaining, 99, "without its subject a call counts as well");
}

#[test]
fn a_server_that_is_switched_off_lets_everything_pass() {
    let settings = EngineSettings { switch: Switch::Off, ..EngineSettings::default() };
    let shop = Embedded::with(SHOP, settings);
    assert_eq!(shop.passes(&ask("limit=login email=e"), 50), 50);
    assert_eq!(shop.passes(&ask("limit=month ip=1.1.1.1"), 1), 1);
}

#[test]
fn hits_of_the_call_weigh_every_descriptor_that_has_none() {
    let shop = shop();
    let call = ask("limit=loose user=a").and("limit=loose user=b").hits(1).call_hits(3);
    assert_eq!(shop.ask(&call).code, Code::Ok);
    let left = |user: &str| shop.ask(&ask(&format!("limit=loose user={user}")).hits(0)).statuses[0].remaining;
    assert_eq!((left("a"), left("b")), (0, 2));
}

#[test]
fn a_month_begins_where_the_file_or_the_entry_says() {
    let tollgate = Embedded::new(
        "domains: {d: {per: user, limits: {
             month: 1/month, anchored: {limit: 1/month, anchor: 15}, year: 1/year, week: 1/week}}}",
    );
    let day = |days: u64| Some((days * 86_400 + 12 * 3_600).to_string());
    let wait = |entries: &str| {
        let ask = Ask::new("d", &format!("user=u limit={entries}"));
        assert_eq!(tollgate.passes(&ask, 2), 1, "{entries}");
        header(&tollgate.ask(&ask), "Retry-After")
    };
    // It is noon of Saturday, the 21st of November.
    assert_eq!(wait("month"), day(9));
    assert_eq!(wait("anchored"), day(23), "the 15th of December");
    assert_eq!(wait("anchored anchor=22"), day(0), "the entry beats the file");
    assert_eq!(wait("month anchor=21"), day(29), "begun today");
    assert_eq!(wait("month anchor=31"), day(8), "November has 30 days");
    assert_eq!(wait("year anchor=10"), day(49));
    assert_eq!(wait("week anchor=3"), day(1), "weeks have no anchor");
    for other in ["", "0", "32", "1.5", "-1", "%FF", "first", "256"] {
        let ask = Ask::new("d", &format!("user=u limit=month anchor={other}"));
        assert_eq!(tollgate.passes(&ask, 1), 0, "'{other}' is no day: as the file says");
    }
    let month = Ask::new("d", "user=v limit=month anchor=22");
    assert_eq!(tollgate.passes(&month, 2), 1);
    tollgate.wait(12 * 3_600 - 1);
    assert_eq!(tollgate.passes(&month, 1), 0);
    tollgate.wait(1);
    assert_eq!(tollgate.passes(&month, 2), 1);
}

#[test]
fn nobody_chooses_his_month_in_a_path() {
    let tollgate = Embedded::new(
        "domains: {d: {per: user, limits: {month: 1/month}, routes: {'GET /docks/{anchor}': month}}}",
    );
    let ask = |dock: u8| Ask::new("d", &format!("user=u method=GET path=/docks/{dock}"));
    assert_eq!((1..=31).filter(|dock| tollgate.ask(&ask(*dock)).code == Code::Ok).count(), 1);
}

#[test]
fn a_look_passes_where_the_number_is_reached_and_changes_nothing() {
    let tollgate = Embedded::new(
        "domains: {d: {per: user, limits: {
             sliding: 3/1m, fixed: 3/1m fixed, bucket: 3/1m burst 3, calendar: 3/day, held: 3 concurrent,
             total: 3 total, size: 3/request, tokens: 3 tokens/1m, money: $0.000003/day, none: 0/1m, all: -1/1m}}}",
    );
    let ask = |limit: &str, hits: u64| {
        tollgate.ask(&Ask::new("d", &format!("user=u limit={limit}")).hits(hits)).code
    };
    for limit in ["sliding", "fixed", "bucket", "calendar", "held", "total", "size", "all"] {
        assert_eq!((ask(limit, 3), ask(limit, 0), ask(limit, 0)), (Code::Ok, Code::Ok, Code::Ok), "{limit}");
    }
    for limit in ["sliding", "fixed", "bucket", "calendar", "held", "total"] {
        assert_eq!(ask(limit, 1), Code::OverLimit, "{limit}");
    }
    for limit in ["tokens", "money"] {
        assert_eq!((ask(limit, 0), ask(limit, 2), ask(limit, 0)), (Code::Ok, Code::Ok, Code::Ok), "{limit}");
        assert_eq!((ask(limit, 1), ask(limit, 0)), (Code::Ok, Code::OverLimit), "{limit}: no unit is left");
    }
    assert_eq!((ask("none", 0), ask("none", 1)), (Code::OverLimit, Code::OverLimit));
}

#[test]
fn what_is_more_than_the_whole_is_not_told_to_wait() {
    let tollgate = Embedded::new(
        "domains: {d: {per: user, limits: {
             sliding: 3/1m, fixed: 3/1m fixed, bucket: 3/1m burst 9, calendar: 3/day, held: 3 concurrent,
             total: 3 total, size: 3/request, tokens: 3 tokens/1m, money: $0.000003/day}}}",
    );
    let limits = ["sliding", "fixed", "bucket", "calendar", "held", "total", "size", "tokens", "money"];
    for (limit, most) in limits.iter().zip([3, 3, 9, 3, 3, 3, 3, 3, 3]) {
        let ask = |hits: u64| tollgate.ask(&Ask::new("d", &format!("user=u limit={limit}")).hits(hits));
        let refused = ask(most + 1);
        assert_eq!((refused.code, header(&refused, "Retry-After")), (Code::OverLimit, None), "{limit}");
        assert_eq!(ask(most).code, Code::Ok, "{limit}: exactly the whole");
    }
}

#[test]
fn what_waiting_never_helps_is_shown_before_the_longest_wait() {
    let tollgate = Embedded::new(
        "domains: {d: {per: user, limits: {year: 1/year, never: 1 total, minute: 1/1m}, routes: {all: [year, never, minute]}}}",
    );
    let call = Ask::new("d", "route=all user=u");
    assert_eq!(tollgate.passes(&call, 1), 1);
    let refused = tollgate.ask(&call);
    assert_eq!(refused.statuses[0].limit.as_ref().map(|limit| limit.name.as_str()), Some("never"));
    assert_eq!(header(&refused, "X-Tollgate-Limit").as_deref(), Some("never"));
    assert_eq!(header(&refused, "Retry-After"), None, "one of them never gives way");
    tollgate.ask(&Ask::new("d", "limit=never user=u").give_back());
    let refused = tollgate.ask(&call);
    assert_eq!(header(&refused, "X-Tollgate-Limit").as_deref(), Some("year"), "the longest wait");
    let apart = Ask::new("d", "limit=minute user=u").and("limit=year user=u");
    assert_eq!(
        header(&tollgate.ask(&apart), "X-Tollgate-Limit").as_deref(),
        Some("year"),
        "over all descriptors"
    );
    assert_eq!(
        tollgate.ask(&apart).statuses[0].limit.as_ref().map(|limit| limit.name.as_str()),
        Some("minute")
    );
}

#[test]
fn what_the_wire_cannot_hold_is_shown_as_its_largest() {
    let tollgate = Embedded::new(
        "domains: {d: {per: user, limits: {hits: 9007199254740991/1m, money: $9000000/day, cheap: $4294/day}}}",
    );
    let shown = |limit: &str| {
        let decision = tollgate.ask(&Ask::new("d", &format!("user=u limit={limit}")).hits(0));
        let status = decision.statuses[0].clone();
        let most = status.limit.map(|limit| limit.requests_per_unit);
        (most, status.remaining, header(&decision, "X-RateLimit-Limit"))
    };
    assert_eq!(shown("hits"), (Some(u32::MAX), u32::MAX, Some("9007199254740991".to_owned())));
    assert_eq!(shown("money"), (Some(u32::MAX), u32::MAX, Some("9000000000000".to_owned())), "micro-USD");
    assert_eq!(shown("cheap"), (Some(4_294_000_000), 4_294_000_000, Some("4294000000".to_owned())));
}

#[test]
fn a_number_of_the_callers_own_stands_beside_the_one_limit_of_a_route() {
    let shop = shop();
    let login = ask("method=POST path=/login email=e user=u").number(9, WireUnit::Minute, 15);
    assert_eq!(shop.passes(&login, 12), 9, "the star is no limit of the route");
    let every = shop.ask(&ask("route=none user=u").hits(0));
    assert_eq!(header(&every, "X-RateLimit-Limit").as_deref(), Some("100"), "and keeps its own number");
    let lower = ask("limit=loose user=u").number(1, WireUnit::Hour, 1);
    assert_eq!(shop.passes(&lower, 3), 1);
    assert_eq!(shop.passes(&ask("limit=loose user=u"), 3), 2, "a call without one has the limit's");
}

#[test]
fn addresses_count_by_the_prefix_that_the_domain_says() {
    for (prefix, shared, others) in
        [(48, "2001:db8:0:9::1", "2001:db8:9::1"), (128, "2001:db8::1", "2001:db8::2")]
    {
        let tollgate =
            Embedded::new(&format!("domains: {{d: {{ipv6_prefix: {prefix}, limits: {{l: 1/1h per ip}}}}}}"));
        let ask = |address: &str| Ask::new("d", "limit=l").entry(b"remote_address", address.as_bytes());
        assert_eq!(tollgate.passes(&ask("2001:db8::1"), 1), 1);
        assert_eq!(tollgate.passes(&ask(shared), 1), 0, "/{prefix}");
        assert_eq!(tollgate.passes(&ask(others), 1), 1, "/{prefix}");
    }
}

#[test]
fn giving_back_reaches_what_is_blocked_and_leaves_the_rest_alone() {
    let shop = shop();
    assert_eq!(shop.passes(&ask("limit=assets user=u tier=pro"), 5), 5);
    let back = shop.ask(&ask("method=POST path=/assets user=u tier=guest").hits(2).give_back());
    assert_eq!(back.code, Code::Ok, "deleting is never refused, not even where nothing is allowed");
    assert_eq!(shop.ask(&ask("limit=assets user=u tier=pro").hits(0)).statuses[0].remaining, 2);
    let many = ask("limit=kits user=u kit=a").and("limit=login email=e").and("limit=fixed user=u");
    assert_eq!(shop.passes(&many, 1), 1);
    let mixed = shop.ask(&ask("limit=kits user=u kit=a").give_back().and("limit=fixed user=u"));
    assert_eq!(mixed.code, Code::Ok);
    assert_eq!(shop.passes(&ask("limit=kits user=u kit=a"), 2), 1);
    assert_eq!(shop.passes(&ask("limit=fixed user=u"), 1), 0, "the other descriptor was charged");
}

#[test]
fn a_call_is_found_by_the_names_that_envoy_gives_to_what_it_sends() {
    let shop = shop();
    let star = |shop: &Embedded| shop.ask(&ask("route=none user=u").hits(0)).statuses[0].remaining;
    let sent = [
        "method=POST path=/login email=e user=u",
        ":method=POST :path=/login?next=/home email=e user=u",
        "method=POST :path=/login? email=e user=u",
    ];
    let passed: Vec<usize> = sent.iter().map(|entries| shop.passes(&ask(entries), 1)).collect();
    assert_eq!(passed, [1, 1, 0], "one route, one counter");
    for elsewhere in [
        "method=post path=/login email=e user=u",
        "path=/login email=e user=u",
        "method=POST path=/Login email=e user=u",
        "method=POST path=/login/ email=e user=u",
        "method=POST path=/%6cogin email=e user=u",
        "method=POST path=login email=e user=u",
        "route=unknown method=POST path=/login email=e user=u",
    ] {
        let before = star(&shop);
        assert_eq!(shop.passes(&ask(elsewhere), 1), 1, "{elsewhere}: bytes are exact");
        assert_eq!(star(&shop), before - 1, "{elsewhere}: still a call");
    }
    let limit = ask("limit=loose route=llm method=POST path=/login email=e user=u");
    assert_eq!(shop.ask(&limit).statuses[0].limit.as_ref().map(|limit| limit.name.as_str()), Some("loose"));
    let route = ask("route=llm method=POST path=/login email=e user=u");
    assert_eq!(shop.passes(&route, 1), 1, "the route before the path");
}

#[test]
fn the_tier_is_read_where_the_domain_says() {
    let tollgate = Embedded::new(
        "domains: {d: {per: user, tier: {from: plan, default: a}, limits: {l: 1h}, tiers: {a: {l: 1}, b: {l: 2}}}}",
    );
    let passes = |entries: &str| tollgate.passes(&Ask::new("d", entries), 3);
    assert_eq!(passes("limit=l user=u plan=b"), 2);
    assert_eq!(passes("limit=l user=v tier=b"), 1);
    assert_eq!(passes("limit=l user=w plan=c"), 1, "one that does not exist is the default");
}

#[test]
fn a_limit_is_shown_in_the_largest_unit_of_its_window_and_told_in_words() {
    for (limit, unit, multiplier, words) in [
        ("1/1s", WireUnit::Second, 1, "1 per 1 second"),
        ("1/90s", WireUnit::Second, 90, "1 per 90 second"),
        ("1/60s", WireUnit::Minute, 1, "1 per 1 minute"),
        ("1/15m fixed", WireUnit::Minute, 15, "1 per 15 minute"),
        ("1/24h", WireUnit::Day, 1, "1 per 1 day"),
        ("1/36h", WireUnit::Hour, 36, "1 per 36 hour"),
        ("1/7d", WireUnit::Week, 1, "1 per 7 day"),
        ("1/30d", WireUnit::Month, 1, "1 per 30 day"),
        ("1/366d", WireUnit::Day, 366, "1 per 366 day"),
        ("1/2m burst 1", WireUnit::Minute, 2, "1 per 2 minute"),
        ("1/day", WireUnit::Day, 1, "1 per day"),
        ("1/week", WireUnit::Week, 1, "1 per week"),
        ("1/month", WireUnit::Month, 1, "1 per month"),
        ("1/year", WireUnit::Year, 1, "1 per year"),
        ("1 concurrent", WireUnit::Unknown, 1, "1 concurrent"),
        ("1 total", WireUnit::Unknown, 1, "1 in total"),
        ("1/request", WireUnit::Unknown, 1, "at most 1 per request"),
        ("1 tokens/1m", WireUnit::Minute, 1, "1 tokens per 1 minute"),
        ("$0.000001 total", WireUnit::Unknown, 1, "$0.000001 in total"),
        ("0/1m", WireUnit::Minute, 1, "not available"),
    ] {
        let tollgate = Embedded::new(&format!("domains: {{d: {{per: user, limits: {{l: {limit}}}}}}}"));
        let refused = tollgate.ask(&Ask::new("d", "limit=l user=u").hits(2));
        let shown = refused.statuses[0].limit.clone().unwrap();
        assert_eq!((shown.unit, shown.multiplier), (unit, multiplier), "{limit}");
        let body = format!(r#"{{"error":"Rate limit exceeded: {words}"}}"#);
        assert_eq!(refused.body, Some(body.into()), "{limit}");
    }
}

#[test]
fn every_standing_is_told_where_the_domain_says_so() {
    let tollgate = Embedded::new(
        "domains: {d: {per: user, headers: {standings: true, body: '{\"in\":{retry_after}}'},
             limits: {a: 5/1m, b: 3 concurrent, c: 1 total, d: -1/1m}, routes: {all: [a, b, c, d]}}}",
    );
    let call = Ask::new("d", "route=all user=u");
    let told = |decision: &tollgate::engine::Decision| {
        let Some(Metadata::Map(standings)) = decision.metadata.as_ref().unwrap().get("standings").cloned()
        else {
            panic!("{decision:?}")
        };
        let number =
            |fields: &std::collections::BTreeMap<Box<str>, Metadata>, name: &str| match fields.get(name) {
                Some(Metadata::Number(number)) => Some(*number),
                _ => None,
            };
        let standing = |(name, standing): (&str, &Metadata)| {
            let Metadata::Map(fields) = standing else { panic!("{standing:?}") };
            let numbers = ["used", "held", "limit", "remaining"].map(|name| number(fields, name));
            (name.to_string(), numbers, fields["refused"] == Metadata::Bool(true))
        };
        standings.iter().map(|(name, fields)| standing((name, fields))).collect::<Vec<_>>()
    };
    let expected = |refused: bool| {
        let some = |numbers: [f64; 4]| numbers.map(Some);
        vec![
            ("a".to_owned(), some([1.0, 0.0, 5.0, 4.0]), false),
            ("b".to_owned(), some([0.0, 1.0, 3.0, 2.0]), false),
            ("c".to_owned(), some([1.0, 0.0, 1.0, 0.0]), refused),
            ("d".to_owned(), [Some(1.0), Some(0.0), None, None], false),
        ]
    };
    assert_eq!(told(&tollgate.ask(&call)), expected(false));
    let refused = tollgate.ask(&call);
    assert_eq!(told(&refused), expected(true), "and the refused call was charged nowhere");
    assert_eq!(refused.body.as_deref(), Some(r#"{"in":null}"#), "waiting does not help");
}

const SPENDING: &str = "
domains:
  spending:
    per: user
    limits:
      cap: $2.00/1h
      free: 100/1m
      tokens: 100 tokens/1m
      stop: {limit: $3.00, window: 1d, per: all, on_limit: trip, reset: {auto: 15m, probe: 100%}}
    routes:
      llm: [cap, stop]
      other: cap
      tools: tokens
      ping: free
";

#[test]
fn a_breaker_stops_all_spending_once_its_limit_is_reached() {
    let spending = Embedded::new(SPENDING);
    let spend = |micros| Ask::new("spending", "limit=stop user=u").hits(micros);
    let on = |route: &str| Ask::new("spending", &format!("route={route} user=v"));
    let passing = |routes: [&str; 4]| routes.map(|route| spending.passes(&on(route), 1));
    let routes = ["llm", "other", "tools", "ping"];
    assert_eq!(spending.passes(&spend(2_000_000), 1), 1);
    assert_eq!(spending.passes(&spend(3_000_001), 1), 0);
    assert_eq!(passing(routes), [1, 1, 1, 1], "an ask that is larger than all of it opens nothing");
    assert_eq!(spending.passes(&spend(1_000_000), 1), 1, "up to its number exactly");
    assert_eq!(passing(routes), [0, 0, 1, 1]);
    let stopped = spending.ask(&on("other"));
    assert_eq!(stopped.body.as_deref(), Some(r#"{"error":"Rate limit exceeded: the breaker stop is open"}"#));
    assert_eq!(header(&stopped, "X-Tollgate-Limit").as_deref(), Some("stop"));
    assert_eq!(header(&stopped, "Retry-After").as_deref(), Some("900"));
    // Its time is over, but its limit is still full: the first that asks for some of it opens it again.
    spending.wait(15 * 60);
    assert_eq!(passing(["other", "llm", "other", "ping"]), [1, 0, 0, 1]);
    spending.wait(15 * 60);
    assert_eq!(passing(["other", "tools", "other", "ping"]), [1, 1, 1, 1]);
    spending.wait(25 * 3600);
    assert_eq!(passing(["llm", "other", "llm", "ping"]), [1, 1, 1, 1]);
}

#[test]
fn an_ask_that_finds_no_room_opens_the_breaker_too() {
    let spending = Embedded::new(&SPENDING.replace("reset: {auto: 15m, probe: 100%}", "reset: manual"));
    let spend = |micros| Ask::new("spending", "limit=stop user=u").hits(micros);
    let other = Ask::new("spending", "route=other user=v");
    assert_eq!(spending.passes(&spend(2_999_999), 1), 1);
    assert_eq!(spending.passes(&other, 1), 1);
    assert_eq!(spending.passes(&spend(2), 1), 0);
    assert_eq!(spending.passes(&other, 1), 0);
    spending.wait(300 * 86_400);
    assert_eq!(spending.passes(&other, 1), 0, "until somebody closes it");
}

#[test]
fn a_breaker_on_trial_stops_nothing() {
    let spending = Embedded::new(&SPENDING.replace("on_limit: trip", "on_limit: trip, shadow: true"));
    let spend = Ask::new("spending", "limit=stop user=u").hits(3_000_000);
    assert_eq!(spending.passes(&spend, 2), 2);
    assert_eq!(spending.passes(&Ask::new("spending", "route=other user=v"), 1), 1);
}

/// What a call is told that tokens and money refuse because the store is gone.
async fn told_without_a_store(headers: &str, entries: &str) -> Decision {
    let rules = rules(&format!("{SHOP}    headers: {headers}\n"));
    let engine = Engine::new(LimitsHandle::new(rules), Gone::default(), EngineSettings::default());
    Arc::new(engine).check(ask(entries).request()).await.unwrap()
}

#[tokio::test]
async fn a_pass_for_want_of_the_store_says_nothing_that_nobody_knows() {
    let headers = "{ietf: true, standings: true}";
    for entries in ["limit=streams user=u", "limit=assets user=u"] {
        let passed = told_without_a_store(headers, entries).await;
        assert_eq!((passed.code, passed.body.as_deref()), (Code::Ok, None), "{entries}");
        let told: Vec<_> = passed.headers.iter().map(|header| &*header.name).collect();
        assert_eq!(told, ["X-RateLimit-Limit", "RateLimit-Policy"], "{entries}: what remains is not known");
        assert_eq!(passed.statuses[..], [DescriptorStatus::UNLIMITED], "{entries}");
        let standings = format!("{:?}", passed.metadata);
        assert!(!["\"remaining\"", "\"used\""].iter().any(|known| standings.contains(known)), "{standings}");
    }
    let size = told_without_a_store(headers, "limit=bulk user=u").await;
    assert!(header(&size, "X-RateLimit-Remaining").is_some(), "no store is needed for that");
}

#[tokio::test]
async fn a_pass_for_want_of_a_place_says_nothing_that_nobody_knows() {
    let store = MemoryStore::new(MemorySettings { max_keys: 2 }, Clock::manual(NOON), KeySecret([7; 16]));
    let limits = LimitsHandle::new(rules(&format!("{SHOP}    headers: {{standings: true}}\n")));
    let engine = Arc::new(Engine::new(limits.clone(), store, EngineSettings::default()));
    let told = async |ask: Ask| engine.check(ask.request()).await.unwrap();
    let remaining = |decision: &Decision| header(decision, "X-RateLimit-Remaining");
    for user in ["u", "v"] {
        let counted = told(ask(&format!("limit=assets user={user}"))).await;
        assert_eq!(remaining(&counted).as_deref(), Some("1"), "{user}");
    }
    let newcomer = ask("limit=assets user=w");
    for alone_or_not in [newcomer.clone(), newcomer.clone().and("limit=assets user=x")] {
        let passed = told(alone_or_not).await;
        assert_eq!((passed.code, remaining(&passed)), (Code::Ok, None));
        assert!(passed.statuses.iter().all(|status| *status == DescriptorStatus::UNLIMITED));
    }
    let back = told(newcomer.give_back()).await;
    assert_eq!(remaining(&back).as_deref(), Some("2"), "nothing has to be kept to have nothing");
    let beside = told(ask("limit=assets user=u").and("limit=assets user=w")).await;
    assert_eq!(remaining(&beside).as_deref(), Some("0"), "what is known is told");
    assert_eq!(beside.statuses[1], DescriptorStatus::UNLIMITED);
    let refused = told(ask("limit=money user=w")).await;
    assert_eq!((refused.code, remaining(&refused)), (Code::OverLimit, None));
    let rules = limits.load();
    let money = &rules.tallies()[&TallyLabels { domain: "shop", limit: "money", tier: "free" }];
    assert_eq!(money.iter().map(|tally| tally.of(Tallied::Unchecked)).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_refusal_for_want_of_the_store_is_counted_apart() {
    let limits = LimitsHandle::new(rules(SHOP));
    let engine = Arc::new(Engine::new(limits.clone(), Gone::default(), EngineSettings::default()));
    for entries in
        ["limit=money user=u", "limit=money user=u", "limit=month ip=1.2.3.4", "limit=assets user=u"]
    {
        engine.check(ask(entries).request()).await.unwrap();
    }
    let rules = limits.load();
    let tallied = |limit, tier| {
        let tallies = &rules.tallies()[&TallyLabels { domain: "shop", limit, tier }];
        Tallied::ALL.map(|what| tallies.iter().map(|tally| tally.of(what)).sum::<u64>())
    };
    assert_eq!(tallied("money", "free"), [0, 0, 0, 2]);
    assert_eq!(tallied("month", "guest"), [0, 1, 0, 0], "no store is needed for that");
    assert_eq!(tallied("assets", "free"), [1, 0, 0, 0]);
}

#[tokio::test]
async fn a_refusal_for_want_of_the_store_says_nothing_that_nobody_knows() {
    let headers = "{ietf: true, standings: true}";
    let unchecked = told_without_a_store(headers, "limit=money user=u").await;
    let body = r#"{"error":"Rate limit cannot be checked: $1.00 per day"}"#;
    assert_eq!((unchecked.code, unchecked.body.as_deref()), (Code::OverLimit, Some(body)));
    let told: Vec<_> = unchecked.headers.iter().map(|header| &*header.name).collect();
    let known = ["X-RateLimit-Limit", "RateLimit-Policy", "Retry-After", "X-Tollgate-Limit", "Content-Type"];
    assert_eq!(told, known, "what remains is not known");
    let standings = format!("{:?}", unchecked.metadata);
    assert!(!["\"remaining\"", "\"used\""].iter().any(|known| standings.contains(known)), "{standings}");
    let own = told_without_a_store("{body: 'Too much: {what}'}", "limit=money user=u").await;
    assert_eq!(own.body.as_deref(), Some("Too much: $1.00 per day cannot be checked now"));
    for (entries, what) in [
        ("method=POST path=/bulk user=u", None),
        ("limit=session user=u", Some("Rate limit exceeded: session needs session")),
        ("limit=month ip=1.2.3.4", Some("Rate limit exceeded: not available on tier guest")),
    ] {
        let decided = told_without_a_store(headers, entries).await;
        let body = what.map(|what| format!(r#"{{"error":"{what}"}}"#));
        assert_eq!(decided.body.as_deref(), body.as_deref(), "{entries}: no store is needed for that");
    }
}
