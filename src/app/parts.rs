//! What the service is made of while it runs: parts that end when they are told to, and not before.

use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::task::JoinSet;

/// How long calls in progress may take once new ones are turned away. With the longest drain delay before it,
/// the process is gone within 25 s of the signal.
const PATIENCE: Duration = Duration::from_secs(18);

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

    /// Waits for all parts, which have been told to end, for as long as it has patience.
    pub(super) async fn drain(mut self) -> anyhow::Result<()> {
        let all = async {
            while let Some(ended) = self.0.join_next().await {
                ended.context("a part of the service broke off")??;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| {
            tracing::warn!(patience = ?PATIENCE, "calls in progress are cut off");
            Ok(())
        })
    }
}
