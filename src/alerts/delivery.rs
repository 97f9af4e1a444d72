//! The task that tells alerts: each is logged as it comes, then waits in the line of its webhook.
//!
//! A line is served one by one, so a webhook hears of things in their order, and one that does not answer holds up
//! nobody but its own line. The webhook is looked up again for each try, so a reload helps those that wait already.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::limits::{Alerted, Domain, LimitsHandle, Webhook};

use super::post::{Post, Untaken};
use super::{Alert, AlertSettings, Alerts, Crowd, pause};

/// Sends one alert to its end; tells whose line it stood in.
type Sending = Pin<Box<dyn Future<Output = Webhook> + Send>>;

/// Tells the alerts that are raised, while it runs.
pub struct Delivery {
    alerts: Alerts,
    inbox: mpsc::Receiver<Alert>,
    /// By the webhook at the time. The first of each is being sent.
    lines: HashMap<Webhook, VecDeque<Arc<Alert>>>,
    sending: FuturesUnordered<Sending>,
    hurry: watch::Sender<bool>,
    desk: Desk,
}

/// What is needed to send an alert.
#[derive(Clone)]
struct Desk {
    limits: LimitsHandle,
    settings: AlertSettings,
    post: Arc<Post>,
    /// Whether there is no time left for pauses.
    hurry: watch::Receiver<bool>,
}

impl Delivery {
    /// Nothing is raised yet. The webhooks are those of `limits`, whichever are in force.
    pub fn new(limits: LimitsHandle, settings: AlertSettings) -> Self {
        let (sender, inbox) = mpsc::channel(settings.most_waiting);
        let (hurry, hurried) = watch::channel(false);
        Self {
            alerts: Alerts { inbox: sender, crowd: Arc::new(Crowd::default()) },
            inbox,
            lines: HashMap::new(),
            sending: FuturesUnordered::new(),
            hurry,
            desk: Desk { limits, settings, post: Arc::default(), hurry: hurried },
        }
    }

    /// Where alerts are raised that this is to tell.
    pub fn alerts(&self) -> Alerts {
        self.alerts.clone()
    }

    /// Tells alerts until `stop` resolves, and then those that wait, for a short time.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(alert) = self.inbox.recv() => self.take(alert),
                Some(webhook) = self.sending.next() => self.go_on(webhook),
            }
        }
        self.hurry.send_replace(true);
        self.inbox.close();
        while let Some(alert) = self.inbox.recv().await {
            self.take(alert);
        }
        // Whoever is not sent by then is left in its line.
        _ = timeout(self.desk.settings.drain, self.finish()).await;
        self.give_up();
    }

    async fn finish(&mut self) {
        while let Some(webhook) = self.sending.next().await {
            self.go_on(webhook);
        }
    }

    fn give_up(&self) {
        let left = self.waiting();
        if left > 0 {
            tracing::error!(
                alerts = left,
                "stopped before their webhook took these alerts: they are dropped"
            );
        }
        self.lines.values().flatten().for_each(|alert| alert.became(Alerted::Dropped));
    }

    fn waiting(&self) -> usize {
        self.lines.values().map(VecDeque::len).sum()
    }

    /// Logs `alert`, and lines it up for its webhook if it has one.
    fn take(&mut self, alert: Alert) {
        alert.log();
        let Some(webhook) = self.desk.webhook_of(&alert) else {
            return alert.became(Alerted::Logged);
        };
        if self.waiting() >= self.desk.settings.most_waiting {
            return self.alerts.crowd.turn_away(&alert);
        }
        let line = self.lines.entry(webhook.clone()).or_default();
        line.push_back(Arc::new(alert));
        if let [first] = line.make_contiguous() {
            self.sending.push(Box::pin(self.desk.clone().send(first.clone(), webhook)));
        }
    }

    /// Goes on in the line of `webhook`, whose first is done.
    fn go_on(&mut self, webhook: Webhook) {
        let Some(line) = self.lines.get_mut(&webhook) else { return };
        line.pop_front();
        if let Some(next) = line.front() {
            self.sending.push(Box::pin(self.desk.clone().send(next.clone(), webhook)));
            return;
        }
        self.lines.remove(&webhook);
        if self.lines.is_empty() {
            self.alerts.crowd.is_gone();
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("settings", &self.desk.settings).finish_non_exhaustive()
    }
}

impl Desk {
    /// Where `alert` goes by the rules in force.
    fn webhook_of(&self, alert: &Alert) -> Option<Webhook> {
        match self.limits.load().domains.get(alert.domain().as_bytes())? {
            Domain::Native(domain) => domain.webhook.clone(),
            Domain::Reference(_) => None,
        }
    }

    /// Offers `alert` until it is taken or that makes no sense any more. It stands in the line of `line`.
    async fn send(mut self, alert: Arc<Alert>, line: Webhook) -> Webhook {
        let mut failures = 0;
        let what = loop {
            let Some(webhook) = self.webhook_of(&alert) else { break Alerted::Dropped };
            let hurried = *self.hurry.borrow();
            let Err(untaken) = self.post.send(&webhook, alert.body(), self.settings.patience).await else {
                break Alerted::Sent;
            };
            failures += 1;
            if hurried || failures >= self.settings.tries || !untaken.may_pass() {
                say_lost(&alert, &untaken, failures);
                break Alerted::Failed;
            }
            if failures == 1 {
                say_late(&alert, &untaken);
            }
            self.wait(&alert, failures).await;
        };
        alert.became(what);
        line
    }

    /// Waits for the next try, but not once there is no time left.
    async fn wait(&mut self, alert: &Alert, failures: u32) {
        let draws = alert.id().to_le_bytes();
        let draw = draws[failures as usize % draws.len()];
        let pause = pause::after(failures, self.settings.pause, draw);
        tokio::select! {
            () = sleep(pause) => {}
            _ = self.hurry.wait_for(|hurry| *hurry) => {}
        }
    }
}

fn say_late(alert: &Alert, untaken: &Untaken) {
    let (domain, limit) = (alert.domain(), alert.limit());
    tracing::warn!(domain, limit, reason = %untaken, "the webhook did not take an alert, and is asked again");
}

fn say_lost(alert: &Alert, untaken: &Untaken, tries: u32) {
    let (domain, limit) = (alert.domain(), alert.limit());
    tracing::error!(domain, limit, tries, reason = %untaken, "the webhook did not take an alert: it is lost");
}
