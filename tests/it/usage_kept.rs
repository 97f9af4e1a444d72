//! How much of the trail of usage is kept: no more than is asked for, and nothing for longer.

use std::time::Duration;

use tollgate::clock::{Clock, Micros};
use tollgate::store::redis::{RedisSettings, RedisStore};
use tollgate::store::{Retention, Store, Trail};

use crate::support::redis::{RedisServer, until_ready};
use crate::support::tools::Tool;
use crate::usage_trail::{Bench, START, memory, until};

const SMALL: Retention = Retention { age: Micros(100_000), most: 1000 };

#[tokio::test]
async fn memory_forgets_what_is_too_old_or_too_much() {
    let bench = memory(SMALL).await;
    bench.store.note_refusal(START, b"", b"");
    bench.clock.advance(Micros(100_000));
    assert_eq!(bench.notes(Trail::Refused).await.len(), 1);
    bench.clock.advance(Micros(1000));
    assert_eq!(bench.notes(Trail::Refused).await, []);
    for _ in 0..1001 {
        bench.store.note_refusal(bench.clock.now(), b"", b"");
    }
    assert_eq!(bench.notes(Trail::Refused).await.len(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_refusals_in_a_stream_and_shows_none_that_is_too_old() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let there = &server;
        let open = |age| async move {
            let usage = Retention { age, most: 200 };
            let settings = RedisSettings { usage, ..there.settings() };
            let store = RedisStore::start(settings, Clock::System).unwrap();
            until_ready(&store).await;
            Bench { store, clock: Clock::System, _server: None }
        };
        let bench = open(Micros::from_secs(3600)).await;
        // More at once than can wait, and more in all than are kept.
        for _ in 0..40 {
            for _ in 0..50 {
                bench.store.note_refusal(START, b"whose", b"why");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let cut = || async { Some(bench.notes(Trail::Refused).await).filter(|notes| notes.len() >= 200) };
        let notes = until(cut).await;
        assert!(notes.len() < 500, "{}", notes.len());
        assert!(notes.iter().all(|note| (note.at, &*note.line) == (START, &b"why"[..])));
        let strict = open(Micros(1000)).await;
        let forgotten = || async { strict.notes(Trail::Refused).await.is_empty().then_some(()) };
        until(forgotten).await;
        let trimmed = || async { (bench.notes(Trail::Refused).await.len() < 200).then_some(()) };
        until(trimmed).await;
    }
}
