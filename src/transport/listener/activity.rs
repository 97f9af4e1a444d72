//! What is asked on a connection, and whether anything is.
//!
//! A request counts until the last of its answer is sent, so that a stream of answers is no idleness.

use std::convert::Infallible;
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

use super::Peer;

/// How many requests are being answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<watch::Sender<usize>>);

impl Activity {
    /// `router`, which is told who asks, and whose requests are counted.
    pub(super) fn watch(&self, router: Router, peer: Peer) -> Watched {
        Watched { service: TowerToHyperService::new(router), peer, activity: self.clone() }
    }

    /// Resolves once nothing has been asked for as long as `patience`.
    pub(super) async fn ceases(&self, patience: Duration) {
        let mut asked = self.0.subscribe();
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
        self.0.send_modify(|asked| *asked += 1);
        Asked(self.clone())
    }
}

/// That something is asked, for as long as this lives.
struct Asked(Activity);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.0.send_modify(|asked| *asked -= 1);
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
        Box::pin(async move { Ok(answering.await?.map(|body| Body::new(Answer { body, _asked: asked }))) })
    }
}

/// The body of an answer, which counts until it is sent.
struct Answer {
    body: Body,
    _asked: Asked,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
