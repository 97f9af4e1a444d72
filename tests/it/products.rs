//! Four products in one file: every number, every window and every route of it, by the clock of the test.

use tollgate::engine::{Code, Decision};
use tollgate::limits::WireUnit;

use crate::support::embedded::{Ask, Embedded, header};

const PRODUCTS: &str = include_str!("../data/products.yaml");

/// Somebody of whom everything is known, so that every limit has its own subject.
const SOMEBODY: &str = "user=u ip=192.0.2.1 email=e@example.org session=s kit=k";

fn named(domain: &str, limit: &str, tier: &str) -> Ask {
    Ask::new(domain, &format!("limit={limit} tier={tier} {SOMEBODY}"))
}

fn what(decision: &Decision) -> &str {
    let body = decision.body.as_deref().expect("a refusal has a body");
    body.strip_prefix(r#"{"error":"Rate limit exceeded: "#)
        .and_then(|rest| rest.strip_suffix(r#""}"#))
        .expect("body")
}

/// -1 is unlimited. Columns: anonymous, free, pro, studio, unlimited.
const AURASTREAM: [(&str, [i64; 5]); 27] = [
    ("login", [5, 5, 5, 5, 5]),
    ("signup", [10, 10, 10, 10, 10]),
    ("password_reset", [3, 3, 3, 3, 3]),
    ("token_refresh", [30, 30, 30, 30, 30]),
    ("checkout", [10, 10, 10, 10, -1]),
    ("coach_starts_per_hour", [20, 20, 20, 20, -1]),
    ("api_requests_per_minute", [30, 60, 240, 500, -1]),
    ("monthly_creations", [0, 3, 50, 100, -1]),
    ("monthly_refinements", [0, 0, 5, -1, -1]),
    ("monthly_vibe_branding", [0, 1, 10, 10, -1]),
    ("monthly_aura_lab", [0, 2, 25, 25, -1]),
    ("monthly_coach_sessions", [0, 1, -1, -1, -1]),
    ("monthly_profile_creator", [0, 1, 5, 10, -1]),
    ("monthly_twitch_packs", [0, 1, 5, 5, -1]),
    ("monthly_playbook", [0, 0, 0, -1, -1]),
    ("aura_subjects_per_day", [0, 5, 20, 20, -1]),
    ("coach_messages_per_minute", [0, 10, 30, 30, -1]),
    ("profile_messages_per_minute", [0, 10, 30, 30, -1]),
    ("logo_previews_per_hour", [0, 20, 100, 100, -1]),
    ("intel_requests_per_hour", [0, 100, 500, 500, -1]),
    ("thumbnail_intel_per_hour", [0, 50, 200, 200, -1]),
    ("clip_radar_per_hour", [0, 50, 200, 200, -1]),
    ("concurrent_streams", [0, 10, 50, 50, -1]),
    ("max_brand_kits", [0, 3, 10, 10, -1]),
    ("max_logos_per_kit", [0, 5, 20, 20, -1]),
    ("max_media_assets", [0, 50, 500, 500, -1]),
    ("max_face_assets", [0, 5, 20, 20, -1]),
];

/// Where each window's refusal sends the caller, and for how long nothing comes back.
const WORDS: [(&str, &str, &str, u64); 45] = [
    ("aurastream", "login", "5 per 15 minute", 900),
    ("aurastream", "signup", "10 per 1 hour", 3_600),
    ("aurastream", "password_reset", "3 per 1 hour", 3_600),
    ("aurastream", "token_refresh", "30 per 1 minute", 60),
    ("aurastream", "checkout", "10 per 1 hour", 3_600),
    ("aurastream", "coach_starts_per_hour", "20 per 1 hour", 3_600),
    ("aurastream", "api_requests_per_minute", "240 per 1 minute", 60),
    ("aurastream", "monthly_creations", "50 per month", MONTH),
    ("aurastream", "monthly_refinements", "5 per month", MONTH),
    ("aurastream", "monthly_vibe_branding", "10 per month", MONTH),
    ("aurastream", "monthly_aura_lab", "25 per month", MONTH),
    ("aurastream", "monthly_profile_creator", "5 per month", MONTH),
    ("aurastream", "monthly_twitch_packs", "5 per month", MONTH),
    ("aurastream", "aura_subjects_per_day", "20 per day", DAY),
    ("aurastream", "coach_messages_per_minute", "30 per 1 minute", 60),
    ("aurastream", "profile_messages_per_minute", "30 per 1 minute", 60),
    ("aurastream", "logo_previews_per_hour", "100 per 1 hour", 3_600),
    ("aurastream", "intel_requests_per_hour", "500 per 1 hour", 3_600),
    ("aurastream", "thumbnail_intel_per_hour", "200 per 1 hour", 3_600),
    ("aurastream", "clip_radar_per_hour", "200 per 1 hour", 3_600),
    ("aurastream", "concurrent_streams", "50 concurrent", 900),
    ("aurastream", "max_brand_kits", "10 in total", NEVER),
    ("aurastream", "max_logos_per_kit", "20 in total", NEVER),
    ("aurastream", "max_media_assets", "500 in total", NEVER),
    ("aurastream", "max_face_assets", "20 in total", NEVER),
    ("vaultmind", "health", "100 per 1 minute", 60),
    ("vaultmind", "chat", "100 per 1 minute", 60),
    ("vaultmind", "calendar", "20 per 1 minute", 60),
    ("vaultmind", "audit_logs", "30 per 1 minute", 60),
    ("vaultmind", "chat_cost", "$20.00 per day", DAY),
    ("blueprint", "general", "60 per 1 minute", 60),
    ("blueprint", "llm", "10 per 1 minute", 60),
    ("blueprint", "recommend", "5 per 1 minute", 60),
    ("blueprint", "blueprints", "5 per 1 minute", 60),
    ("blueprint", "address", "300 per 1 minute", 60),
    ("blueprint", "llm_month", "2000000 tokens per month", MONTH),
    ("blueprint", "spend", "$2000.00 per month", MONTH),
    ("ducke", "status", "60 per 1 minute", 60),
    ("ducke", "index", "30 per 1 minute", 60),
    ("ducke", "connect", "5 per 1 minute", 60),
    ("ducke", "weather", "10 per 1 hour", 3_600),
    ("ducke", "search", "5 per 1 hour", 3_600),
    ("ducke", "session_time", "1 concurrent", 1_800),
    ("ducke", "session_cost", "$5.00 in total", NEVER),
    ("ducke", "hourly_cost", "$50.00 per 1 hour", 3_600),
];

/// From the test's noon to midnight, and to the first of December.
const DAY: u64 = 12 * 3_600;
const MONTH: u64 = 9 * 86_400 + DAY;
const NEVER: u64 = 0;

/// What a call touches. The first word is the method, unless the call names its route.
const ROUTES: [(&str, &str, &[&str]); 53] = [
    ("aurastream", "POST /auth/login", &["login"]),
    ("aurastream", "POST /auth/signup", &["signup"]),
    ("aurastream", "POST /auth/password-reset/request", &["password_reset"]),
    ("aurastream", "POST /auth/refresh", &["token_refresh"]),
    ("aurastream", "POST /promo/checkout", &["checkout"]),
    ("aurastream", "POST /generate", &["monthly_creations"]),
    ("aurastream", "POST /coach/sessions/7/generate", &["monthly_creations"]),
    ("aurastream", "POST /profile-creator/sessions/7/generate", &["monthly_creations"]),
    ("aurastream", "POST /thumbnails/recreate", &["monthly_creations"]),
    ("aurastream", "POST /logo-generation/generate", &["monthly_creations"]),
    ("aurastream", "POST /twitch/generate", &["monthly_creations"]),
    ("aurastream", "POST /jobs/7/refine", &["monthly_refinements"]),
    ("aurastream", "POST /coach/sessions/7/refine", &["monthly_refinements"]),
    ("aurastream", "GET /jobs/7/stream?from=3", &["concurrent_streams"]),
    ("aurastream", "POST /coach/start", &["monthly_coach_sessions", "coach_starts_per_hour"]),
    ("aurastream", "POST /coach/sessions/7/messages", &["coach_messages_per_minute"]),
    ("aurastream", "POST /vibe-branding/analyze/upload", &["monthly_vibe_branding"]),
    ("aurastream", "POST /vibe-branding/analyze/url", &["monthly_vibe_branding"]),
    ("aurastream", "POST /aura-lab/set-subject", &["aura_subjects_per_day"]),
    ("aurastream", "POST /aura-lab/fuse", &["monthly_aura_lab"]),
    ("aurastream", "POST /profile-creator/start", &["monthly_profile_creator"]),
    ("aurastream", "POST /profile-creator/sessions/7/messages", &["profile_messages_per_minute"]),
    ("aurastream", "POST /logo-generation/preview", &["logo_previews_per_hour"]),
    ("aurastream", "POST /brand-kits", &["max_brand_kits"]),
    ("aurastream", "POST /brand-kits/k/logos", &["max_logos_per_kit"]),
    ("aurastream", "POST /creator-media", &["max_media_assets"]),
    ("aurastream", "POST /creator-media/bulk-delete", &[]),
    ("aurastream", "POST /thumbnails/faces", &["max_face_assets"]),
    ("aurastream", "POST /twitch/packs", &["monthly_twitch_packs"]),
    ("aurastream", "POST /playbook/generate", &["monthly_playbook"]),
    ("aurastream", "GET /intel/a/b", &["intel_requests_per_hour"]),
    ("aurastream", "GET /thumbnail-intel/a", &["thumbnail_intel_per_hour"]),
    ("aurastream", "GET /clip-radar/", &["clip_radar_per_hour"]),
    ("aurastream", "GET /generate", &[]),
    ("aurastream", "POST /elsewhere", &[]),
    ("vaultmind", "GET /health", &["health"]),
    ("vaultmind", "POST /agent/chat", &["agent_edge", "chat"]),
    ("vaultmind", "POST /agent/calendar", &["agent_edge", "calendar"]),
    ("vaultmind", "GET /agent/chat", &["agent_edge"]),
    ("vaultmind", "DELETE /agent/else/where", &["agent_edge"]),
    ("vaultmind", "GET /audit/logs", &["audit_logs"]),
    ("vaultmind", "POST /health", &[]),
    ("blueprint", "llm", &["llm"]),
    ("blueprint", "recommendation", &["recommend"]),
    ("blueprint", "blueprint", &["blueprints"]),
    ("blueprint", "GET /anything", &[]),
    ("ducke", "GET /status", &["status"]),
    ("ducke", "GET /", &["index"]),
    ("ducke", "POST /session", &["connect"]),
    ("ducke", "voice", &["session_time"]),
    ("ducke", "weather", &["weather"]),
    ("ducke", "search", &["search"]),
    ("ducke", "llm", &[]),
];

/// What every call of a domain touches beside its route.
fn star(domain: &str) -> &'static [&'static str] {
    match domain {
        "aurastream" => &["api_requests_per_minute"],
        "blueprint" => &["general", "address"],
        _ => &[],
    }
}

#[test]
fn every_tier_has_the_number_that_the_file_says() {
    for (limit, numbers) in AURASTREAM {
        for (tier, number) in ["anonymous", "free", "pro", "studio", "unlimited"].iter().zip(numbers) {
            let tollgate = Embedded::new(PRODUCTS);
            let ask = named("aurastream", limit, tier);
            match u64::try_from(number) {
                Err(_) => assert_eq!(tollgate.passes(&ask, 1_000), 1_000, "{limit} on {tier}"),
                Ok(0) => {
                    let refused = tollgate.ask(&ask.hits(0));
                    assert_eq!(what(&refused), format!("not available on tier {tier}"), "{limit}");
                }
                Ok(number) => {
                    assert_eq!(
                        tollgate.ask(&ask.clone().hits(number + 1)).code,
                        Code::OverLimit,
                        "{limit} on {tier}"
                    );
                    assert_eq!(tollgate.ask(&ask.clone().hits(number)).code, Code::Ok, "{limit} on {tier}");
                    assert_eq!(tollgate.ask(&ask).code, Code::OverLimit, "{limit} on {tier}");
                }
            }
        }
    }
}

#[test]
fn every_limit_is_refused_in_its_words_until_its_window_has_passed() {
    for (domain, limit, words, seconds) in WORDS {
        let tollgate = Embedded::new(PRODUCTS);
        let tier = if domain == "blueprint" { "basic" } else { "pro" };
        let ask = named(domain, limit, tier);
        let most = tollgate.ask(&ask.clone().hits(0)).statuses[0].limit.clone().unwrap().requests_per_unit;
        assert_eq!(tollgate.ask(&ask.clone().hits(u64::from(most))).code, Code::Ok, "{domain} {limit}");
        let refused = tollgate.ask(&ask);
        assert_eq!((refused.code, what(&refused)), (Code::OverLimit, words), "{domain} {limit}");
        if seconds == NEVER {
            assert_eq!(header(&refused, "Retry-After"), None, "{domain} {limit}");
            tollgate.wait(20 * 3_600);
            assert_eq!(
                tollgate.ask(&ask).code,
                Code::OverLimit,
                "{domain} {limit} never comes back by itself"
            );
            continue;
        }
        let retry: u64 = header(&refused, "Retry-After").unwrap().parse().unwrap();
        assert!(
            (seconds..=seconds + seconds / 50 + 1).contains(&retry),
            "{domain} {limit}: {retry} of {seconds}"
        );
        tollgate.wait(seconds - 1);
        assert_eq!(tollgate.ask(&ask).code, Code::OverLimit, "{domain} {limit} came back early");
        tollgate.wait(1 + seconds / 50 + 1);
        assert_eq!(tollgate.ask(&ask).code, Code::Ok, "{domain} {limit} did not come back");
    }
}

#[test]
fn every_route_charges_its_limits_and_no_others() {
    for (domain, call, limits) in ROUTES {
        let tollgate = Embedded::new(PRODUCTS);
        let tier = if domain == "blueprint" { "team" } else { "unlimited" };
        let entries = match call.split_once(' ') {
            Some((method, path)) => format!("method={method} path={path}"),
            None => format!("route={call}"),
        };
        let ask = Ask::new(domain, &format!("{entries} tier={tier} {SOMEBODY}"));
        assert_eq!(tollgate.ask(&ask).code, Code::Ok, "{domain} {call}");
        let expected: Vec<&str> = limits.iter().chain(star(domain)).copied().collect();
        for limit in limits_of(domain) {
            let used = used(&tollgate, domain, limit);
            assert_eq!(used, u64::from(expected.contains(&limit)), "{domain} {call} and {limit}");
        }
    }
}

fn limits_of(domain: &str) -> Vec<&'static str> {
    let vaultmind_edge = WORDS.iter().filter(|(of, ..)| *of == domain).map(|(_, limit, ..)| *limit);
    let more = AURASTREAM.iter().map(|(limit, _)| *limit).filter(|_| domain == "aurastream");
    let edge = (domain == "vaultmind").then_some("agent_edge");
    let breaker = (domain == "ducke").then_some("breaker");
    let burst = (domain == "blueprint").then_some("llm_burst");
    let mut limits: Vec<_> = vaultmind_edge.chain(more).chain(edge).chain(breaker).chain(burst).collect();
    limits.sort_unstable();
    limits.dedup();
    limits
}

/// What is used of a limit, seen on a tier that has a number for it, or with a number of the caller's own.
fn used(tollgate: &Embedded, domain: &str, limit: &str) -> u64 {
    let tier = match (domain, limit) {
        ("aurastream", "monthly_playbook") => "studio",
        ("blueprint", _) => "team",
        _ => "pro",
    };
    let mut look = named(domain, limit, tier).hits(0);
    if limit.starts_with("monthly_") {
        look = look.number(1_000, WireUnit::Month, 1);
    }
    let status = tollgate.ask(&look).statuses[0].clone();
    let full = match limit {
        "agent_edge" => 21,
        "llm_burst" => 60_000,
        _ => status.limit.expect("limited").requests_per_unit,
    };
    u64::from(full - status.remaining)
}

#[test]
fn the_size_of_a_bulk_delete_is_limited() {
    let tollgate = Embedded::new(PRODUCTS);
    for (tier, most) in [("free", 10), ("pro", 50)] {
        let ask = Ask::new("aurastream", "method=POST path=/creator-media/bulk-delete user=u")
            .entry(b"tier", tier.as_bytes());
        assert_eq!(tollgate.ask(&ask.clone().hits(most)).code, Code::Ok, "{tier}");
        let refused = tollgate.ask(&ask.hits(most + 1));
        assert_eq!(what(&refused), format!("at most {most} per request"));
    }
}

#[test]
fn the_edge_lets_its_burst_through_at_once_and_ten_a_second_after() {
    let tollgate = Embedded::new(PRODUCTS);
    let chat = |user: usize| {
        Ask::new("vaultmind", &format!("method=POST path=/agent/chat ip=192.0.2.1 user=u{user}"))
    };
    let passed = (0..30).filter(|user| tollgate.ask(&chat(*user)).code == Code::Ok).count();
    assert_eq!(passed, 21);
    let refused = tollgate.ask(&chat(99));
    assert_eq!(
        (what(&refused), header(&refused, "X-Tollgate-Limit").as_deref()),
        ("10 per 1 second", Some("agent_edge"))
    );
    tollgate.wait(1);
    let passed = (30..60).filter(|user| tollgate.ask(&chat(*user)).code == Code::Ok).count();
    assert_eq!(passed, 10);
    assert_eq!(
        tollgate.ask(&Ask::new("vaultmind", "method=POST path=/agent/chat ip=192.0.2.2 user=u1")).code,
        Code::Ok
    );
}

#[test]
fn a_chat_reset_is_an_epoch() {
    let tollgate = Embedded::new(PRODUCTS);
    let decision = tollgate.ask(&Ask::new("vaultmind", "method=POST path=/agent/chat ip=192.0.2.1 user=u"));
    let reset: u64 = header(&decision, "X-RateLimit-Reset").unwrap().parse().unwrap();
    assert!(reset > 1_795_262_400, "{reset}");
}

#[test]
fn a_session_needs_its_id_and_remembers_its_cost_for_a_day() {
    let tollgate = Embedded::new(PRODUCTS);
    let voice = Ask::new("ducke", "route=voice ip=192.0.2.1");
    assert_eq!(what(&tollgate.ask(&voice)), "session_time needs session");
    let cost = named("ducke", "session_cost", "-");
    assert_eq!(tollgate.ask(&cost.clone().hits(5_000_000)).code, Code::Ok, "$5.00 in micro-USD, exactly");
    assert_eq!(tollgate.ask(&cost).code, Code::OverLimit);
    tollgate.wait(86_400);
    assert_eq!(tollgate.ask(&cost).code, Code::Ok, "forgotten after an idle day");
}

#[test]
fn a_login_without_an_email_counts_by_address() {
    let tollgate = Embedded::new(PRODUCTS);
    for address in ["192.0.2.1", "192.0.2.2"] {
        let login = Ask::new("aurastream", &format!("method=POST path=/auth/login ip={address}"));
        assert_eq!(tollgate.passes(&login, 9), 5, "{address}");
    }
}

#[test]
fn the_bucket_of_tokens_holds_sixty_thousand() {
    let tollgate = Embedded::new(PRODUCTS);
    let burst = named("blueprint", "llm_burst", "basic");
    assert_eq!(tollgate.ask(&burst.clone().hits(60_001)).code, Code::OverLimit);
    assert_eq!(tollgate.ask(&burst.clone().hits(60_000)).code, Code::Ok);
    let refused = tollgate.ask(&burst.clone().hits(20_000));
    assert_eq!(what(&refused), "40000 tokens per 1 minute");
    assert_eq!(header(&refused, "Retry-After").as_deref(), Some("30"), "20,000 of 40,000 a minute");
    tollgate.wait(29);
    assert_eq!(tollgate.ask(&burst.clone().hits(20_000)).code, Code::OverLimit);
    tollgate.wait(1);
    assert_eq!(tollgate.ask(&burst.hits(20_000)).code, Code::Ok);
}

#[test]
fn the_breaker_counts_a_hundred_dollars_a_day() {
    let tollgate = Embedded::new(PRODUCTS);
    let breaker = named("ducke", "breaker", "-");
    assert_eq!(tollgate.ask(&breaker.clone().hits(100_000_000)).code, Code::Ok);
    assert_eq!(what(&tollgate.ask(&breaker)), "the breaker breaker is open");
    let refused = tollgate.ask(&Ask::new("ducke", "route=llm ip=10.0.0.1 session=s"));
    assert_eq!(header(&refused, "X-Tollgate-Limit").as_deref(), Some("breaker"));
    tollgate.wait(30 * 86_400);
    assert_eq!(what(&tollgate.ask(&breaker)), "the breaker breaker is open", "its reset is manual");
}
