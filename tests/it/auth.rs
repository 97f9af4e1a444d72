//! Who is let in at the admin listener: every route with every kind of token, guesses, pages of other sites, and what is
//! found of tokens afterwards.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;

use tollgate::admin;
use tollgate::audit::{Action, Role};
use tollgate::auth::{Denials, Gate, Token, TokenEntry, least_form, least_role};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::engine::{Engine, EngineSettings};
use tollgate::limits::{KeySecret, LimitsHandle, WireUnit};
use tollgate::store::memory::{MemorySettings, MemoryStore};

use crate::support::http::{self, Answer, Call};
use crate::support::process::{Tollgate, run};
use crate::support::server::per_key;

const FILE: &str = "examples/tollgate.yaml";

/// A route, and what asking it is; `None` where nobody has to be known.
type Route = (&'static str, &'static str, Option<Action>);

/// Every route of the listener.
const ROUTES: [Route; 22] = [
    ("GET", "/", None),
    ("GET", "/livez", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", None),
    ("GET", "/openapi.json", None),
    ("GET", "/rlconfig", Some(Action::ShowRules)),
    ("GET", "/usage", Some(Action::ReadUsage)),
    ("GET", "/audit/lines", Some(Action::ListAudit)),
    ("GET", "/admin/rate-limits", Some(Action::ListLimits)),
    ("GET", "/admin/rate-limits/list", Some(Action::ListLimits)),
    ("PUT", "/admin/rate-limits/TIER/LIMIT", Some(Action::UpdateLimit)),
    ("GET", "/admin/rate-limits/usage/USER", Some(Action::GetUsage)),
    ("POST", "/admin/rate-limits/reset/USER", Some(Action::ResetUser)),
    ("POST", "/admin/rate-limits/tier", Some(Action::SetTier)),
    ("PUT", "/admin/rate-limits/prices/MODEL", Some(Action::SetPrice)),
    ("POST", "/admin/rate-limits/explain", Some(Action::Explain)),
    ("GET", "/admin/rate-limits/top", Some(Action::TopConsumers)),
    ("GET", "/admin/rate-limits/audit", Some(Action::ListAudit)),
    ("POST", "/admin/rate-limits/import", Some(Action::ImportUsage)),
    ("GET", "/admin/rate-limits/breakers", Some(Action::GetBreaker)),
    ("GET", "/admin/rate-limits/breaker/LIMIT", Some(Action::GetBreaker)),
    ("POST", "/admin/rate-limits/breaker/LIMIT", Some(Action::SetBreaker)),
];

fn call(method: &str, path: &str) -> Call {
    match method {
        "GET" => http::get(path),
        "PUT" => http::put(path),
        _ => http::post(path),
    }
}

fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.as_str())
}

/// A listener with a token for each role, and one that has expired; its time is set by hand.
struct House {
    address: SocketAddr,
    clock: Clock,
    tokens: [(Role, Token); 3],
    expired: Token,
    denials: Denials,
}

