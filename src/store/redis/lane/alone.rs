//! Calls that travel alone: one command each, over the same connections as batches and judged as they are.
//!
//! They wait for nobody: the connection sends what is asked of it in order. Too many of them at once are refused.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, Script};
use tokio::time::timeout;

use super::{Lane, SLACK, Track};
use crate::clock::{Micros, Timestamp};
use crate::store::StoreError;
use crate::store::redis::client::Open;
use crate::store::redis::errors::{Failure, Remedy, classify};
use crate::store::redis::script::Time;

/// How many may be on their way: more than a Redis can do within their deadlines.
pub(super) const MOST: usize = 1024;

/// A call that travels alone.
pub(in crate::store::redis) trait Alone {
    /// The form of its reply.
    type Reply: FromRedisValue;
    /// What is read off that.
    type Said;

    /// How much longer than its caller has time it is waited for what Redis has begun with before that.
    const UNTIL_TOLD: Duration = Duration::ZERO;

    /// Its script.
    fn script(scripts: &Scripts) -> &Script;

    /// The command that makes it, by the script of this hash.
    fn command(&self, hash: &str, time: Time) -> Cmd;

    /// The store's time, and what was said.
    fn read(&self, reply: &Self::Reply) -> Result<(Timestamp, Self::Said), StoreError>;

    /// Whether it may be done after its caller has gone.
    fn may_be_late(&self) -> bool;
}

/// The scripts of calls that travel alone.
pub(in crate::store::redis) struct Scripts {
    pub(in crate::store::redis) charge: Script,
    pub(in crate::store::redis) reserve: Script,
    pub(in crate::store::redis) settle: Script,
}

impl Lane {
    /// Sends `call`, for which somebody waits until `until` by the steady clock: what becomes of it.
    pub(in crate::store::redis) async fn ask_alone<A: Alone>(
        &self,
        call: &A,
        until: Micros,
    ) -> Result<A::Said, StoreError> {
        let track = &self.track;
        let _place = track.alone.try_acquire().map_err(|_| StoreError::Unavailable)?;
        let open = track.connections.pick().ok_or(StoreError::Unavailable)?;
        let left = Micros(until.0.saturating_sub(track.plan.clock.steady().0));
        match timeout(Duration::from(left) + A::UNTIL_TOLD, track.make(&open, call, left)).await {
            Ok(answer) => track.judge(&open, answer),
            Err(_) => {
                track.connections.silent(&open);
                Err(StoreError::Timeout)
            }
        }
    }
}

impl Track {
    /// Makes `call`; again if the script has to be loaded first.
    async fn make<A: Alone>(&self, open: &Open, call: &A, left: Micros) -> Result<A::Said, Failure> {
        let (clock, script) = (&self.plan.clock, A::script(&self.scripts));
        let mut connection = open.connection();
        let until = clock.now().plus(left).plus(Micros::of(SLACK));
        let until = if call.may_be_late() { None } else { Some(until) };
        for _ in 0..3 {
            let asked = clock.now();
            let command = call.command(script.get_hash(), self.time(asked, until));
            let reply = match command.query_async::<A::Reply>(&mut connection).await {
                Err(error) if classify(&error).1 == Remedy::Load => {
                    script.load_async(&mut connection).await?;
                    continue;
                }
                reply => reply?,
            };
            let (at, said) = call.read(&reply)?;
            self.plan.offset.learn(asked, at, clock.now());
            return Ok(said);
        }
        Err(StoreError::Unavailable.into())
    }
}
