//! What a call holds until its answer is on its way.
//!
//! Whoever asked may be gone before it is told what is held for it, and nobody else knows. So the answer carries this:
//! the wire says that the answer was sent, and if it never says so, what is held is given back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something that is given back unless it is [claimed](Self::claim). Clones stand for the same thing.
#[derive(Clone)]
pub struct Unclaimed(Arc<Held>);

struct Held {
    claimed: AtomicBool,
    give_back: Box<dyn Fn() + Send + Sync>,
}

impl Unclaimed {
    /// What `give_back` gives back.
    pub(super) fn new(give_back: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Held { claimed: AtomicBool::new(false), give_back: Box::new(give_back) }))
    }

    /// Its answer is on its way: whoever asked will settle it.
    pub fn claim(&self) {
        self.0.claimed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !*self.claimed.get_mut() {
            (self.give_back)();
        }
    }
}

impl PartialEq for Unclaimed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Unclaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unclaimed").field("claimed", &self.0.claimed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn is_given_back_once_unless_it_is_claimed() {
        for claims in [false, true] {
            let given_back = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&given_back);
            let unclaimed = Unclaimed::new(move || _ = count.fetch_add(1, Ordering::Relaxed));
            let other = unclaimed.clone();
            drop(unclaimed);
            assert_eq!(given_back.load(Ordering::Relaxed), 0, "somebody still has it");
            if claims {
                other.claim();
            }
            drop(other);
            assert_eq!(given_back.load(Ordering::Relaxed), u32::from(!claims));
        }
    }
}
