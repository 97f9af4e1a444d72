//! A real Envoy before the service: what its callers see, and that nothing in a call makes Envoy let it pass.

use std::io::{Read as _, Write as _};

use crate::support::envoy::Envoy;
use crate::support::http::{Answer, Call, get, post};
use crate::support::process::Tollgate;
use crate::support::upstream::Upstream;

/// Client → Envoy → upstream, with the service beside it.
struct Street {
    envoy: Envoy,
    service: Tollgate,
    upstream: Upstream,
}

impl Street {
    fn of(files: &[&str]) -> Self {
        let service = Tollgate::start(files);
        let upstream = Upstream::start();
        let envoy = Envoy::start(service.grpc(), upstream.address);
        Self { envoy, service, upstream }
    }

    fn edge() -> Self {
        Self::of(&["tests/data/edge.yaml"])
    }

    fn products() -> Self {
        Self::of(&["tests/data/products.yaml"])
    }

    /// Sends `count` calls one after the other.
    fn statuses(&self, count: usize, call: impl Fn() -> Call) -> Vec<u16> {
        (0..count).map(|_| call().send(self.envoy.open).status).collect()
    }

    /// Waits until the service has answered `count` calls: Envoy does not wait for those at a stream's end.
    fn settled(&self, count: u64) {
        self.asked("service", count);
    }

