//! Money against an oracle in exact arithmetic, for random prices and random bills: of several models and classes, beyond
//! steps, before and after a change of prices, in parts and told again. Each settle is rounded once, and what its events
//! tell adds up to what is used, over each store.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tollgate::clock::Timestamp;
use tollgate::engine::{
    Check, Engine, EngineSettings, Hold, Inspect, Named, Progress, ReserveRequest, SettleRequest, SubjectOf,
    Unclaimed, UsageOf,
};
use tollgate::limits::{Entry, LimitsHandle, Metadata};
use tollgate::store::Store;

use crate::support::bench::{Bench, promises};
use crate::support::embedded::{Ask, rules};

promises!(of [memory, redis]: {
    what_is_used_is_what_the_oracle_says_and_what_events_tell,
});

const CASES: u64 = 48;
const CLASSES: [&str; 4] = ["input", "cached_input", "output", "reasoning"];
const MODELS: [&str; 3] = ["mini", "maxi", "long"];

/// Prices of the classes, in nano-USD per million tokens.
type Prices = [u64; 4];
type Counts = [u64; 4];

/// Prices from some day on, and those of calls with more input than so much.
#[derive(Clone, Debug)]
struct Version {
    prices: Prices,
    step: Option<(u64, Prices)>,
}

/// Those of a model before a boundary and from it on.
type Model = [Version; 2];

/// How a call comes to its bill.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Reserved before the prices change and settled by the handle after it.
    Handle,
    /// The same by its key.
    Key,
    /// The same, and said to be used after the change.
    UsedAt,
    /// Reserved and told by descriptors, all models at once.
    Envoy,
    /// Told by descriptors when nothing was reserved.
    After,
}

#[derive(Clone, Debug)]
struct Case {
    models: [Model; 3],
    way: Way,
    /// What each part of the call adds, by model; of one model but where descriptors tell it.
    parts: Vec<[Counts; 3]>,
    which: usize,
}

/// What is drawn, always alike.
struct Lots(TestRunner);

impl Lots {
    fn below(&mut self, end: usize) -> usize {
        (0..end).new_tree(&mut self.0).unwrap().current()
    }

    /// None, few, or up to `most`.
    fn amount(&mut self, most: u64) -> u64 {
        let most = [0, 9, 9, most, most][self.below(5)];
        (0..=most).new_tree(&mut self.0).unwrap().current()
    }

    fn amounts(&mut self, most: u64) -> [u64; 4] {
        std::array::from_fn(|_| self.amount(most))
    }

    /// Prices of which those beyond a step are never lower.
    fn version(&mut self) -> Version {
        let (prices, more) = (self.amounts(200_000_000_000), self.amounts(200_000_000_000));
        let dearer = std::array::from_fn(|class| prices[class] + more[class]);
        let above = 1 + self.amount(3_000);
        Version { prices, step: [None, Some((above, dearer))][self.below(2)] }
    }

    fn case(&mut self) -> Case {
        let ways = [Way::Handle, Way::Key, Way::UsedAt, Way::Envoy, Way::After];
        let parts = 1 + self.below(3);
        Case {
            models: std::array::from_fn(|_| std::array::from_fn(|_| self.version())),
            way: ways[self.below(ways.len())],
            parts: (0..parts).map(|_| std::array::from_fn(|_| self.amounts(2_000))).collect(),
            which: self.below(MODELS.len()),
        }
    }
}

