//! A store that nobody can reach.

use std::sync::{Arc, Mutex};

use tollgate::clock::Timestamp;
use tollgate::limits::{CounterKey, KeySecret};
use tollgate::store::{
    Answer, Call, Mark, Marked, Note, Page, Reserve, Reserved, Settle, Settled, Store, StoreError,
};

/// A store that is not there, and the refusals that it was to write down.
#[derive(Clone, Default)]
pub(crate) struct Gone {
    pub(crate) noted: Arc<Mutex<Vec<String>>>,
}

impl Store for Gone {
    async fn charge(&self, _: Call<'_>) -> Result<Answer, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn reserve(&self, _: Reserve<'_>) -> Result<Reserved, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn settle(&self, _: Settle<'_>) -> Result<Settled, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn oversee(
        &self,
        _: Call<'_>,
        _: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn mark(&self, _: &[Mark]) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }

    fn note_refusal(&self, _: Timestamp, _: &[u8], line: &[u8]) {
        self.noted.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
    }

    async fn notes(&self, _: Page) -> Result<Vec<Note>, StoreError> {
        Err(StoreError::Unavailable)
    }

    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn key_secret(&self) -> KeySecret {
        KeySecret([0; 16])
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }
}