    /// Waits until the cluster of this name, in Envoy's words, has answered `count` calls.
    fn asked(&self, cluster: &str, count: u64) {
        let name = format!("cluster.{cluster}.upstream_rq_completed");
        for _ in 0..1_000 {
            if self.envoy.stat(&name) >= count {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the service did not answer {count} calls");
    }
}

impl Drop for Street {
    /// No call of any test was let pass because the service answered with an error.
    fn drop(&mut self) {
        if !std::thread::panicking() && self.service.is_running() {
            assert_eq!(self.envoy.errors(), [0, 0], "errors and calls allowed for that reason");
        }
    }
}

fn number(answer: &Answer, name: &str) -> u64 {
    let value = answer.header(name).unwrap_or_else(|| panic!("no {name} in {answer:?}"));
    value.parse().unwrap_or_else(|_| panic!("{name}: {value}"))
}

#[test]
fn answers_carry_our_headers_and_refusals_say_when_to_come_back() {
    let street = Street::edge();
    for left in (0..5).rev() {
        let answer = post("/login").header("x-client", "a").send(street.envoy.open);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{answer:?}");
        assert_eq!(
            (number(&answer, "x-ratelimit-limit"), number(&answer, "x-ratelimit-remaining")),
            (5, left)
        );
        assert!((1..=918).contains(&number(&answer, "x-ratelimit-reset")), "{answer:?}");
        assert_eq!(answer.header("retry-after"), None);
        assert_eq!(answer.header("x-envoy-ratelimited"), None);
    }
    let answer = post("/login").header("x-client", "a").send(street.envoy.open);
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.body, r#"{"error":"Rate limit exceeded: 5 per 15 minute"}"#);
    assert_eq!((number(&answer, "x-ratelimit-limit"), number(&answer, "x-ratelimit-remaining")), (5, 0));
    assert!((1..=918).contains(&number(&answer, "retry-after")), "{answer:?}");
    assert!((1..=918).contains(&number(&answer, "x-ratelimit-reset")), "{answer:?}");
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(answer.header("x-tollgate-limit").as_deref(), Some("login"));
    assert_eq!(answer.header("x-envoy-ratelimited").as_deref(), Some("true"));
    assert_eq!(street.upstream.served(), 5);
    assert_eq!(street.envoy.stat("cluster.upstream.ratelimit.ok"), 5);
    assert_eq!(street.envoy.stat("cluster.upstream.ratelimit.over_limit"), 1);
}

#[test]
fn our_headers_stand_beside_those_that_envoy_writes() {
    let street = Street::edge();
    let answer = post("/login").header("x-client", "a").send(street.envoy.draft);
    assert_eq!(answer.status, 200);
    // Ours first, then Envoy's: the limit again, and the policy with its window in seconds.
    assert_eq!(answer.header("x-ratelimit-limit").as_deref(), Some(r#"5, 5, 5;w=900;name="login""#));
    assert_eq!(answer.header("x-ratelimit-remaining").as_deref(), Some("4, 4"));
    let call = || post("/login").header("x-client", "a").send(street.envoy.draft);
    assert_eq!([call().status, call().status, call().status, call().status], [200; 4]);
    let refused = call();
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.header("x-ratelimit-limit").as_deref(), Some(r#"5, 5, 5;w=900;name="login""#));
    assert_eq!(refused.header("x-ratelimit-remaining").as_deref(), Some("0, 0"));
    assert!((1..=918).contains(&number(&refused, "retry-after")), "{refused:?}");
}

#[test]
fn hits_come_from_the_descriptor_the_call_or_metadata() {
    let street = Street::edge();
    // Each descriptor has its own: 4 of ten and 7 of a hundred, until ten has no room for four more.
    let call = || get("/hits").header("x-client", "per-descriptor");
    assert_eq!(street.statuses(3, call), [200, 200, 429]);
    // The call's own number, from filter state.
    let call = |hits| get("/call-hits").header("x-client", "per-call").header("x-hits", hits);
    assert_eq!(street.statuses(1, || call("9")), [200]);
    assert_eq!(street.statuses(1, || call("2")), [429]);
    assert_eq!(street.statuses(1, || call("1")), [200]);
    // A number that a filter put into dynamic metadata; 1 where there is none.
    let call = |cost| get("/cost").header("x-client", "metadata").header("x-cost", cost);
    assert_eq!(street.statuses(3, || call("5")), [200, 200, 429]);
    let call = || get("/cost").header("x-client", "no-metadata");
    assert_eq!(street.statuses(11, call), [[200; 10].as_slice(), &[429]].concat());
}

#[test]
fn a_limit_sent_with_the_descriptor_replaces_the_number() {
    let street = Street::edge();
    let call = || get("/override").header("x-client", "a");
    assert_eq!(street.statuses(5, call), [200, 200, 200, 200, 429]);
}

#[test]
fn negative_hits_give_back() {
    let street = Street::edge();
    let call = |path| get(path).header("x-client", "a");
    assert_eq!(street.statuses(3, || call("/seats/take")), [200, 200, 429]);
    assert_eq!(street.statuses(1, || call("/seats/give")), [200]);
    assert_eq!(street.statuses(2, || call("/seats/take")), [200, 429]);
}

#[test]
fn tokens_are_charged_when_the_stream_is_done() {
    let street = Street::edge();
    let call = |tokens| {
        get("/llm").header("x-client", "a").header("x-answer-tokens-used", tokens).send(street.envoy.open)
    };
    assert_eq!(call("600").status, 200);
    street.settled(2);
    let second = call("400");
    assert_eq!((second.status, number(&second, "x-ratelimit-remaining")), (200, 400), "{second:?}");
    street.settled(4);
    let third = call("1");
    assert_eq!((third.status, street.upstream.served()), (429, 2), "{third:?}");
    assert_eq!(third.body, r#"{"error":"Rate limit exceeded: 1000 tokens per 1 hour"}"#);
}

#[test]
fn a_websocket_is_counted_when_it_opens() {
    let street = Street::edge();
    let call = || get("/socket").header("x-client", "a").upgrade(street.envoy.open);
    for _ in 0..2 {
        let mut socket = call().expect("switched to WebSocket");
        socket.write_all(b"\x81\x02hi").expect("send a frame");
        let mut frame = [0; 4];
        socket.read_exact(&mut frame).expect("the frame comes back");
        assert_eq!(&frame, b"\x81\x02hi");
    }
    let refused = call().expect_err("a third is too many");
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(street.upstream.served(), 2);
}

#[test]
fn a_service_that_is_down_opens_or_closes_the_way() {
    let mut street = Street::edge();
    assert_eq!(get("/page").header("x-client", "a").send(street.envoy.closed).status, 200);
    street.service.kill();
    let passed = get("/page").header("x-client", "a").send(street.envoy.open);
    assert_eq!((passed.status, passed.header("x-ratelimit-limit")), (200, None));
    assert_eq!(street.envoy.errors(), [1, 1]);
    assert_eq!(get("/page").header("x-client", "a").send(street.envoy.closed).status, 503);
    assert_eq!(street.envoy.errors(), [2, 1]);
    assert_eq!(street.upstream.served(), 2);
}

#[test]
fn a_refusal_without_envoys_own_header_is_still_ours() {
    let street = Street::edge();
    let call = || get("/page").header("x-client", "a").send(street.envoy.closed);
    assert_eq!([call().status, call().status, call().status], [200; 3]);
    let refused = call();
    assert_eq!((refused.status, refused.header("x-envoy-ratelimited")), (429, None));
    assert_eq!(refused.header("x-tollgate-limit").as_deref(), Some("page"));
}

/// Values that decoders, templates and key builders stumble over.
fn strange() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> =
        ["%00", "{}", "{name}", "_", "__", "%", "*", "\"\\", "a_b", "%ff%fe", "${x}", "%REQ(x)%"]
            .into_iter()
            .map(|value| value.as_bytes().to_vec())
            .collect();
    values.push(vec![b'x'; 50_000]);
    values
}

#[test]
fn strange_paths_are_counted_and_refused_like_any_other() {
    let street = Street::edge();
    for (index, value) in strange().into_iter().enumerate() {
        let client = format!("client-{index}");
        for place in ["/tree/", "/names/", "/thing/"] {
            let path = [place.as_bytes(), &value].concat();
            let call = || get(&path).header("x-client", &client);
            assert_eq!(
                street.statuses(4, call),
                [200, 200, 200, 429],
                "{place} {}",
                String::from_utf8_lossy(&value)
            );
        }
    }
}

#[test]
fn a_masked_address_counts_by_the_prefix_of_the_domain() {
    let street = Street::edge();
    let addresses =
        ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8:0:1::1", "203.0.113.1"];
    let status =
        |address: &&str| get("/masked").header("x-forwarded-for", *address).send(street.envoy.open).status;
    let statuses: Vec<u16> = addresses.iter().map(status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 200, 200]);
}

#[test]
fn bytes_that_are_not_text_are_counted_and_refused_like_any_other() {
    let street = Street::edge();
    let values: [&[u8]; 5] = [b"\xff\xfe", b"\x80", b"caf\xe9", b"\xc3\x28", b"\xed\xa0\x80"];
    for value in values {
        let call = || get("/page").header("x-client", value);
        assert_eq!(street.statuses(4, call), [200, 200, 200, 429], "{value:?}");
    }
    // They are different subjects, and none is what a decoder makes of them.
    let call = || get("/page").header("x-client", "\u{fffd}");
    assert_eq!(street.statuses(1, call), [200]);
}

#[test]
fn nothing_strange_passes_a_domain_of_the_reference_format() {
    let street = Street::of(&["tests/data/legacy.yaml"]);
    let user = |value: &[u8], n: usize| get(format!("/user/{n}")).host("legacy.test").header("x-user", value);
    let mut calls = 0;
    let mut values = strange();
    values.extend([b"\xff\xfe".to_vec(), b"caf\xe9".to_vec()]);
    for value in values {
        for expected in [200, 200, 200, 429] {
            calls += 1;
            let answer = user(&value, calls).send(street.envoy.open);
            assert_eq!(answer.status, expected, "{}", String::from_utf8_lossy(&value[..value.len().min(40)]));
        }
    }
    for value in strange() {
        let path = [b"/path/".as_slice(), &value].concat();
        for expected in [200, 200, 200, 429] {
            calls += 1;
            let user = format!("user-{calls}");
            let answer = get(&path).host("legacy.test").header("x-user", user).send(street.envoy.open);
            assert_eq!(answer.status, expected, "{}", String::from_utf8_lossy(&value[..value.len().min(40)]));
        }
    }
}

#[test]
fn agent_chat_takes_ten_a_minute() {
    let street = Street::products();
    let call = || post("/agent/chat").host("vaultmind.test").header("x-user", "ada");
    assert_eq!(street.statuses(10, call), [200; 10]);
    let refused = call().send(street.envoy.open);
    assert_eq!(refused.status, 429);
    assert_eq!(refused.body, r#"{"error":"Rate limit exceeded: 10 per 1 minute"}"#);
    assert_eq!(refused.header("x-tollgate-limit").as_deref(), Some("chat"));
    // Another user, and the same one with a larger tier, have room of their own.
    let other = || post("/agent/chat").host("vaultmind.test").header("x-user", "bob");
    assert_eq!(street.statuses(1, other), [200]);
    let larger =
        || post("/agent/chat").host("vaultmind.test").header("x-user", "ada").header("x-tier", "pro");
    assert_eq!(street.statuses(1, larger), [200]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "Envoy refills its bucket by wall time")]
fn the_edge_lets_a_burst_through_and_then_its_rate() {
    let street = Street::products();
    let started = std::time::Instant::now();
    let answers: Vec<Answer> = (0..300)
        .map(|n| {
            post("/agent/chat")
                .host("vaultmind.test")
                .header("x-user", format!("user-{n}"))
                .send(street.envoy.open)
        })
        .collect();
    let tenths = usize::try_from(started.elapsed().as_millis() / 100).expect("a short test");
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((21..=22 + tenths).contains(&passed), "{passed} passed in {tenths} tenths of a second");
    assert!(answers[..21].iter().all(|answer| answer.status == 200));
    let refused = answers.iter().find(|answer| answer.status == 429).expect("some come too fast");
    assert_eq!(refused.body, r#"{"error":"Rate limit exceeded: 10 per 1 second"}"#);
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    assert_eq!(refused.header("x-tollgate-limit").as_deref(), Some("agent_edge"));
}

#[test]
fn a_voice_session_takes_five_a_minute_websockets_included() {
    let street = Street::products();
    let call = || get("/session").host("ducke.test").header("x-forwarded-for", "203.0.113.5");
    assert_eq!(street.statuses(10, call), [[200; 5], [429; 5]].concat());
    let opened = || get("/session").host("ducke.test").header("x-forwarded-for", "203.0.113.6");
    let outcomes: Vec<bool> = (0..10).map(|_| opened().upgrade(street.envoy.open).is_ok()).collect();
    assert_eq!(outcomes, [[true; 5], [false; 5]].concat());
}

#[test]
fn a_login_without_an_email_counts_by_address() {
    let street = Street::products();
    for address in ["203.0.113.1", "203.0.113.2", "2001:db8::1"] {
        let call = || post("/auth/login").host("aurastream.test").header("x-forwarded-for", address);
        assert_eq!(street.statuses(6, call), [200, 200, 200, 200, 200, 429], "{address}");
    }
    // With an email, the address does not matter.
    let mut statuses = Vec::new();
    for n in 10..16 {
        let call = post("/auth/login").host("aurastream.test").header("x-email", "ada@example.org");
        let address = format!("203.0.113.{n}");
        statuses.push(call.header("x-forwarded-for", address).send(street.envoy.open).status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
}

#[test]
fn a_platform_limits_each_kind_of_work() {
    let street = Street::products();
    let call =
        || post("/v1").host("blueprint.test").header("x-user", "ada").header("x-route", "recommendation");
    assert_eq!(street.statuses(6, call), [200, 200, 200, 200, 200, 429]);
    let call = || post("/v1").host("blueprint.test").header("x-user", "ada").header("x-route", "llm");
    assert_eq!(street.statuses(11, call), [[200; 10].as_slice(), &[429]].concat());
}

#[test]
fn the_example_gives_a_slot_back_when_a_call_ends_but_not_for_a_refused_one() {
    let service = Tollgate::start(&["examples/tollgate.yaml"]);
    let upstream = Upstream::start();
    let envoy = Envoy::example(service.grpc(), upstream.address);
    let street = Street { envoy, service, upstream };
    let slot = |ends: bool| {
        let entries = r#"[{"key": "limit", "value": "streams"}, {"key": "user", "value": "ada"}]"#;
        let body = format!(
            r#"{{"domain": "shop", "descriptors": [{{"entries": {entries}, "isNegativeHits": {ends}}}]}}"#
        );
        assert_eq!(post("/json").body(body).send(street.service.http()).status, 200);
    };
    let call = || get("/events/stream").header("x-user", "ada").send(street.envoy.open).status;

    let mut asked = 0;
    let mut expect = |status: u16| {
        assert_eq!(call(), status);
        asked += 2; // before the call, and at its end
        street.asked("tollgate", asked);
    };
    // One after the other, each gives back what it took.
    (0..4).for_each(|_| expect(200));
    slot(false);
    slot(false);
    // Others hold both slots: refused calls leave them to them.
    (0..3).for_each(|_| expect(429));
    slot(true);
    expect(200);
    assert_eq!(street.upstream.served(), 5);
}
