//! What the service is made of while it runs: parts that end when they are told to, and not before.

use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::task::JoinSet;

/// The parts that run.
#[derive(Debug, Default)]
pub(super) struct Parts(JoinSet<anyhow::Result<()>>);

impl Parts {
    /// Runs `part` beside the others.
    pub(super) fn add(&mut self, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.0.spawn(part);
    }

    /// Why a part ended that was not told to.
    pub(super) async fn early_end(&mut self) -> anyhow::Error {
        match self.0.join_next().await {
            Some(ended) => match ended.context("a part of the service broke off").flatten() {
                Err(error) => error,
                Ok(()) => anyhow!("a part of the service ended by itself"),
            },
            None => anyhow!("the service has no parts"),
        }
    }

    /// Waits for all parts, which have been told to end, for as long as its `patience`. Parts that fail cut
    /// short no others; the first failure is told once all have ended.
    pub(super) async fn drain(mut self, patience: Duration) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        let all = async {
            while let Some(ended) = self.0.join_next().await {
                let ended = ended.context("a part of the service broke off").flatten();
                if outcome.is_ok() {
                    outcome = ended;
                }
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(?patience, "calls in progress are cut off");
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::anyhow;
    use tokio::sync::oneshot;

    use super::Parts;

    #[tokio::test]
    async fn a_part_that_fails_does_not_cut_off_those_that_drain() {
        let (first_ended, first_end) = oneshot::channel::<()>();
        let (answered, mut answer) = oneshot::channel();
        let mut parts = Parts::default();
        parts.add(async move {
            drop(first_ended);
            Err(anyhow!("the first"))
        });
        parts.add(async move {
            _ = first_end.await;
            tokio::task::yield_now().await;
            Err(anyhow!("the second"))
        });
        parts.add(async move {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            answered.send(()).map_err(|()| anyhow!("nobody asked"))
        });
        assert_eq!(parts.drain(Duration::MAX).await.unwrap_err().to_string(), "the first");
        answer.try_recv().expect("the part that had calls in progress ended in peace");
    }
}
