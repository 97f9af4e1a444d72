//! What is asked on a connection, and whether anything is.
//!
//! A request counts until the last of its answer is sent, so that a stream of answers is no idleness. An answer of which nothing
//! more comes is none for ever.

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
    /// How long the next part of an answer may take.
    silence: Duration,
}

impl Activity {
    /// None yet, of whose answers the next part may take so long.
    pub(super) fn new(silence: Duration) -> Self {
        Self { asked: Arc::default(), silence }
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
        Asked { activity: self.clone() }
    }
}

/// That something is asked, for as long as this lives.
struct Asked {
    activity: Activity,
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
        Box::pin(
            async move { Ok(answering.await?.map(|body| Body::new(Answer { body, asked, deadline: None }))) },
        )
    }
}

/// The body of an answer, which counts until it is sent, and breaks off where nothing more of it comes for too long.
struct Answer {
    body: Body,
    asked: Asked,
    /// Runs while the next part is waited for.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.deadline = None;
            return Poll::Ready(frame);
        }
        let silence = self.asked.activity.silence;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(silence)));
        deadline
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

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_answer_lasts_as_long_as_more_of_it_comes() {
        let lines = stream::iter(0..5).then(|_| sleep(40 * SECOND)).map(|()| Ok("line"));
        let body = Body::from_stream(lines.chain(stream::pending::<io::Result<&str>>()));
        let asked = Activity::new(60 * SECOND).begin();
        let mut parts = Body::new(Answer { body, asked, deadline: None }).into_data_stream();
        for _ in 0..5 {
            assert_eq!(parts.next().await.unwrap().unwrap(), "line");
        }
        assert!(parts.next().await.unwrap().is_err(), "nothing more comes");
    }
}
