//! A settle of which Redis refuses a part leaves everything as it was, and is made in full when it is tried again.

use tollgate::clock::Clock;
use tollgate::limits::Window;
use tollgate::store::redis::RedisStore;
use tollgate::store::{
    Before, Hold, Page, Place, Report, Reserve, Settle, Settled, Store, StoreError, Then, Trail,
};

use crate::support::holding::{KEEP, LIFE, Limited, name, tokens};
use crate::support::redis::{RedisServer, tell};
use crate::support::tools::Tool;

const TRAIL: &str = "tollgate:usage:spent";
/// The counters of the reservation.
const COUNTERS: [u128; 2] = [1, 2];

/// The second counter, or with this ending what stands beside it.
fn second(ending: &str) -> String {
    format!("tollgate:{{{:016x}}}:{:032x}{ending}", 1, COUNTERS[1])
}

fn limit() -> Limited {
    Limited::new(Window::Total { forget: None }, 100)
}

async fn reserve(store: &RedisStore, number: u128) {
    let limit = limit();
    let charges = COUNTERS.map(|id| limit.hold(id, 30));
    let (body, accepts_less, about) = (1, None, &b"ann"[..]);
    let call = Reserve {
        name: name(number),
        body,
        charges: &charges,
        accepts_less,
        life: LIFE,
        about,
        expenses: &[],
    };
    assert!(matches!(store.reserve(call).await.unwrap().hold, Hold::Taken(_)));
}

async fn settle(store: &RedisStore, then: Then) -> Result<Settled, StoreError> {
    let report = Some(Report { about: b"", line: b"", classes: &[20] });
    store.settle(Settle { name: name(7), spent: tokens(20), then, otherwise: &[], report, keep: KEEP }).await
}

/// All that Redis has of the subject and of usage; beside that the store rehearses.
fn all(server: &RedisServer) -> Vec<(String, Option<Vec<u8>>)> {
    let mut connection = server.connection();
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("tollgate:{*1}:*").query(&mut connection).unwrap();
    keys.sort_unstable();
    keys.push(TRAIL.to_owned());
    let dump = |key: String| {
        let value = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
        (key, value)
    };
    keys.into_iter().map(dump).collect()
}

async fn noted(store: &RedisStore) -> Vec<u64> {
    let page = Page { trail: Trail::Spent, from: Place::default(), most: 100 };
    let notes = store.notes(page).await.unwrap();
    notes.iter().map(|note| note.spending.as_ref().unwrap().tokens).collect()
}

#[tokio::test]
async fn what_redis_refuses_a_part_of_is_not_done_and_done_once_when_tried_again() {
    for tool in [Tool::Redis, Tool::Valkey] {
        for then in [Then::More, Then::Done] {
            for other_type in [second(""), second(":h"), second(":o"), TRAIL.to_owned()] {
                let context = format!("{tool:?} {then:?} {other_type}");
                let server = RedisServer::start(tool);
                let store = server.store(Clock::System).await;
                reserve(&store, 7).await;
                reserve(&store, 8).await;
                let is_there = all(&server).iter().any(|(key, value)| *key == other_type && value.is_some());
                if is_there {
                    tell(&server, &["RENAME", &other_type, "aside"]);
                }
                tell(&server, &["LPUSH", &other_type, "of another type"]);
                let before = all(&server);
                for _ in 0..2 {
                    let refused = settle(&store, then).await.unwrap_err();
                    assert!(matches!(refused, StoreError::Refused { .. }), "{refused:?}, {context}");
                    assert_eq!(all(&server), before, "{context}");
                }
                tell(&server, &["DEL", &other_type]);
                if is_there {
                    tell(&server, &["RENAME", "aside", &other_type]);
                }
                let settled = settle(&store, then).await.unwrap();
                let left = if then == Then::More { 10 } else { 0 };
                let parts: Vec<_> = settled
                    .parts
                    .iter()
                    .map(|part| {
                        let standing = part.outcome.standing;
                        (part.charged, part.paid, standing.used, standing.held)
                    })
                    .collect();
                assert_eq!(settled.before, Before::Held, "{context}");
                assert_eq!(parts, [(20, 20, 20, 30 + left); 2], "{context}");
                assert_eq!(noted(&store).await, [20], "{context}");
            }
        }
    }
}
