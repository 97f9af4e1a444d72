//! Stores around a store: whatever a layer does not do itself, the store within does.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::limits::{CounterKey, KeySecret};

use super::{Answer, Call, Mark, Marked, Note, Page, Reserve, Reserved, Settle, Settled, Store, StoreError};

/// A store around another. It is a [`Store`]; each method is that one's, and by default the inner store's.
pub trait Layer: Send + Sync + 'static {
    /// The store within.
    type Inner: Store;

    /// The store within.
    fn inner(&self) -> &Self::Inner;

    /// [`Store::charge`].
    fn charge(&self, call: Call<'_>) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        self.inner().charge(call)
    }

    /// [`Store::reserve`].
    fn reserve(&self, call: Reserve<'_>) -> impl Future<Output = Result<Reserved, StoreError>> + Send {
        self.inner().reserve(call)
    }

    /// [`Store::settle`].
    fn settle(&self, call: Settle<'_>) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        self.inner().settle(call)
    }

    /// [`Store::oversee`].
    fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> impl Future<Output = Result<(Answer, Option<Marked>), StoreError>> + Send {
        self.inner().oversee(call, mark)
    }

    /// [`Store::mark`].
    fn mark(&self, marks: &[Mark]) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.inner().mark(marks)
    }

    /// [`Store::note_refusal`].
    fn note_refusal(&self, at: Timestamp, about: &[u8], line: &[u8]) {
        self.inner().note_refusal(at, about, line);
    }

    /// [`Store::notes`].
    fn notes(&self, page: Page) -> impl Future<Output = Result<Vec<Note>, StoreError>> + Send {
        self.inner().notes(page)
    }

    /// [`Store::now`].
    fn now(&self) -> Timestamp {
        self.inner().now()
    }

    /// [`Store::key_secret`].
    fn key_secret(&self) -> KeySecret {
        self.inner().key_secret()
    }

    /// [`Store::agreed_secret`].
    fn agreed_secret(&self) -> Option<KeySecret> {
        self.inner().agreed_secret()
    }

    /// [`Store::flush`].
    fn flush(&self) -> impl Future<Output = Result<(), String>> + Send {
        self.inner().flush()
    }

    /// [`Store::ready`].
    fn ready(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.inner().ready()
    }
}

impl<L: Layer> Store for L {
    fn charge(&self, call: Call<'_>) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        Layer::charge(self, call)
    }

    fn reserve(&self, call: Reserve<'_>) -> impl Future<Output = Result<Reserved, StoreError>> + Send {
        Layer::reserve(self, call)
    }

    fn settle(&self, call: Settle<'_>) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        Layer::settle(self, call)
    }

    fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> impl Future<Output = Result<(Answer, Option<Marked>), StoreError>> + Send {
        Layer::oversee(self, call, mark)
    }

    fn mark(&self, marks: &[Mark]) -> impl Future<Output = Result<(), StoreError>> + Send {
        Layer::mark(self, marks)
    }

    fn note_refusal(&self, at: Timestamp, about: &[u8], line: &[u8]) {
        Layer::note_refusal(self, at, about, line);
    }

    fn notes(&self, page: Page) -> impl Future<Output = Result<Vec<Note>, StoreError>> + Send {
        Layer::notes(self, page)
    }

    fn now(&self) -> Timestamp {
        Layer::now(self)
    }

    fn key_secret(&self) -> KeySecret {
        Layer::key_secret(self)
    }

    fn agreed_secret(&self) -> Option<KeySecret> {
        Layer::agreed_secret(self)
    }

    fn flush(&self) -> impl Future<Output = Result<(), String>> + Send {
        Layer::flush(self)
    }

    fn ready(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        Layer::ready(self)
    }
}

impl<S: Store> Layer for Arc<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        self
    }
}
