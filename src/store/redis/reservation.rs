//! Reservations over a lane: each is one command.

use redis::{Cmd, Script};

use crate::clock::Timestamp;
use crate::store::{Reserve, Reserved, Settle, Settled, StoreError};

use super::lane::{Alone, Scripts};
use super::script::{self, Answered, Time};
use super::{ASKS, RedisStore};

/// A call, and what its caller believes that the store's clock shows.
pub(super) struct Asked<C> {
    call: C,
    believed: Timestamp,
    /// How many notes of usage are kept.
    notes: usize,
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

/// A settle, and the boundaries of calendars that the store has asked for.
#[derive(Clone, Copy)]
pub(super) struct Settling<'a> {
    call: Settle<'a>,
    boundaries: &'a [u8],
}

impl Alone for Asked<Settling<'_>> {
    type Reply = Vec<Vec<u8>>;
    type Said = Answered;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.settle
    }

    fn command(&self, hash: &str, time: Time) -> Cmd {
        let Settling { call, boundaries } = &self.call;
        script::settle((call, boundaries), hash, time, || self.believed, self.notes)
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
    /// Reserves; asks again what was not done, with the time that the reply has told.
    pub(super) async fn ask_to_reserve(&self, call: Reserve<'_>) -> Result<Reserved, StoreError> {
        let until = self.until();
        for _ in 0..ASKS {
            if let Some(reserved) = self.lane.ask_alone(&self.asked(call), until).await? {
                return Ok(reserved);
            }
        }
        Err(StoreError::Timeout)
    }

    /// Settles, in the same way. A record knows few boundaries of its calendars: much later, it asks for those of then.
    pub(super) async fn ask_to_settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        let (until, mut boundaries) = (self.until(), Vec::new());
        for _ in 0..ASKS {
            let asked = self.asked(Settling { call, boundaries: &boundaries });
            boundaries = match self.lane.ask_alone(&asked, until).await? {
                Answered::Done(settled) => return Ok(settled),
                Answered::Astray(boundaries) => boundaries,
            };
        }
        Err(StoreError::Timeout)
    }

    fn asked<C>(&self, call: C) -> Asked<C> {
        Asked { call, believed: self.believed(), notes: self.trails.most() }
    }
}
