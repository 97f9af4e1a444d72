//! Alerts reach their webhook, in their order, and whatever becomes of them is counted; nobody reads its address.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tollgate::alerts::{Alert, AlertSettings, Alerts, Crossed, Delivery};
use tollgate::clock::Timestamp;
use tollgate::config::source::{SameDomain, Source, compile};
use tollgate::limits::{Alerted, Domain, LimitsHandle, Percent, RuleSet, TierId};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::support::webhook::{Receiver, Request};

/// Pauses that a test can wait for, and patience that no busy machine wears out.
const QUICK: AlertSettings = AlertSettings {
    most_waiting: 100,
    tries: 3,
    patience: Duration::from_secs(20),
    pause: Duration::from_millis(1),
    drain: Duration::from_secs(20),
};

/// As [`QUICK`], and does not give up.
const PATIENT: AlertSettings = AlertSettings { tries: u32::MAX, ..QUICK };

/// No real clock is asked: alerts tell the time of the store.
const NOON: Timestamp = Timestamp(1_795_262_400_000_000);

/// A running delivery.
struct Told {
    limits: LimitsHandle,
    alerts: Alerts,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Told {
    fn start(rules: RuleSet, settings: AlertSettings) -> Self {
        let limits = LimitsHandle::new(rules);
        Self::of(Delivery::new(limits.clone(), settings), limits)
    }

    fn of(delivery: Delivery, limits: LimitsHandle) -> Self {
        let alerts = delivery.alerts();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(delivery.run(async move { drop(stopped.await) }));
        Self { limits, alerts, stop, task }
    }

    /// Raises that the limit `spend` of `domain` has reached `percent`.
    fn raise(&self, domain: &str, percent: u16) {
        self.alerts.raise(alert(&self.limits, domain, percent));
    }

    /// How many alerts of the limit `spend` of `domain` came to `what`.
    fn count(&self, domain: &str, what: Alerted) -> u64 {
        count(&self.limits, domain, what)
    }

    /// Waits until so many came to that.
    async fn counts(&self, domain: &str, what: Alerted, expected: u64) {
        for _ in 0..3_000 {
            if self.count(domain, what) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} of {domain} are {}, not {expected}", self.count(domain, what), what.name());
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

fn count(limits: &LimitsHandle, domain: &str, what: Alerted) -> u64 {
    let rules = limits.load();
    let tallies = rules.alert_tallies();
    let tally = tallies.iter().find(|(name, limit, _)| (*name, *limit) == (domain, "spend"));
    tally.map_or(0, |(.., tally)| tally.of(what))
}

fn alert(limits: &LimitsHandle, domain: &str, percent: u16) -> Alert {
    let rules = limits.load();
    let Some(Domain::Native(domain)) = rules.domains.get(domain.as_bytes()) else { panic!("no {domain}") };
    let crossed = Crossed {
        threshold: Percent(percent),
        tier: Some(TierId(1)),
        used: 40_100_000_000,
        held: 1_500_000_000,
        most: 50_000_000_000,
        subject: 0x9f2c_41d8_03be_7a65_c11e_5b90_24d7_f3a8,
        at: NOON,
        resets_at: Some(Timestamp(NOON.0 + 43_200_000_000)),
    };
    Alert::new(domain, &domain.limits[0], crossed)
}

/// Files, each of one domain that alerts to this address; to none where it is empty.
fn rules(files: &[(&str, &str)]) -> RuleSet {
    let source = |(domain, webhook): &(&str, &str)| {
        let webhook = if webhook.is_empty() { String::new() } else { format!("webhook: '{webhook}'") };
        let limits = "{spend: $50.00/day per user}, tier: {default: free}, tiers: {free: {}, pro: {}}";
        let text = format!("alerts: {{{webhook}}}\ndomains: {{{domain}: {{limits: {limits}}}}}\n");
        Source { name: format!("{domain}.yaml").into(), text }
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    compile(&sources, SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}")).rules
}

fn url(of: &Receiver) -> String {
    format!("http://{}/hook?key=swordfish", of.address())
}

fn percent(of: &Request) -> u64 {
    of.body["threshold_percent"].as_u64().unwrap()
}

/// The alert in the README.
fn as_the_readme_shows() -> Value {
    let blocks = include_str!("../../README.md").split("\n```json\n").skip(1);
    let mut shown = blocks.filter_map(|block| block.split("```").next());
    let alert = shown.find(|block| block.contains("threshold_percent")).expect("an alert is shown");
    serde_json::from_str(alert).unwrap()
}

/// An address where nobody listens, until somebody does.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_webhook_is_told_what_was_crossed() {
    let mut receiver = Receiver::start(&[200]).await;
    let told = Told::start(rules(&[("shop", &url(&receiver))]), QUICK);
    told.raise("shop", 80);
    let request = receiver.next().await;
    for part in ["post /hook?key=swordfish http/1.1\r\n", "content-type: application/json"] {
        assert!(request.head.contains(part), "{}", request.head);
    }
    assert!(request.head.contains(&format!("host: {}", receiver.address())), "{}", request.head);
    assert_eq!(request.body, as_the_readme_shows());
    told.counts("shop", Alerted::Sent, 1).await;
    told.stop().await;
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_order_is_kept() {
    for passing in [500, 503, 429, 0] {
        let mut receiver = Receiver::start(&[passing, 200]).await;
        // Only who never answers is to wear out the patience.
        let patience = if passing == 0 { Duration::from_millis(300) } else { QUICK.patience };
        let told = Told::start(rules(&[("shop", &url(&receiver))]), AlertSettings { patience, ..PATIENT });
        [50, 80, 100].iter().for_each(|percent| told.raise("shop", *percent));
        let mut seen = [receiver.next().await, receiver.next().await];
        assert_eq!(seen[0].body, seen[1].body, "{passing}: the same again, with its id");
        seen = [receiver.next().await, receiver.next().await];
        if passing != 0 {
            assert_eq!(seen.map(|request| percent(&request)), [80, 100], "{passing}");
        }
        told.counts("shop", Alerted::Sent, 3).await;
        assert_eq!(told.count("shop", Alerted::Failed), 0, "{passing}");
        told.stop().await;
    }
}

#[tokio::test]
async fn what_stays_wrong_is_tried_once() {
    for lasting in [400, 404, 410, 301] {
        let mut receiver = Receiver::start(&[lasting, 200]).await;
        let told = Told::start(rules(&[("shop", &url(&receiver))]), PATIENT);
        [50, 80].iter().for_each(|percent| told.raise("shop", *percent));
        let seen = [receiver.next().await, receiver.next().await].map(|request| percent(&request));
        assert_eq!(seen, [50, 80], "{lasting}");
        told.counts("shop", Alerted::Sent, 1).await;
        assert_eq!(told.count("shop", Alerted::Failed), 1, "{lasting}");
        told.stop().await;
    }
}

#[tokio::test]
async fn tries_come_to_an_end() {
    let mut receiver = Receiver::start(&[503]).await;
    let told = Told::start(rules(&[("shop", &url(&receiver))]), QUICK);
    told.raise("shop", 50);
    told.counts("shop", Alerted::Failed, 1).await;
    for _ in 0..3 {
        assert_eq!(percent(&receiver.next().await), 50);
    }
    assert!(!receiver.has_more());
    told.stop().await;
}

#[tokio::test]
async fn a_webhook_that_is_down_is_told_once_it_is_up() {
    let address = nowhere().await;
    let told = Told::start(rules(&[("shop", &format!("http://{address}/hook"))]), PATIENT);
    let log = Log::start();
    [50, 80].iter().for_each(|percent| told.raise("shop", *percent));
    log.shows("it cannot be reached: connection refused").await;
    let mut receiver = Receiver::on(address, &[200]).await;
    assert_eq!([receiver.next().await, receiver.next().await].map(|request| percent(&request)), [50, 80]);
    told.counts("shop", Alerted::Sent, 2).await;
    told.stop().await;
}

#[tokio::test]
async fn one_webhook_that_is_down_holds_up_no_other() {
    let mut receiver = Receiver::start(&[200]).await;
    let down = format!("http://{}/", nowhere().await);
    let told = Told::start(rules(&[("down", &down), ("up", &url(&receiver))]), PATIENT);
    told.raise("down", 50);
    told.raise("up", 80);
    assert_eq!(percent(&receiver.next().await), 80);
    assert_eq!(told.count("down", Alerted::Sent), 0);
}

#[tokio::test]
async fn too_many_are_dropped_and_counted_and_said_once() {
    let log = Log::start();
    let mut receiver = Receiver::start(&[200]).await;
    let limits = LimitsHandle::new(rules(&[("shop", &url(&receiver))]));
    let delivery = Delivery::new(limits.clone(), AlertSettings { most_waiting: 2, ..QUICK });
    let alerts = delivery.alerts();
    (1..=5).for_each(|percent| alerts.raise(alert(&limits, "shop", percent)));
    assert_eq!(count(&limits, "shop", Alerted::Dropped), 3);
    let told = Told::of(delivery, limits);
    assert_eq!([receiver.next().await, receiver.next().await].map(|request| percent(&request)), [1, 2]);
    told.counts("shop", Alerted::Sent, 2).await;
    assert_eq!(log.text().matches("too many alerts wait").count(), 1, "{}", log.text());
    told.stop().await;
}

#[tokio::test]
async fn too_many_for_a_webhook_that_is_down_still_stand_in_the_log() {
    let log = Log::start();
    let down = format!("http://{}/", nowhere().await);
    let told = Told::start(rules(&[("shop", &down)]), AlertSettings { most_waiting: 2, ..PATIENT });
    for percent in 1..=5 {
        told.raise("shop", percent);
        log.shows(&format!("threshold_percent={percent} ")).await;
    }
    told.counts("shop", Alerted::Dropped, 3).await;
    assert_eq!(log.text().matches("too many alerts wait").count(), 1, "{}", log.text());
}

#[tokio::test]
async fn a_reload_changes_the_webhook_also_for_those_that_wait() {
    let down = format!("http://{}/", nowhere().await);
    let told = Told::start(rules(&[("shop", &down)]), PATIENT);
    let log = Log::start();
    told.raise("shop", 50);
    log.shows("asked again").await;
    let mut receiver = Receiver::start(&[200]).await;
    told.limits.swap(rules(&[("shop", &url(&receiver))]));
    assert_eq!(percent(&receiver.next().await), 50);
    told.raise("shop", 80);
    assert_eq!(percent(&receiver.next().await), 80);
    told.counts("shop", Alerted::Sent, 2).await;

    let mut another = Receiver::start(&[200]).await;
    told.limits.swap(rules(&[("shop", &url(&another))]));
    told.raise("shop", 100);
    assert_eq!(percent(&another.next().await), 100);
    told.counts("shop", Alerted::Sent, 3).await;
    assert!(!receiver.has_more());
    told.stop().await;
}

#[tokio::test]
async fn without_a_webhook_alerts_are_logged() {
    let log = Log::start();
    let told = Told::start(rules(&[("shop", "")]), PATIENT);
    told.raise("shop", 80);
    told.counts("shop", Alerted::Logged, 1).await;
    let text = log.text();
    for part in [
        " WARN ",
        "domain=\"shop\" limit=\"spend\" tier=\"pro\" threshold_percent=80",
        "used=\"$40.10\"",
        "subject=\"9f2c41d803be7a65c11e5b9024d7f3a8\"",
        "resets_at=\"2026-11-22T00:00:00Z\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    told.limits.swap(rules(&[("shop", &format!("http://{}/", nowhere().await))]));
    told.raise("shop", 100);
    log.shows("asked again").await;
    told.limits.swap(rules(&[("shop", "")]));
    told.counts("shop", Alerted::Dropped, 1).await;
    told.stop().await;
}

#[tokio::test]
async fn at_the_end_those_that_wait_are_sent() {
    let mut receiver = Receiver::start(&[200]).await;
    let told = Told::start(rules(&[("shop", &url(&receiver))]), QUICK);
    (1..=20).for_each(|percent| told.raise("shop", percent));
    let (alerts, limits) = (told.alerts.clone(), told.limits.clone());
    told.stop().await;
    for expected in 1..=20 {
        assert_eq!(percent(&receiver.next().await), expected);
    }
    assert_eq!(count(&limits, "shop", Alerted::Sent), 20);
    alerts.raise(alert(&limits, "shop", 50));
    assert_eq!(count(&limits, "shop", Alerted::Dropped), 1, "nobody is there to send it");
}

#[tokio::test]
async fn at_the_end_no_pause_is_waited_for_and_no_webhook_without_end() {
    let log = Log::start();
    let down = format!("http://{}/", nowhere().await);
    let pause = Duration::from_secs(100_000);
    let told = Told::start(rules(&[("shop", &down)]), AlertSettings { pause, ..PATIENT });
    told.raise("shop", 50);
    log.shows("asked again").await;
    let limits = told.limits.clone();
    told.stop().await;
    assert_eq!(count(&limits, "shop", Alerted::Failed), 1, "tried once more");

    let mut silent = Receiver::start(&[0]).await;
    let drain = Duration::from_millis(1);
    let told = Told::start(rules(&[("shop", &url(&silent))]), AlertSettings { drain, ..QUICK });
    [50, 80].iter().for_each(|percent| told.raise("shop", *percent));
    silent.next().await;
    let limits = told.limits.clone();
    told.stop().await;
    assert_eq!(count(&limits, "shop", Alerted::Dropped), 2);
    assert!(log.text().contains("they are dropped alerts=2"), "{}", log.text());
}

#[tokio::test]
async fn the_address_of_a_webhook_is_never_logged() {
    let log = Log::start();
    let receiver = Receiver::start(&[503, 404]).await;
    let told = Told::start(rules(&[("shop", &url(&receiver))]), QUICK);
    told.raise("shop", 50);
    log.shows("it answers 503").await;
    log.shows("it answers 404").await;
    told.limits.swap(rules(&[("shop", "http://swordfish.invalid/swordfish")]));
    told.raise("shop", 50);
    log.shows("its name is not known").await;
    told.limits.swap(rules(&[("shop", &format!("https://{}/swordfish", receiver.address()))]));
    told.raise("shop", 50);
    log.shows("no TLS connection comes about").await;
    let text = log.text();
    assert!(!text.contains("swordfish") && !text.contains(&receiver.address().to_string()), "{text}");
    assert!(!format!("{:?}", told.limits.load()).contains("swordfish"));
}

#[tokio::test]
async fn counts_go_on_across_reloads() {
    let told = Told::start(rules(&[("shop", ""), ("club", "")]), QUICK);
    told.raise("shop", 80);
    told.counts("shop", Alerted::Logged, 1).await;
    told.limits.swap(rules(&[("shop", "")]));
    told.raise("shop", 100);
    told.counts("shop", Alerted::Logged, 2).await;
    told.stop().await;
}

/// Certificates are trusted that the machine trusts, and `SSL_CERT_FILE` says whom that is: read from the environment of
/// a process, so this test starts itself again with it set.
#[tokio::test]
async fn over_tls_by_the_certificates_that_the_environment_names() {
    const AGAIN: &str = "TOLLGATE_TEST_AGAIN";
    if std::env::var_os(AGAIN).is_none() {
        let name = "alerts::over_tls_by_the_certificates_that_the_environment_names";
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", name]).env(AGAIN, "1");
        again.env("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/ca.pem"));
        let output = again.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        untrusted_without().await;
        return;
    }
    let mut receiver = Receiver::over_tls(&[200]).await;
    for host in ["localhost", "127.0.0.1"] {
        let hook = format!("https://{host}:{}/hook", receiver.address().port());
        let told = Told::start(rules(&[("shop", &hook)]), QUICK);
        told.raise("shop", 80);
        assert_eq!(percent(&receiver.next().await), 80, "{host}");
        told.counts("shop", Alerted::Sent, 1).await;
    }
}

/// A certificate that nobody known has signed keeps the alert to ourselves.
async fn untrusted_without() {
    let log = Log::start();
    let mut receiver = Receiver::over_tls(&[200]).await;
    let hook = format!("https://localhost:{}/hook", receiver.address().port());
    let told = Told::start(rules(&[("shop", &hook)]), QUICK);
    told.raise("shop", 80);
    told.counts("shop", Alerted::Failed, 1).await;
    log.shows("its certificate is not trusted: nobody known has signed it").await;
    assert!(!receiver.has_more());
}

/// What is logged on this thread from now on, at every level.
struct Log {
    written: Written,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> Self {
        let written = Written::default();
        let lines = tracing_subscriber::fmt().with_writer(written.clone()).with_ansi(false);
        let guard = lines.with_max_level(tracing::Level::TRACE).set_default();
        Self { written, _guard: guard }
    }

    fn text(&self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until `words` are logged.
    async fn shows(&self, words: &str) {
        for _ in 0..3_000 {
            if self.text().contains(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{words:?} is not in\n{}", self.text());
    }
}

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Written {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
