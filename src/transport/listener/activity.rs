//! What is asked on a connection, and whether anything is.
//!
//! A request counts until the last of its answer is sent, so that a stream of answers is no idleness. None is answered for
//! ever.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::Peer;

/// How many requests are being answered.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    asked: Arc<watch::Sender<usize>>,
    /// How long each may be.
    longest: Duration,
}

impl Activity {
    /// None yet, of which each may be answered for so long.
    pub(super) fn new(longest: Duration) -> Self {
        Self { asked: Arc::default(), longest }
    }

    /// `router`, which is told who asks, and whose requests are counted.
    pub(super) fn watch(&self, router: Router, peer: Peer) -> Watched {
        Watched { service: TowerToHyperService::new(router), peer, activity: self.clone() }
    }

    /// Resolves once nothing has been asked for as long as `patience`.
    pub(super) async fn ceases(&self, patience: Duration) {
        let mut asked = self.asked.subscribe();
        loop {
            let is_idle = *asked.borrow_and_update() == 0;
            tokio::select! {
                // The sender lives as long as this does.
                _ = asked.changed() => {}
                () = tokio::time::sleep(patience), if is_idle => return,
            }
        }
    }

    fn begin(&self) -> Asked {
        self.asked.send_modify(|asked| *asked += 1);
        Asked { activity: self.clone(), until: Box::pin(tokio::time::sleep(self.longest)) }
    }
}

/// That something is asked, for as long as this lives.
struct Asked {
    activity: Activity,
    /// When it has been answered for long enough.
    until: Pin<Box<Sleep>>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.activity.asked.send_modify(|asked| *asked -= 1);
    }
}

/// What answers the requests of a connection.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    service: TowerToHyperService<Router>,
    peer: Peer,
    activity: Activity,
}

impl Service<Request<Incoming>> for Watched {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let asked = self.activity.begin();
        request.extensions_mut().insert(self.peer.clone());
        let answering = self.service.call(request);
        Box::pin(async move { Ok(answering.await?.map(|body| Body::new(Answer { body, asked }))) })
    }
}

/// The body of an answer, which counts until it is sent, and breaks off where that takes too long.
struct Answer {
    body: Body,
    asked: Asked,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        self.asked
            .until
            .as_mut()
            .poll(context)
            .map(|()| Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
