//! A store that nobody can reach.

use tollgate::clock::Timestamp;
use tollgate::limits::KeySecret;
use tollgate::store::{Answer, Call, Note, Page, Reserve, Reserved, Settle, Settled, Store, StoreError};

/// A store that is not there.
pub(crate) struct Gone;

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

    fn note_refusal(&self, _: Timestamp, _: &[u8], _: &[u8]) {}

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
