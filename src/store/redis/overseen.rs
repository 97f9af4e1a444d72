//! What operators ask, and marks: each is one command of its own, for whoever decides waits for nothing of it. Redis may
//! take as long to begin with it as any question that is no decision: a reset looks at every day on which a month may begin.
//!
//! A mark is a capacity beside the counters of its subject, which Redis forgets by itself. How old it is tells one look more at
//! it in the same step, by a rule that forgets it sooner.

use std::time::Duration;

use redis::{Cmd, Script, Value};

use crate::algorithm::{Op, Rule};
use crate::clock::{Micros, Timestamp};
use crate::limits::{CounterKey, Number, OnError, Unit, Window};
use crate::store::{
    Admission, Answer, Binding, Call, Charge, FreedBy, KEPT, Mark, MarkAge, Marked, Outcomes, RECENT,
    StoreError,
};

use super::batch::Batch;
use super::errors::told_to_script;
use super::lane::{Alone, Scripts};
use super::script::{self, Replied, Time};
use super::{ASKS, RedisStore};

/// How much longer it is waited for: what Redis has begun is done, and whoever asked is to know it.
const UNTIL_TOLD: Duration = Duration::from_millis(250);

static WHILE_KEPT: Window = Window::Total { forget: Some(KEPT) };
static WHILE_RECENT: Window = Window::Total { forget: Some(RECENT) };
/// Tells the least mark from none.
const KNOWN: u64 = 1 << 31;

/// A call of an operator.
struct Overseen(Batch);

impl Alone for Overseen {
    type Reply = Value;
    type Said = Option<(Timestamp, Replied)>;

    const UNTIL_TOLD: Duration = UNTIL_TOLD;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.charge
    }

    fn command(&self, hash: &str, time: Time) -> Cmd {
        self.0.command(hash, time)
    }

    fn read(&self, reply: &Value) -> Result<(Timestamp, Self::Said), StoreError> {
        let (numbers, refusal) = script::take_apart(reply.clone())?;
        let refusal = refusal.map(|text| told_to_script(&String::from_utf8_lossy(&text)).error);
        let (at, said) = self.0.read(&numbers, refusal.as_ref())?;
        Ok((at, said.into_iter().next().map(|(_, said)| (at, said))))
    }

    fn may_be_late(&self) -> bool {
        false
    }
}

impl RedisStore {
    /// Does `call`, and tells what the mark of this key says.
    pub(super) async fn ask_to_oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        let look = |window| mark.map(|key| charge(key, window, Op::Take { room: 0, charge: 0 }));
        let looks = [look(&WHILE_KEPT), look(&WHILE_RECENT)].into_iter().flatten();
        let charges: Vec<Charge<'_>> = call.charges.iter().copied().chain(looks).collect();
        let Answer { at, mut outcomes, degraded } =
            self.ask_people(Call { charges: &charges, ..call }).await?;
        let [recent, known] = [(); 2].map(|()| mark.and_then(|_| value_of(outcomes.pop()?.standing.used)));
        let age = if recent.is_some() { MarkAge::Recent } else { MarkAge::Old };
        let marked = known.map(|value| Marked { value, age });
        Ok((Answer { at, outcomes, degraded }, marked))
    }

    /// Leaves `marks`.
    pub(super) async fn ask_to_mark(&self, marks: &[Mark]) -> Result<(), StoreError> {
        let leave =
            |mark: &Mark| charge(mark.key, &WHILE_KEPT, Op::Set { units: KNOWN | u64::from(mark.value) });
        let charges: Vec<Charge<'_>> = marks.iter().map(leave).collect();
        let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
        self.ask_people(call).await.map(|_| ())
    }

    /// Does `call`; asks again what was not done, with the time that the reply has told.
    async fn ask_people(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        if call.charges.is_empty() {
            return Ok(Answer { at: self.believed(), outcomes: Outcomes::new(), degraded: None });
        }
        let patience = Micros::of(self.plan.dial.timeout.max(self.plan.patience));
        let until = Micros(self.plan.clock.steady().0.saturating_add(patience.0));
        for _ in 0..ASKS {
            let packed = script::pack(&call, || self.believed(), self.trails.most());
            match self.lane.ask_alone(&Overseen(Batch::of(&[packed])), until).await? {
                Some((at, Replied::Charged(charged))) => return Ok(script::answer(&call, at, &charged)),
                Some((_, Replied::Unwritten(error))) => return Err(error),
                Some((_, Replied::Astray)) | None => {}
            }
        }
        Err(StoreError::Timeout)
    }
}

fn value_of(used: u64) -> Option<u32> {
    (used & KNOWN != 0).then(|| u32::try_from(used & (KNOWN - 1)).ok()).flatten()
}

fn charge(key: CounterKey, window: &'static Window, op: Op) -> Charge<'static> {
    Charge {
        key,
        overflow: key.id,
        rule: Rule { window, number: Number::Unlimited },
        op,
        binding: Binding::Counted,
        on_error: OnError::Allow,
        freed_by: FreedBy::Hand,
        unit: Unit::Hits,
        memo: 0,
    }
}
