//! Admins who do not wait for their answer: what only reads ends with them.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Request;
use tonic::transport::Endpoint;

use tollgate::admin;
use tollgate::audit::Journal;
use tollgate::clock::Clock;
use tollgate::engine::{Engine, EngineSettings};
use tollgate::limits::{KeySecret, LimitsHandle, WireUnit};
use tollgate::store::ledger::{Ledger, LedgerError, Line, MemoryLedger, Placing};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::transport::grpc::proto::tollgate::v1::ListAuditRequest;
use tollgate::transport::grpc::proto::tollgate::v1::admin_service_client::AdminServiceClient;

use crate::support::admins;
use crate::support::server::per_key;

/// A ledger that never tells what was there before, and how many wait for it.
#[derive(Debug)]
struct Endless {
    ledger: MemoryLedger,
    waiting: watch::Sender<usize>,
}

/// One that waits, until it is dropped.
struct Waits<'a>(&'a watch::Sender<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Ledger for Endless {
    fn append<'a>(&'a self, place: u64, line: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>> {
        self.ledger.append(place, line)
    }

    fn read(&self, from: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        self.ledger.read(from, most)
    }

    fn read_back(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        Box::pin(async {
            self.waiting.send_modify(|waiting| *waiting += 1);
            let _waits = Waits(&self.waiting);
            pending().await
        })
    }
}

#[tokio::test]
async fn a_read_ends_with_whoever_asked_for_it() {
    let (waiting, mut reads) = watch::channel(0);
    let ledger = Endless { ledger: MemoryLedger::new(std::io::sink()), waiting };
    let journal = Journal::open(Arc::new(ledger), Clock::System, |_, _| {});
    let store = MemoryStore::new(MemorySettings::default(), Clock::System, KeySecret([0; 16]));
    let rules = LimitsHandle::new(per_key("api", &[("user", 10, WireUnit::Hour)]));
    let engine = Arc::new(Engine::new(rules, store, EngineSettings::default()).recording(journal));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(admin::serve(listener, engine, admins::gate(), vec![], admin::connections(), pending()));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut request = Request::new(ListAuditRequest::default());
    request.metadata_mut().insert("authorization", admins::AUTHORIZATION.parse().unwrap());
    let mut client = AdminServiceClient::new(channel);
    let asking = tokio::spawn(async move { client.list_audit(request).await });
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, reads.wait_for(|reads| *reads == 1)).await.expect("it is asked").unwrap();
    asking.abort();
    tokio::time::timeout(patience, reads.wait_for(|reads| *reads == 0)).await.expect("it ends").unwrap();
}
