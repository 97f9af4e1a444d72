//! Which usage events are told to whoever asks for some: by subject, by time, page by page, and summed up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tollgate::clock::Micros;
use tollgate::config::source::{SameDomain, Source, compile};
use tollgate::engine::{Inspect, InvalidUsageQuery};

use crate::usage::{Bench, RULES, of};

#[tokio::test]
async fn whoever_asks_for_a_subject_brings_its_value() {
    let bench = Bench::new();
    for (user, session) in [("alice", "1"), ("alice", "2"), ("bob", "1")] {
        bench.call(&[("limit", "month"), ("user", user), ("session", session)], 11).await;
    }
    for (address, tokens) in [("2001:db8:0:100::1", 101), ("10.0.0.7", 101), ("10.0.0.8", 1)] {
        bench.call(&[("limit", "quota"), ("remote_address", address)], tokens).await;
    }
    for (subject, count) in [
        ("user=alice", 2),
        ("session=1", 2),
        ("user=carol", 0),
        ("ip=2001:db8:0:1ff::2", 1),
        ("ip=2001:db8:0:200::2", 0),
        ("ip=10.0.0.7", 1),
        ("ip=10.0.0.8", 1),
        ("ip=10.0.0.9", 0),
    ] {
        assert_eq!(bench.usage(&[("subject", subject)]).await.len(), count, "{subject}");
    }
    assert_eq!(bench.usage(&[("subject", "user=alice"), ("domain", "other")]).await.len(), 0);
}

#[tokio::test]
async fn a_key_by_which_nothing_is_written_down_is_told_unless_there_was_something() {
    let bench = Bench::new();
    bench.call(&[("limit", "quota"), ("ip", "10.0.0.7")], 101).await;
    for number in 0..1_200 {
        bench.spend(number, "shop", 1, 1).await;
    }
    let slip = async |bench: &Bench, asked| {
        let mut query = bench.asked(asked).unwrap();
        loop {
            match bench.engine.read_usage(query).await {
                Ok(Some((lines, rest))) if lines.is_empty() => query = rest,
                Ok(_) => return None,
                Err(error) => return Some(error.to_string()),
            }
        }
    };
    let text = |keys| Some(format!("subject: nothing is written down by {keys}"));
    assert_eq!(slip(&bench, &[("subject", "foo=a")]).await, text("'foo'; there are ip, session, user"));
    assert_eq!(slip(&bench, &[("subject", "usr=a")]).await, text("'usr'; did you mean 'user'?"));
    let summed = slip(&bench, &[("subject", "foo=a"), ("sum", "day")]).await;
    assert_eq!(summed, text("'foo'; there are ip, session, user"));
    let of_other = slip(&bench, &[("subject", "ip=10.0.0.8"), ("domain", "other")]).await;
    assert_eq!(of_other, text("'ip'; there are session, user"));
    assert_eq!(slip(&bench, &[("subject", "ip=10.0.0.8")]).await, None, "it is nobody's slip");
    // What was written down before the files changed can be asked for.
    let source = Source { name: "limits.yaml".into(), text: RULES.replace("per ip", "per user") };
    bench.engine.limits().swap(compile(&[source], SameDomain::Refuse).unwrap().rules);
    let told = bench.usage(&[("subject", "remote_address=10.0.0.7")]).await;
    assert_eq!(told.len(), 1);
    let rest = [("subject", "ip=10.0.0.7"), ("after", told[0]["id"].as_str().unwrap())];
    assert_eq!(slip(&bench, &rest).await, None, "whoever goes on has all that there is");
    assert_eq!(slip(&bench, &[("subject", "ip=10.0.0.8")]).await, text("'ip'; there are session, user"));
}

#[tokio::test]
async fn others_have_their_turn_while_a_long_trail_is_read() {
    let bench = Bench::new();
    for number in 0..1_000 {
        bench.spend(number, "shop", 1, 1).await;
    }
    for subject in ["foo=a", "user=nobody", ""] {
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = turns.clone();
        // On the same thread.
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let mut next = bench.asked(&[("subject", subject)]).ok();
        while let Some(query) = next {
            next = bench.engine.read_usage(query).await.ok().flatten().map(|(_, rest)| rest);
        }
        other.abort();
        let turns = turns.load(Ordering::Relaxed);
        assert!(turns >= 1_000 / 50, "{turns} turns beside '{subject}'");
    }
}

