//! The rule set in force, made of the files and of what is set over them.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use crate::clock::Timestamp;

use super::RuleSet;
use super::overlay::{Overlay, Target};

/// The rule set in force, shared by everyone who reads it; swapped whole when the files or what is set over them change.
#[derive(Clone, Debug, Default)]
pub struct LimitsHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    in_force: ArcSwap<RuleSet>,
    /// Whoever changes what it is made of changes what is in force as well, before the next one does.
    made_of: Mutex<MadeOf>,
}

#[derive(Clone, Debug, Default)]
struct MadeOf {
    files: Arc<RuleSet>,
    over: Arc<Overlay>,
    /// What had come to its end by then holds no longer.
    at: Timestamp,
}

impl LimitsHandle {
    /// A handle on `rules`.
    pub fn new(rules: RuleSet) -> Self {
        let files = Arc::new(rules);
        let made_of = MadeOf { files: Arc::clone(&files), ..MadeOf::default() };
        Self(Arc::new(Shared { in_force: ArcSwap::new(files), made_of: Mutex::new(made_of) }))
    }

    /// The set in force now; it stays whole for as long as it is held.
    pub fn load(&self) -> Arc<RuleSet> {
        self.0.in_force.load_full()
    }

    /// As [`load`](Self::load), for one call: no count is changed that other threads change too.
    pub fn in_force(&self) -> Guard<Arc<RuleSet>> {
        self.0.in_force.load()
    }

    /// What the files say, with nothing set over it.
    pub fn files(&self) -> Arc<RuleSet> {
        Arc::clone(&self.0.made_of.lock().files)
    }

    /// What is set over the files.
    pub fn overlay(&self) -> Arc<Overlay> {
        Arc::clone(&self.0.made_of.lock().over)
    }

    /// Puts `rules` in force for every request that starts from now on, under what is set over them. What was tallied under
    /// the set before goes on in this one.
    pub fn swap(&self, mut rules: RuleSet) {
        let mut made_of = self.0.made_of.lock();
        rules.go_on_from(&made_of.files);
        rules.go_on_alerting_from(&made_of.files);
        rules.go_on_tripping_from(&made_of.files);
        made_of.files = Arc::new(rules);
        self.put_in_force(&made_of);
    }

    /// Has `over` lie on the files, without what has come to its end by `now`. It is to be called again with the same when
    /// [`Overlay::next_end`] of it comes.
    pub fn set_over(&self, over: Arc<Overlay>, now: Timestamp) {
        let mut made_of = self.0.made_of.lock();
        (made_of.over, made_of.at) = (over, now);
        self.put_in_force(&made_of);
    }

    /// What is set over something that the files do not have, and is ignored until they have it.
    pub fn strays(&self) -> Vec<Target> {
        let MadeOf { files, over, .. } = self.0.made_of.lock().clone();
        let strays = over.iter().filter(|(target, placed)| !files.has(target, &placed.value));
        strays.map(|(target, _)| target.clone()).collect()
    }

    fn put_in_force(&self, made_of: &MadeOf) {
        self.0.in_force.store(made_of.files.under(&made_of.over, made_of.at));
    }
}
