//! How many connections of callers there is room for, by how many file descriptors the system gives the process.
//!
//! What else needs them comes first: the other listeners, the store, files. Without room for those, calls could be heard and not
//! be decided.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::admin::{Probe, State};
use crate::transport::accept::Room;
use crate::transport::http::HttpSettings;

/// Where the system says how many there may be.
const LIMITS: &str = "/proc/self/limits";
/// How its line begins.
const LINE: &str = "Max open files";

/// What the admin listener, the store, files and whatever a process has open by itself need together.
const OTHERS: usize = 128;
/// What each thread that decides needs: its runtime, and its ways to the store.
const OF_THREAD: usize = 8;
/// There is room for so many, however few descriptors there are: whoever allows fewer wants no service.
const FEWEST: usize = 64;

/// How many connections of gRPC there is room for beside `threads` that decide. Where the system does not say, as many as
/// come.
pub(super) fn most_connections(threads: NonZeroUsize) -> usize {
    let limits = std::fs::read_to_string(LIMITS).unwrap_or_default();
    let needed = OTHERS + OF_THREAD * threads.get() + HttpSettings::default().connections.max_connections;
    soft_limit(&limits).map_or(usize::MAX, |most| most.saturating_sub(needed).max(FEWEST))
}

/// How many descriptors the process may have; `None` where that is not bounded, or not said.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix(LINE))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many connections there are, and whether there is room for more.
pub(super) fn probe(room: Arc<Room>) -> Probe {
    let [look, open, refused] = [(); 3].map(|()| room.clone());
    Probe::new("connections", move || match look.open() < look.most() {
        true => State::Ready,
        false => State::Degraded(format!(
            "{} are open and new ones are closed: allow the process more file descriptors, `ulimit -n`",
            look.most()
        )),
    })
    .having("grpc_connections", "Connections of callers that are open", move || open.open() as u64)
    .counting(
        "grpc_connections_refused",
        "Connections of callers that were closed at once: there were no file descriptors for more",
        move || refused.refused(),
    )
}

#[cfg(test)]
mod tests {
    use super::soft_limit;

    #[test]
    fn the_limit_that_holds_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             62730                62730                processes \n\
                      Max open files            1024                 1048576              files     \n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit(&limits.replace("1024 ", "unlimited ")), None);
        assert_eq!(soft_limit(""), None);
    }
}
