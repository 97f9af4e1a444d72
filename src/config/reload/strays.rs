//! What is set over the files, where they change under it: what is over nothing, what is over something again, and what goes on
//! over something that is not what it was. Of many subjects it is said once.

use std::collections::{BTreeMap, HashSet};

use crate::limits::{LimitsHandle, Overlay, RuleSet, Target};

/// Says what is set over something that the files do not have.
pub fn log_strays(limits: &LimitsHandle) {
    for (what, times) in counted(&limits.strays()) {
        tracing::warn!(
            times,
            "{what} is set, but the files have no such thing, or in another unit: it is ignored until they do"
        );
    }
}

/// Says what was over nothing and is in force now: nobody may remember it.
pub(super) fn log_returned(before: &[Target], limits: &LimitsHandle) {
    let strays: HashSet<Target> = limits.strays().into_iter().collect();
    let returned = before.iter().filter(|target| !strays.contains(target));
    for (what, times) in counted(returned) {
        tracing::warn!(times, "{what} was set before the files had such a thing again: it is in force");
    }
}

/// Says what is set over limits that are `restarted`, and counts the same: it is in force under `after`.
pub(super) fn log_kept(over: &Overlay, after: &RuleSet, restarted: &[String]) {
    let is_restarted = |target: &Target| match target {
        Target::Number { domain, limit, .. } | Target::Own { domain, limit, .. } => {
            restarted.contains(&format!("{domain}.{limit}"))
        }
        Target::Tier { .. } | Target::Price { .. } => false,
    };
    let set = over.iter().filter(|(target, placed)| is_restarted(target) && after.has(target, &placed.value));
    for (what, times) in counted(set.map(|(target, _)| target)) {
        tracing::warn!(
            times,
            "{what} was set when the limit had another window or another subject: it stays in force"
        );
    }
}

/// Each in words, and how often it is there.
fn counted<'t>(targets: impl IntoIterator<Item = &'t Target>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    targets.into_iter().for_each(|target| *counted.entry(target.to_string()).or_default() += 1);
    counted
}