impl Case {
    /// The file with its prices, which change on the day `day`.
    fn file(&self, day: &str) -> String {
        let mut file = String::from(
            "domains: {llm: {per: user, headers: {standings: true}, limits: {spend: $9000000 total, all: $9000000 total per all}, \
             routes: {chat: [spend, all]}}}\nprices:\n  models:\n",
        );
        let written = |prices: &Prices| {
            let price = |(class, nanos): (&&str, &u64)| {
                format!("{class}: {}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
            };
            CLASSES.iter().zip(prices).map(price).collect::<Vec<_>>().join(", ")
        };
        for (name, versions) in MODELS.iter().zip(&self.models) {
            writeln!(file, "    {name}:").unwrap();
            for (from, version) in ["2020-01-01", day].iter().zip(versions) {
                writeln!(file, "      - {{from: {from}, {}}}", written(&version.prices)).unwrap();
                if let Some((above, prices)) = &version.step {
                    writeln!(file, "      - {{above: {above}, {}}}", written(prices)).unwrap();
                }
            }
        }
        file
    }

    /// All that was told up to each part, by model.
    fn totals(&self) -> Vec<[Counts; 3]> {
        let mut total = [[0; 4]; 3];
        let told = |part: &[Counts; 3]| {
            for (model, counts) in part.iter().enumerate().filter(|(model, _)| self.is_told(*model)) {
                counts.iter().enumerate().for_each(|(class, count)| total[model][class] += count);
            }
            total
        };
        self.parts.iter().map(told).collect()
    }

    /// Whether anything is told of a model: the limit service is told of one at a time.
    fn is_told(&self, model: usize) -> bool {
        matches!(self.way, Way::Envoy | Way::After) || model == self.which
    }

    /// What so much costs, in nano-USD: products by a million, summed up over all classes and models, and rounded up once.
    fn cost(&self, total: &[Counts; 3]) -> u64 {
        let new = usize::from(matches!(self.way, Way::UsedAt | Way::After));
        let millionths: u128 = self
            .models
            .iter()
            .zip(total)
            .map(|(versions, counts)| {
                let version = &versions[new];
                let prices = match &version.step {
                    Some((above, prices)) if counts[0] + counts[1] > *above => prices,
                    _ => &version.prices,
                };
                prices
                    .iter()
                    .zip(counts)
                    .map(|(price, count)| u128::from(*price) * u128::from(*count))
                    .sum::<u128>()
            })
            .sum();
        u64::try_from(millionths.div_ceil(1_000_000)).unwrap()
    }
}

struct Service<S: Store> {
    engine: Arc<Engine<Arc<S>>>,
    limits: LimitsHandle,
    bench: Bench<S>,
}

impl<S: Store> Service<S> {
    fn subject(user: &str) -> SubjectOf<'_> {
        let entries =
            [Entry { key: b"user", value: user.as_bytes() }, Entry { key: b"route", value: b"chat" }];
        SubjectOf { domain: b"llm", entries: entries.into_iter().collect() }
    }

    /// So much of what was asked for `user` first, by key `k`.
    async fn reserve(&self, user: &str, model: &str) -> String {
        let request = ReserveRequest {
            subject: Self::subject(user),
            estimate: UsageOf {
                model: model.as_bytes(),
                tokens: [(&b"output"[..], 5)].into_iter().collect(),
                ..UsageOf::default()
            },
            idempotency_key: b"k",
            ..ReserveRequest::default()
        };
        self.engine.reserve(request).await.unwrap().handle.unwrap().to_string()
    }

    async fn settle(&self, case: &Case, user: &str, handle: &str, total: &[Counts; 3], progress: Progress) {
        let tokens = CLASSES.iter().map(|class| class.as_bytes()).zip(total[case.which]);
        let request = SettleRequest {
            reserved: match case.way {
                Way::Key => Named::Key { subject: Self::subject(user), idempotency_key: b"k" },
                _ => Named::Handle(handle.as_bytes()),
            },
            used: Some(UsageOf {
                model: MODELS[case.which].as_bytes(),
                tokens: tokens.filter(|(_, count)| *count > 0).collect(),
                ..UsageOf::default()
            }),
            progress,
            used_at: matches!(case.way, Way::UsedAt).then(|| self.bench.clock.now()),
        };
        self.engine.settle(request).await.unwrap();
    }

    /// What Envoy is told when it asks before a call, which is to hold five tokens.
    async fn begin(&self, user: &str) -> String {
        let ask = Ask::new("llm", &format!("user={user} route=chat model=mini reserve=5"));
        let decision = self.engine.check(ask.request()).await.unwrap();
        decision.unclaimed.iter().for_each(Unclaimed::claim);
        match decision.metadata.as_ref().and_then(|all| all.get("hold")) {
            Some(Metadata::Text(hold)) => hold.to_string(),
            other => panic!("{other:?} is no hold"),
        }
    }