#[tokio::test]
async fn both_trails_are_read_in_their_order_however_long_they_are() {
    let bench = Bench::new();
    for number in 0..1300 {
        bench.clock.advance(Micros(u64::from(number % 3 == 0) * 1000));
        // Long stretches of one trail alone, too.
        if number % 700 < 600 && number % 4 > 0 {
            bench.spend(number, "shop", 1, 1).await;
        } else {
            bench.call(&[("limit", "month"), ("user", "u")], 11).await;
        }
    }
    let events = bench.usage(&[]).await;
    assert_eq!(events.len(), 1300);
    let times = of(&events, "time");
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
    let ids: std::collections::BTreeSet<&str> = of(&events, "id").into_iter().collect();
    assert_eq!(ids.len(), 1300);
    let mut read = Vec::new();
    loop {
        let last = of(&read, "id").last().copied().unwrap_or_default().to_owned();
        let page = bench.usage(&[("after", &last), ("limit", "99")]).await;
        assert!(page.len() == 99 || read.len() + page.len() == 1300);
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, events);
}

#[tokio::test]
async fn past_periods_are_summed_up_in_the_zone_of_the_file() {
    let bench = Bench::new();
    bench.spend(1, "shop", 10, 5_000_000_000).await;
    bench.call(&[("limit", "month"), ("user", "u")], 11).await;
    // 05:00 UTC is midnight in New York.
    bench.clock.advance(Micros::from_secs(3 * 3600 - 1));
    bench.spend(2, "shop", 20, 1).await;
    bench.clock.advance(Micros::from_secs(1));
    bench.spend(3, "shop", 30, 2).await;
    bench.spend(4, "other", 40, 3).await;
    let days = bench.usage(&[("sum", "day")]).await;
    assert_eq!(of(&days, "period"), ["2026-11-20", "2026-11-21", "2026-11-21"]);
    assert_eq!(of(&days, "domain"), ["shop", "other", "shop"]);
    assert_eq!(of(&days, "from"), ["2026-11-20T05:00:00Z", "2026-11-21T05:00:00Z", "2026-11-21T05:00:00Z"]);
    assert_eq!(of(&days, "usd"), ["5.000000001", "0.000000003", "0.000000002"]);
    let first = r#"{"classes":{"input":30},"domain":"shop","from":"2026-11-20T05:00:00Z","nano_usd":5000000001,"period":"2026-11-20","refusals":1,"settles":2,"to":"2026-11-21T05:00:00Z","tokens":30,"usd":"5.000000001"}"#;
    assert_eq!(days[0].to_string(), first);
    let month = bench.usage(&[("sum", "month"), ("domain", "shop"), ("from", "2026-11-21")]).await;
    assert_eq!((month.len(), &month[0]["period"], &month[0]["tokens"]), (1, &"2026-11".into(), &30.into()));
    let before = bench.usage(&[("to", "2026-11-21T00:00:00-05:00"), ("sum", "year")]).await;
    assert_eq!(of(&before, "period"), ["2026"]);
    assert_eq!(before[0]["tokens"], 30);
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_with_what_to_write() {
    let bench = Bench::new();
    for (asked, said) in [
        (("form", "x"), "'form' is no parameter; write one of domain, subject, from, to, after, limit, sum"),
        (
            ("domain", "shp"),
            "domain: there is no domain 'shp' of limits, tiers and routes; write other or shop",
        ),
        (
            ("subject", "alice"),
            "subject: 'alice' names nobody; write a key and its value, such as user=alice",
        ),
        (("subject", "=x"), "subject: '=x' names nobody; write a key and its value, such as user=alice"),
        (("from", "now"), "from: 'now' is no time; write a date such as 2026-11-01, or 2026-11-01T00:00:00Z"),
        (
            ("to", "2026-13-01"),
            "to: '2026-13-01' is no time; write a date such as 2026-11-01, or 2026-11-01T00:00:00Z",
        ),
        (("after", "1-1"), "after: '1-1' is no event; write the id of the last one that you have"),
        (("limit", "0"), "limit: '0' is no number of events; write 1 or more"),
        (("sum", "hour"), "sum: 'hour' is no period; write day, week, month or year"),
    ] {
        assert_eq!(bench.asked(&[asked]).unwrap_err().to_string(), said);
    }
    let partial = bench.asked(&[("sum", "day"), ("limit", "5")]).unwrap_err();
    assert_eq!(partial, InvalidUsageQuery::PartialSum);
}
