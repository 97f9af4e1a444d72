//! How often a decision takes memory from the heap: its price under load, and one that no machine's noise moves.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use smallvec::smallvec;
use tollgate::clock::Clock;
use tollgate::engine::{
    Check, CheckRequest, Code, Decision, Descriptor, Engine, EngineSettings, InvalidRequest,
};
use tollgate::limits::{Entry, KeySecret, LimitsHandle};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::transport::grpc::GrpcSettings;

use crate::support::embedded::{NOON, rules};
use crate::support::peer::{Peer, plain};
use crate::support::raw::framed;
use crate::support::server::TestServer;

/// What a call of `ann` comes to, and how often it allocates, once her counter is there.
fn asked(document: &str) -> (Decision, u64) {
    let store = MemoryStore::new(MemorySettings::default(), Clock::manual(NOON), KeySecret([7; 16]));
    let engine = Arc::new(Engine::new(LimitsHandle::new(rules(document)), store, EngineSettings::default()));
    let ask = || {
        let path = Entry { key: b"path", value: b"/x" };
        let entries = smallvec![path, Entry { key: b"user", value: b"ann" }];
        let descriptors = smallvec![Descriptor { entries, ..Descriptor::default() }];
        let check = engine.check(CheckRequest { domain: b"d", descriptors, hits: 0 });
        match pin!(check).poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(answer) => answer.unwrap(),
            std::task::Poll::Pending => unreachable!("the memory store never waits"),
        }
    };
    ask();
    let mut decision = None;
    let counted = allocation_counter::measure(|| decision = Some(ask()));
    (decision.unwrap(), counted.count_total)
}

#[test]
fn a_call_that_passes_takes_nothing_from_the_heap() {
    let native =
        |limit: &str| format!("domains: {{d: {{per: user, limits: {{l: {limit}}}, routes: {{/x: l}}}}}}");
    let reference = "domain: d\ndescriptors:\n- key: path\n  value: /x\n  descriptors:\n  - key: user\n    rate_limit: {unit: hour, requests_per_unit: 9}\n";
    // The memory store's and the answer's included; a refusal has more headers than stand in place.
    for (document, code, most) in [
        (native("1000/1m"), Code::Ok, 0),
        (native("1/1m"), Code::OverLimit, 1),
        (native("1000/1m fixed"), Code::Ok, 0),
        (native("1000/1m burst 1000"), Code::Ok, 0),
        (reference.to_owned(), Code::Ok, 0),
    ] {
        let (decision, allocations) = asked(&document);
        assert_eq!(decision.code, code, "{document}");
        assert!(allocations <= most, "{allocations} allocations: {document}");
    }
}

/// Lets everything pass.
#[derive(Clone)]
struct Passing;

impl Check for Passing {
    async fn check(&self, request: CheckRequest<'_>) -> Result<Decision, InvalidRequest> {
        Ok(Decision::pass(request.descriptors.len()))
    }
}

#[test]
fn a_call_that_does_not_end_is_kept_as_it_came() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = GrpcSettings {
        stream_window_bytes: 1 << 20,
        timeout: Duration::from_secs(3600),
        ..GrpcSettings::default()
    };
    let begun = async {
        let server = TestServer::of(Passing, settings).await;
        let mut peer = Peer::of(server.grpc).await;
        let mut begun = peer.begin(plain()).await;
        // So many descriptors with nothing in them.
        begun.sending.send_data(framed(&[0x12, 0].repeat(200_000)).into(), false).unwrap();
        // h2 sends a piece of each call in turn, so that the whole message comes before the last of these.
        for _ in 0..100 {
            assert!(peer.call(plain(), &[&framed(&[])]).await.code().is_some());
        }
        (server, peer, begun)
    };
    let mut open = None;
    let kept = allocation_counter::measure(|| open = Some(runtime.block_on(begun)));
    assert!((400_000..4_000_000).contains(&kept.bytes_current), "{kept:?}");
}