async fn house() -> House {
    let clock = Clock::manual(Timestamp(1_795_262_400_000_000));
    let tokens = Role::ALL.map(|role| (role, Token::draw().unwrap()));
    let expired = Token::draw().unwrap();
    let entries = tokens.iter().map(|(role, token)| TokenEntry::of(token, role.name(), *role, None).unwrap());
    let over = TokenEntry::of(&expired, "gone", Role::Admin, Some(clock.now())).unwrap();
    let (gate, denials) = Gate::new(entries.chain([over]), clock.clone());
    let store = MemoryStore::new(MemorySettings::default(), Clock::System, KeySecret([0; 16]));
    let rules = LimitsHandle::new(per_key("api", &[("user", 10, WireUnit::Hour)]));
    let engine = Arc::new(Engine::new(rules, store, EngineSettings::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending();
    tokio::spawn(admin::serve(listener, engine, gate, vec![], admin::connections(), never));
    House { address, clock, tokens, expired, denials }
}

impl House {
    /// What is answered, a minute after the call before.
    async fn asked(&self, call: Call) -> Answer {
        self.clock.advance(Micros::from_secs(60));
        let address = self.address;
        tokio::task::spawn_blocking(move || call.send(address)).await.unwrap()
    }
}

#[tokio::test]
async fn every_route_asks_for_what_it_needs() {
    let house = house().await;
    let listed = house.asked(http::get("/")).await.body;
    for path in listed.lines().filter_map(|line| line.split(' ').next().filter(|word| word.starts_with('/')))
    {
        assert!(ROUTES.iter().any(|(_, known, _)| *known == path), "{path} is not in the table");
    }
    let wrong = Token::draw().unwrap();
    for (method, path, action) in ROUTES {
        let refused = [
            (None, "no token was sent"),
            (Some(bearer(&wrong)), "nobody here has this token"),
            (Some(bearer(&house.expired)), "the token of gone has expired"),
            (Some("Bearer swordfish".to_owned()), "what was sent is no token"),
            (Some("Basic dGVzdHM6cGFzcw==".to_owned()), "what was sent is no token"),
        ];
        for (header, says) in refused {
            let mut call = call(method, path);
            if let Some(header) = &header {
                call = call.header("authorization", header);
            }
            let answer = house.asked(call).await;
            if action.is_none() {
                assert_eq!(answer.status, 200, "{method} {path} {header:?}");
                continue;
            }
            let told =
                (answer.status, answer.header("www-authenticate").as_deref().unwrap_or_default().to_owned());
            assert_eq!(told, (401, "Bearer".to_owned()), "{method} {path} {header:?}");
            assert!(answer.body.contains(says) && answer.body.contains("UNAUTHENTICATED"), "{}", answer.body);
            assert!(!answer.body.contains("swordfish"), "{}", answer.body);
        }
        for (role, token) in &house.tokens {
            let answer = house.asked(call(method, path).header("authorization", bearer(token))).await;
            match action.map(|action| (least_role(least_form(action)), least_role(action))) {
                Some((least, needs)) if *role < least => {
                    assert_eq!(answer.status, 403, "{method} {path} {role}");
                    assert!(answer.body.contains(&format!("needs the role {needs}")), "{}", answer.body);
                }
                _ => assert!(![401, 403, 429].contains(&answer.status), "{method} {path} {role}: {answer:?}"),
            }
            for parameter in ["token", "access_token", "authorization", "x"] {
                let path = format!("{path}?{parameter}={}", token.as_str());
                let answer = house.asked(call(method, &path).header("authorization", bearer(token))).await;
                assert_eq!(answer.status, 401, "{method} {path}");
                assert!(answer.body.contains("a token in a URL") && !answer.body.contains(token.as_str()));
            }
        }
    }
}

#[tokio::test]
async fn those_who_are_refused_are_told_of_once_a_minute() {
    let mut house = house().await;
    let ask = |call: Call| {
        let address = house.address;
        tokio::task::spawn_blocking(move || call.send(address).status)
    };
    for _ in 0..3 {
        assert_eq!(ask(http::get("/usage")).await.unwrap(), 401);
        let viewer = bearer(&house.tokens[0].1);
        let set = http::post("/admin/rate-limits/breaker/x").header("authorization", viewer);
        assert_eq!(ask(set).await.unwrap(), 403);
    }
    let told: Vec<_> = std::iter::from_fn(|| house.denials.try_recv().ok())
        .map(|denial| (denial.refused, denial.times))
        .map(|(of, times)| (of.actor.map(|actor| actor.name), of.action, of.why, times))
        .collect();
    let expected =
        [(None, Action::LogIn, "missing", 1), (Some("viewer".into()), Action::SetBreaker, "forbidden", 1)];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn pages_of_other_sites_get_nowhere() {
    let house = house().await;
    let admin = bearer(&house.tokens[2].1);
    let place = house.address.to_string();
    let own: &'static str = place.clone().leak();
    for path in ["/metrics", "/usage"] {
        for (origin, status) in [
            (format!("http://{place}"), 200),
            ("http://evil.example".to_owned(), 403),
            ("null".to_owned(), 403),
            (String::new(), 403),
            (format!("http://{place}.evil.example"), 403),
        ] {
            let call = http::get(path).host(own).header("authorization", &admin).header("origin", &origin);
            let answer = house.asked(call).await;
            assert_eq!(answer.status, status, "{path} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
            assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"));
        }
    }
}

#[tokio::test]
async fn names_that_were_made_to_mean_this_machine_get_nowhere() {
    let house = house().await;
    for (host, status) in [
        ("evil.example", 403),
        ("localhost:6070", 200),
        ("[::1]:6070", 200),
        ("127.0.0.1", 200),
        ("tollgate", 200),
    ] {
        assert_eq!(house.asked(http::get("/metrics").host(host)).await.status, status, "{host}");
    }
    // Of two, whatever passed it on may have gone by the other.
    let call = http::get("/livez").host("localhost").header("host", "evil.example");
    assert_eq!(house.asked(call).await.status, 400);
    // A proxy on this machine has the token of whoever asks it, which a page has not.
    for (token, status) in [(house.tokens[2].1.as_str(), 200), ("tg_wrong", 403)] {
        let by = format!("Bearer {token}");
        let call = http::get("/usage").host("tollgate.example").header("authorization", &by);
        assert_eq!(house.asked(call).await.status, status);
    }
}

/// Sends `count` times `request` on one connection: the statuses of the answers.
fn statuses(to: SocketAddr, request: &str, count: usize) -> Vec<u16> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut writing = stream.try_clone().unwrap();
    let all = request.repeat(count);
    let writer = std::thread::spawn(move || writing.write_all(all.as_bytes()).unwrap());
    let (mut seen, mut text) = (Vec::with_capacity(count), Vec::new());
    while seen.len() < count {
        let mut part = [0; 65_536];
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "the connection ends after {} answers", seen.len());
        text.extend_from_slice(&part[..read]);
        let whole = String::from_utf8_lossy(&text);
        let heads = whole.match_indices("HTTP/1.1 ").filter_map(|(at, _)| whole.get(at + 9..at + 12));
        seen = heads.map(|code| code.parse().unwrap()).collect();
    }
    writer.join().unwrap();
    seen
}

#[test]
fn ten_thousand_guesses_get_nowhere_and_keep_nobody_out_and_each_is_on_record() {
    let data = tempfile::tempdir().unwrap();
    let service = Tollgate::start(&[FILE, "--data-dir", data.path().to_str().unwrap()]);
    let wrong = bearer(&Token::draw().unwrap());
    let request = format!("GET /rlconfig HTTP/1.1\r\nhost: tollgate\r\nauthorization: {wrong}\r\n\r\n");
    let codes = statuses(service.admin(), &request, 10_000);
    let count = |code| codes.iter().filter(|seen| **seen == code).count();
    // A minute that ends meanwhile says ten times more what is wrong.
    assert!([10, 20, 30].contains(&count(401)), "{}", count(401));
    assert_eq!(count(401) + count(429), 10_000);
    let answer = http::get("/rlconfig").header("authorization", &wrong).send(service.admin());
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(answer.status == 429 && (1..=60).contains(&wait), "{answer:?}");
    assert_eq!(http::get("/rlconfig").by_admin().send(service.admin()).status, 200, "an admin beside it");
    service.logs("somebody was refused");
    service.signal("TERM");
    let lines = service.wait().1.matches("somebody was refused").count();
    assert!(lines <= 5, "{lines} lines of log");
    let audit = std::fs::read_to_string(data.path().join("audit.jsonl")).unwrap();
    let records: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let guesses =
        records.iter().filter(|record| record["action"] == "log_in" && record["reason"] == "unknown");
    let times: Vec<u64> = guesses.map(|record| record["target"]["times"].as_u64().unwrap()).collect();
    assert!(times.iter().sum::<u64>() == 10_001 && times.len() <= 5, "{times:?}");
}

/// Who has `token` is let in, or is not, before long.
fn until(service: &Tollgate, token: &Token, status: u16) {
    let mut answered = 0;
    for _ in 0..1_000 {
        let call = http::get("/rlconfig").header("authorization", bearer(token));
        answered = match call.send(service.admin()).status {
            429 => 401,
            other => other,
        };
        if answered == status {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{answered} and never {status}\n{}", service.log());
}

#[test]
fn tokens_are_exchanged_by_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let [old, new] = [(); 2].map(|()| Token::draw().unwrap());
    let line = |token| TokenEntry::of(token, "alice", Role::Viewer, None).unwrap().to_line();
    std::fs::write(&path, format!("# alice's\n{}\n", line(&old))).unwrap();
    let file = path.display().to_string();
    let service = Tollgate::with(&[FILE], &[("TOLLGATE_ADMIN_TOKENS_FILE", &file)]);
    until(&service, &old, 200);
    std::fs::write(&path, format!("{}\n{}\n", line(&old), line(&new))).unwrap();
    until(&service, &new, 200);
    until(&service, &old, 200);
    std::fs::write(&path, format!("{}\n", line(&new))).unwrap();
    until(&service, &old, 401);
    std::fs::write(&path, format!("{}\n", new.as_str())).unwrap();
    service.logs("the tokens were not reloaded; the last good ones stay in force");
    assert!(service.log().contains("line 1 holds a token in clear text"), "{}", service.log());
    until(&service, &new, 200);
    std::fs::write(&path, "").unwrap();
    until(&service, &new, 401);
    assert_eq!(http::get("/rlconfig").by_admin().send(service.admin()).status, 200, "beside the file");
    nothing_secret(&service.log(), &[&old, &new]);
}

/// Asserts that neither a token, nor its secret, nor its digest stands in `text`.
fn nothing_secret(text: &str, tokens: &[&Token]) {
    for token in tokens {
        let line = TokenEntry::of(token, "x", Role::Viewer, None).unwrap().to_line();
        let digest = line.rsplit(':').next().unwrap();
        let (_, secret) = token.as_str().rsplit_once('_').unwrap();
        for canary in [secret, digest, &digest[..16]] {
            assert!(!text.contains(canary), "{canary} in {text}");
        }
    }
}

#[test]
fn nothing_of_a_token_is_found_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let [set, filed, viewer, wrong] = [(); 4].map(|()| Token::draw().unwrap());
    let line = |token, role| TokenEntry::of(token, "alice", role, None).unwrap().to_line();
    std::fs::write(&path, line(&filed, Role::Admin)).unwrap();
    let tokens = [line(&set, Role::Admin), line(&viewer, Role::Viewer)].join(", ");
    let environment =
        [("TOLLGATE_ADMIN_TOKENS", &*tokens), ("TOLLGATE_ADMIN_TOKENS_FILE", path.to_str().unwrap())];
    let level = if cfg!(debug_assertions) { "trace" } else { "info" };
    let service = Tollgate::with(&[FILE, "--log-level", level], &environment);
    let mut seen = String::new();
    for token in [&set, &filed, &viewer, &wrong] {
        for (method, path, _) in ROUTES {
            let answer = call(method, path).header("authorization", bearer(token)).send(service.admin());
            seen += &answer.body;
            let named = format!("{path}?token={}", token.as_str());
            seen += &call(method, &named).send(service.admin()).body;
            let hidden = format!("{path}/{}", token.as_str());
            seen += &call(method, &hidden).header("authorization", token.as_str()).send(service.admin()).body;
        }
    }
    assert!(seen.contains("shop.api") && seen.contains("tollgate_decisions_total"), "{seen}");
    service.signal("TERM");
    let log = service.wait().1;
    assert!(log.contains("somebody was refused"), "{log}");
    let all = [&set, &filed, &viewer, &wrong];
    nothing_secret(&seen, &all);
    nothing_secret(&log, &all);
    for arguments in
        [&["serve", "--help"][..], &["--help"], &["token", "new", "--help"], &["usage", "export", "--help"]]
    {
        let output = run(arguments, &[("TOLLGATE_TOKEN", set.as_str()), ("TOLLGATE_ADMIN_TOKENS", &tokens)]);
        assert!(output.status.success());
        nothing_secret(&String::from_utf8_lossy(&output.stdout), &all);
    }
}

#[test]
fn a_setting_that_is_wrong_ends_the_start_and_is_not_repeated() {
    let [token, other] = [(); 2].map(|()| Token::draw().unwrap());
    let right = TokenEntry::of(&other, "bob", Role::Viewer, None).unwrap().to_line();
    let setting = format!("{right},{}", token.as_str());
    let output = run(&["serve", FILE], &[("TOLLGATE_ADMIN_TOKENS", &setting)]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78));
    let expected =
        "environment TOLLGATE_ADMIN_TOKENS: the value (not shown) at place 2 holds a token in clear text: ";
    assert!(said.starts_with(expected), "{said}");
    nothing_secret(&said, &[&token, &other]);
    let output = run(&["serve", FILE], &[("TOLLGATE_ADMIN_TOKENS_FILE", "/nowhere/tokens")]);
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "environment TOLLGATE_ADMIN_TOKENS_FILE: \"/nowhere/tokens\" cannot be read (";
    assert!(output.status.code() == Some(78) && said.starts_with(expected), "{said}");
}

#[test]
fn without_a_token_one_is_made_and_shown_once() {
    for format in ["text", "json"] {
        let service = Tollgate::with(&[FILE, "--log-format", format], &[("TOLLGATE_ADMIN_TOKENS", "")]);
        let log = service.log();
        let shown: Vec<&str> = log.lines().filter(|line| line.contains("tg_")).collect();
        let [line] = shown[..] else { panic!("{log}") };
        let token = line.trim().strip_prefix("export TOLLGATE_TOKEN=").expect("a line of its own");
        let header = format!("Bearer {token}");
        let ask = |call: Call| call.header("authorization", &header).send(service.admin()).status;
        assert_eq!(ask(http::get("/rlconfig")), 200, "{log}");
        assert_eq!(ask(http::post("/admin/rate-limits/breaker/x")), 400, "it may set breakers");
        assert!(log.contains("`tollgate token new --name YOU --role admin`"), "{log}");
        assert_eq!(http::get("/rlconfig").by_admin().send(service.admin()).status, 401);
        service.signal("TERM");
        assert_eq!(service.wait().1.matches("tg_").count(), 1);
    }
    let configured = Tollgate::start(&[FILE]);
    assert!(!configured.log().contains("tg_"), "{}", configured.log());
}

/// What `tollgate token new` prints, and what it says beside that.
fn new_token(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(&[&["token", "new"], arguments].concat(), &[]);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_new_token_is_printed_with_the_line_that_lets_it_in() {
    let (code, printed, _) = new_token(&["--name", "alice", "--role", "operator", "--expires", "90d"]);
    let lines: Vec<&str> = printed.lines().collect();
    let [token, line] = lines[..] else { panic!("{printed}") };
    let (_, secret) = token.rsplit_once('_').unwrap();
    assert_eq!((code, secret.len()), (Some(0), 48), "192 bits");
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let expiry = line.strip_prefix(&format!("alice:operator:{digest}:")).expect(line);
    let days = (expiry.parse::<jiff::Timestamp>().unwrap() - jiff::Timestamp::now()).total(jiff::Unit::Hour);
    assert!((2159.0..2161.0).contains(&days.unwrap()), "{expiry}");
    let service = Tollgate::with(&[FILE], &[("TOLLGATE_ADMIN_TOKENS", line)]);
    let call = http::get("/rlconfig").header("authorization", format!("Bearer {token}"));
    assert_eq!(call.send(service.admin()).status, 200);

    let (_, printed, _) = new_token(&["--name", "alice", "--role", "viewer"]);
    assert_eq!(printed.lines().nth(1).unwrap().split(':').count(), 3, "{printed}");
    for (arguments, says) in [
        (
            ["--name", "al ice", "--role", "viewer", "--expires", "90d"],
            "--name: \"al ice\" has no good name: write 1 to 64",
        ),
        (
            ["--name", "alice", "--role", "root", "--expires", "90d"],
            "[possible values: viewer, operator, admin]",
        ),
        (
            ["--name", "alice", "--role", "viewer", "--expires", "soon"],
            "--expires: \"soon\" is no span of time",
        ),
        (
            ["--name", "alice", "--role", "viewer", "--expires", "9999d"],
            "is out of range: write 60s to 3650d",
        ),
    ] {
        let (code, printed, said) = new_token(&arguments);
        assert!(code != Some(0) && printed.is_empty() && said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
fn usage_is_exported_with_a_token_of_the_environment_or_of_a_file() {
    let service = Tollgate::start(&[FILE]);
    let admin = format!("http://{}", service.admin());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{}\n", crate::support::admins::TOKEN)).unwrap();
    let file = path.to_str().unwrap();
    let wrong = Token::draw().unwrap();
    let printed = folder.path().join("printed");
    std::fs::write(&printed, format!("{}\nedge:shop:76aa62ca\n", wrong.as_str())).unwrap();
    let printed = printed.to_str().unwrap();
    let more_than_one = format!("--token-file: '{printed}' holds more than a token; leave nothing in it");
    for (more, token, says) in [
        (&[][..], crate::support::admins::TOKEN, None),
        (&["--token-file", file], wrong.as_str(), None),
        (&[], "", Some("no token was sent: send the header 'Authorization: Bearer TOKEN'")),
        (&[], wrong.as_str(), Some("nobody here has this token")),
        (&["--token-file", "/nowhere/token"], "", Some("--token-file: cannot read '/nowhere/token'")),
        (&["--token-file", printed], "", Some(&more_than_one)),
    ] {
        let arguments = [&["usage", "export", "--admin", &admin], more].concat();
        let output = run(&arguments, &[("TOLLGATE_TOKEN", token)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), says.is_none(), "{said}");
        assert!(said.starts_with(says.unwrap_or_default()), "{said}");
        nothing_secret(&said, &[&wrong]);
    }
}
