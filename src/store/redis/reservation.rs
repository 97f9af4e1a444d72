//! Reservations over a lane: each is one command.

use redis::{Cmd, Script};

use crate::algorithm::{Op, Rule};
use crate::clock::Timestamp;
use crate::limits::{OnError, Window};
use crate::store::{
    Admission, Binding, Call, Charge, FreedBy, Part, Reserve, Reserved, Settle, Store, StoreError,
};

use super::RedisStore;
use super::lane::{Alone, Scripts};
use super::script::{self, Answered, Time};

/// A call, and what its caller believes that the store's clock shows.
pub(super) struct Asked<C> {
    pub(super) call: C,
    pub(super) believed: Timestamp,
    /// How many notes of usage are kept.
    pub(super) notes: usize,
}

impl Alone for Asked<Reserve<'_>> {
    type Reply = Vec<u8>;
    type Said = Option<Reserved>;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.reserve
    }

    fn command(&self, hash: &str, time: Time) -> Cmd {
        script::reserve(&self.call, hash, time, || self.believed, self.notes)
    }

    fn read(&self, reply: &Vec<u8>) -> Result<(Timestamp, Self::Said), StoreError> {
        script::read_reserved(&self.call, reply)
    }

    /// Nobody would know of what it holds.
    fn may_be_late(&self) -> bool {
        false
    }
}

impl Alone for Asked<Settle<'_>> {
    type Reply = Vec<Vec<u8>>;
    type Said = Option<Answered>;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.settle
    }

    fn command(&self, hash: &str, time: Time) -> Cmd {
        script::settle(&self.call, hash, time, || self.believed, self.notes)
    }

    fn read(&self, reply: &Vec<Vec<u8>>) -> Result<(Timestamp, Self::Said), StoreError> {
        script::read_settled(reply)
    }

    /// What was spent is spent, and settled once however often it is told.
    fn may_be_late(&self) -> bool {
        true
    }
}

impl RedisStore {
    /// Looks at the counter of `part`, of `window`, with the boundaries of now.
    pub(super) async fn look_again(&self, part: &mut Part, window: &Window) -> Result<(), StoreError> {
        let look = Charge {
            key: part.key,
            overflow: part.limit,
            rule: Rule { window, number: part.number },
            op: Op::Take { room: 0, charge: 0 },
            binding: Binding::Counted,
            on_error: OnError::Deny,
            freed_by: FreedBy::Holders,
            unit: part.unit,
            memo: 0,
        };
        let answer =
            self.charge(Call { charges: &[look], admission: Admission::Each, expenses: &[] }).await?;
        part.outcome = answer.outcomes[0];
        Ok(())
    }
}