    /// Tells by descriptors, one a model and a class, in one call.
    async fn tell(&self, user: &str, with: &str, total: &[Counts; 3]) {
        let mut ask: Option<Ask> = None;
        for (model, counts) in MODELS.iter().zip(total) {
            for (class, count) in CLASSES.iter().zip(counts) {
                let entries = format!("user={user} route=chat model={model} usage={class} {with}");
                let asked = ask.take().map_or_else(|| Ask::new("llm", &entries), |ask| ask.and(&entries));
                ask = Some(asked.hits(*count));
            }
        }
        self.engine.check(ask.unwrap().request()).await.unwrap();
    }

    /// What `user` has used, and what all have.
    async fn used(&self, user: &str) -> [u64; 2] {
        let mut used = [0; 2];
        for (used, limit) in used.iter_mut().zip(["spend", "all"]) {
            let look = Ask::new("llm", &format!("user={user} limit={limit}")).hits(0);
            let metadata = self.engine.check(look.request()).await.unwrap().metadata.unwrap();
            let Metadata::Map(standings) = &metadata["standings"] else { panic!("{metadata:?}") };
            let Metadata::Map(standing) = &standings[limit] else { panic!("{metadata:?}") };
            let Metadata::Number(number) = standing["used"] else { panic!("{metadata:?}") };
            *used = number.to_string().parse().unwrap();
        }
        used
    }

    /// What the events of `user` come to.
    async fn told(&self, user: &str) -> u64 {
        let asked = [("subject".to_owned(), format!("user={user}").into_bytes())];
        let (mut query, mut lines) = (self.engine.usage(&asked).unwrap(), String::new());
        while let Some((page, rest)) = self.engine.read_usage(query).await.unwrap() {
            lines.push_str(&page);
            query = rest;
        }
        let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.map(|event| event["nano_usd"].as_u64().unwrap()).sum()
    }
}

async fn what_is_used_is_what_the_oracle_says_and_what_events_tell<S: Store>(bench: Bench<S>) {
    let mut lots = Lots(TestRunner::deterministic());
    let day = |number: u64| Timestamp(1_795_262_400_000_000 + number * 86_400_000_000);
    let limits = LimitsHandle::new(rules("domains: {llm: {per: user, limits: {rate: 1/1m}}}"));
    let engine = Arc::new(Engine::new(limits.clone(), bench.store.clone(), EngineSettings::default()));
    let service = Service { engine, limits, bench };
    let (mut of_all, mut of_ways) = (0, [0; 5]);
    for number in 0..CASES {
        let case = lots.case();
        of_ways[case.way as usize] += 1;
        let user = number.to_string();
        // From noon to the next morning: prices change at midnight, and what is reserved is known for a day.
        let boundary = tollgate::calendar::in_utc(day(number + 1));
        service.bench.clock.set(day(number));
        service.limits.swap(rules(&case.file(boundary.split('T').next().unwrap())));
        let hold = match case.way {
            Way::Handle | Way::Key | Way::UsedAt => service.reserve(&user, MODELS[case.which]).await,
            Way::Envoy => format!("hold={}", service.begin(&user).await),
            Way::After => "idempotency_key=k".to_owned(),
        };
        service.bench.clock.set(Timestamp(day(number + 1).0 - 6 * 3_600_000_000));
        let totals = case.totals();
        let last = totals.last().unwrap();
        let expected = case.cost(last);
        match case.way {
            Way::Envoy | Way::After => {
                for _ in 0..2 {
                    service.tell(&user, &hold, last).await;
                }
            }
            _ => {
                for total in totals.iter().chain(&totals) {
                    service.settle(&case, &user, &hold, total, Progress::More).await;
                }
                for _ in 0..2 {
                    service.settle(&case, &user, &hold, last, Progress::Done).await;
                }
            }
        }
        of_all += expected;
        assert_eq!(service.used(&user).await, [expected, of_all], "{case:?}");
        assert_eq!(service.told(&user).await, expected, "{case:?}");
    }
    assert!(of_ways.iter().all(|cases| *cases > 0), "{of_ways:?}");
}
