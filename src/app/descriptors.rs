//! How many connections of callers there is room for, by how many file descriptors the system gives the process.
//!
//! A shell and systemd give 1,024 at first, and allow many more to whoever asks for them; so they are asked for. What else needs
//! them comes first: the other listeners, the store, files. Without room for those, calls could be heard and not be decided.

use std::num::NonZeroUsize;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admin::{Probe, State};
use crate::transport::accept::Room;
use crate::transport::http::HttpSettings;

/// What the admin listener, the store, files and whatever a process has open by itself need together.
const OTHERS: usize = 128;
/// What each thread that decides needs: its runtime, and its ways to the store.
const OF_THREAD: usize = 8;
/// HTTP has one in so many, up to its own most.
const ONE_FOR_HTTP: usize = 8;
/// There is room for so many of gRPC, however few descriptors there are: whoever allows fewer wants no service.
const FEWEST: usize = 64;
/// The same of HTTP.
const FEWEST_OF_HTTP: usize = 16;

/// How many connections each listener may have that callers come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) grpc: usize,
    pub(super) http: usize,
}

impl Shares {
    /// Beside `threads` that decide, of as many descriptors as the process may have at most.
    pub(super) fn of_all(threads: NonZeroUsize) -> Self {
        raise();
        Self::of(getrlimit(Resource::Nofile).current, threads)
    }

    /// Of so many; `None`: of as many as are asked for.
    fn of(descriptors: Option<u64>, threads: NonZeroUsize) -> Self {
        let most_of_http = HttpSettings::default().connections.max_connections;
        let Some(descriptors) = descriptors else { return Self { grpc: usize::MAX, http: most_of_http } };
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let http = (descriptors / ONE_FOR_HTTP).clamp(FEWEST_OF_HTTP, most_of_http);
        let needed = OTHERS + OF_THREAD * threads.get() + http;
        Self { grpc: descriptors.saturating_sub(needed).max(FEWEST), http }
    }
}

/// Asks for as many as are allowed. Where that fails, those that there are have to do.
fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "cannot ask for as many file descriptors as are allowed");
    }
}

/// How many connections there are, and whether there is room for more.
pub(super) fn probe(room: Arc<Room>) -> Probe {
    let [look, open, refused] = [(); 3].map(|()| room.clone());
    Probe::new("connections", move || match look.open() < look.most() {
        true => State::Ready,
        false => State::Degraded(format!(
            "{} are open and new ones are closed: allow the process more file descriptors, `ulimit -Hn` or LimitNOFILE",
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
    use super::*;

    #[test]
    fn callers_have_most_of_the_descriptors() {
        let two = NonZeroUsize::new(2).unwrap();
        for (descriptors, grpc, http) in [
            (Some(64), FEWEST, FEWEST_OF_HTTP),
            (Some(1024), 752, 128),
            (Some(4096), 3440, 512),
            (Some(1_048_576), 1_047_920, 512),
            (None, usize::MAX, 512),
        ] {
            assert_eq!(Shares::of(descriptors, two), Shares { grpc, http }, "{descriptors:?}");
        }
    }
}
