//! The threads that decide: each has a runtime of its own and serves the connections it is dealt.
//!
//! A call is read, decided and answered on one thread and never moves. A thread that ends says how.

use std::io;
use std::num::NonZeroUsize;
use std::thread;

use tokio::sync::oneshot;

use crate::engine::{Check, Hold};
use crate::transport::accept::{self, Connections, Worker};
use crate::transport::access::Access;
use crate::transport::grpc::{self, GrpcSettings};
use crate::transport::health::Health;

use super::stop::Stop;

/// A thread that decides.
#[derive(Debug)]
pub(super) struct Thread {
    /// Where connections are dealt to.
    pub(super) inbox: Worker,
    /// Tells when it has ended, or breaks off with it.
    pub(super) end: oneshot::Receiver<()>,
}

/// Makes the one who decides, within the runtime of the thread that it is to decide on.
pub(super) trait Checks<C>: Fn() -> C + Clone + Send + 'static {}

impl<C, F: Fn() -> C + Clone + Send + 'static> Checks<C> for F {}

/// What every thread needs.
#[derive(Clone, Debug)]
pub(super) struct Desk<F> {
    /// Makes the one who decides.
    pub(super) check: F,
    /// Whether calls are wanted.
    pub(super) health: Health,
    /// How connections and calls are treated.
    pub(super) settings: GrpcSettings,
    /// Who may call.
    pub(super) access: Access,
    /// When to turn new calls away, and to end once those in progress have.
    pub(super) stop: Stop,
}

/// Starts `count` threads at desks like `desk`.
pub(super) fn start<C: Check + Hold>(
    count: NonZeroUsize,
    desk: &Desk<impl Checks<C>>,
) -> io::Result<Vec<Thread>> {
    (0..count.get()).map(|number| desk.clone().staff(number)).collect()
}

impl<F> Desk<F> {
    fn staff<C: Check + Hold>(self, number: usize) -> io::Result<Thread>
    where
        F: Checks<C>,
    {
        let (inbox, connections) = accept::worker();
        let (ended, end) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let check = {
            let _within = runtime.enter();
            (self.check)()
        };
        thread::Builder::new().name(format!("decide-{number}")).spawn(move || {
            runtime.block_on(self.serve(check, connections));
            // When the process has run out of patience, nobody waits for this any more.
            _ = ended.send(());
        })?;
        Ok(Thread { inbox, end })
    }

    async fn serve(self, check: impl Check + Hold, connections: Connections) {
        grpc::serve(connections, check, &self.health, &self.settings, self.access, self.stop.asked()).await;
    }
}
