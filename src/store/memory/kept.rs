//! What a memory store holds, as it is written down and taken in again.

mod counters;
mod marks;
mod reservations;
mod usage;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::durable::Kept;

use super::MemoryStore;
use super::shard::Shard;
use counters::Counters;
use marks::Marked;
use reservations::Reservations;
use usage::Usage;

impl MemoryStore {
    /// What is to be written down. Counters, the records that charged them and the notes of that are told as of one
    /// instant: whoever settles again after a crash pays what is not counted, and nothing twice.
    pub fn kept(self: &Arc<Self>) -> Vec<Arc<dyn Kept>> {
        vec![
            // They say which holds were cleared, of the reservations behind them.
            Arc::new(Marked(self.clone())),
            Arc::new(Counters(self.clone())),
            Arc::new(Reservations(self.clone())),
            Arc::new(Usage(self.clone())),
        ]
    }

    fn shard_at(&self, id: u128) -> &Mutex<Shard> {
        &self.shards[self.shard_of(id)].0
    }
}

fn id_of(key: &[u8]) -> Option<u128> {
    key.try_into().ok().map(u128::from_be_bytes)
}
