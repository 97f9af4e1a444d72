//! What callers of the limit service send, and what they read in its answers.

use tollgate::transport::grpc::proto::tollgate::v1::subject::EntriesEntry;
use tollgate::transport::grpc::proto::tollgate::v1::{
    ReserveResponse, SettleRequest, Standing, Subject, Usage,
};

/// One dollar in nano-USD.
pub(crate) const DOLLAR: i64 = 1_000_000_000;

/// The subject of these entries.
pub(crate) fn subject(domain: &str, entries: &[(&str, &str)]) -> Subject {
    let entry = |(key, value): &(&str, &str)| EntriesEntry {
        key: (*key).to_owned().into(),
        value: (*value).to_owned().into(),
    };
    Subject { domain: domain.to_owned().into(), entries: entries.iter().map(entry).collect() }
}

/// So many tokens of `gpt-realtime`, by class.
pub(crate) fn tokens(classes: &[(&str, u64)]) -> Usage {
    let tokens = classes.iter().map(|(class, count)| ((*class).to_owned(), *count)).collect();
    Usage { model: "gpt-realtime".into(), tokens, ..Usage::default() }
}

/// What costs so much.
pub(crate) fn usd(usd: &str) -> Usage {
    Usage { usd: usd.to_owned(), ..Usage::default() }
}

/// What settles `held`.
pub(crate) fn done(held: &ReserveResponse, used: impl Into<Option<Usage>>) -> SettleRequest {
    SettleRequest {
        reservation: held.reservation.clone().into(),
        used: used.into(),
        ..SettleRequest::default()
    }
}

/// What charges `held`, which goes on.
pub(crate) fn more(held: &ReserveResponse, used: impl Into<Option<Usage>>) -> SettleRequest {
    SettleRequest { more: true, ..done(held, used) }
}

/// Where `limit` stands.
pub(crate) fn standing<'s>(standings: &'s [Standing], limit: &str) -> &'s Standing {
    let named = |standing: &&Standing| standing.limit == limit;
    standings.iter().find(named).unwrap_or_else(|| panic!("no {limit}: {standings:?}"))
}

/// `[used, held, remaining]` of `limit`.
pub(crate) fn amounts(standings: &[Standing], limit: &str) -> [i64; 3] {
    let found = standing(standings, limit);
    [found.used, found.held, found.remaining]
}
