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
    /// Held by whoever changes what it is made of, until that is in force: that may take a while.
    changing: Mutex<()>,
    /// What is in force is made of it. Held for a moment.
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
        let (in_force, changing) = (ArcSwap::new(files), Mutex::default());
        Self(Arc::new(Shared { in_force, changing, made_of: Mutex::new(made_of) }))
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
        let _changing = self.0.changing.lock();
        let made_of = self.0.made_of.lock().clone();
        rules.go_on_from(&made_of.files);
        rules.go_on_alerting_from(&made_of.files);
        rules.go_on_tripping_from(&made_of.files);
        self.put_in_force(MadeOf { files: Arc::new(rules), ..made_of });
    }

    /// Has `over` lie on the files, without what has come to its end by `now`. It is to be called again with the same when
    /// [`Overlay::next_end`] of it comes.
    pub fn set_over(&self, over: Arc<Overlay>, now: Timestamp) {
        let _changing = self.0.changing.lock();
        let files = self.files();
        self.put_in_force(MadeOf { files, over, at: now });
    }

    /// What would be in force at `now` with `over` lying on the files. Where that is in force already, nothing is made.
    pub fn under(&self, over: &Overlay, now: Timestamp) -> Arc<RuleSet> {
        let made_of = self.0.made_of.lock();
        let known = &*made_of.over;
        if std::ptr::eq(known, over) && known.next_end(made_of.at).is_none_or(|end| now < end) {
            return self.load();
        }
        let files = Arc::clone(&made_of.files);
        drop(made_of);
        files.under(over, now)
    }

    /// What is set over something that the files do not have, and is ignored until they have it; in the order of the targets.
    pub fn strays(&self) -> Vec<Target> {
        let MadeOf { files, over, .. } = self.0.made_of.lock().clone();
        let strays = over.iter().filter(|(target, placed)| !files.has(target, &placed.value));
        let mut strays: Vec<Target> = strays.map(|(target, _)| target.clone()).collect();
        strays.sort_unstable();
        strays
    }

    /// Makes a rule set of `made_of`, and puts it in force. To be called by whoever is changing it.
    fn put_in_force(&self, made_of: MadeOf) {
        let rules = made_of.files.under(&made_of.over, made_of.at);
        let mut known = self.0.made_of.lock();
        *known = made_of;
        self.0.in_force.store(rules);
    }
}
