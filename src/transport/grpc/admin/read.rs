//! What operators ask: wire → engine.

use prost_types::Timestamp as WireTime;

use crate::clock::Timestamp;
use crate::engine::{Caution, Change, ChangeTerms, ImportRow, Reach, Setting, Tried, Who};
use crate::limits::{Entry, subject_parts};
use crate::transport::problem::Problem;

use super::super::proto::tollgate::v1 as wire;
use super::super::standing::instant;

/// A text that may be left out.
pub(super) fn optional(text: &str) -> Option<&[u8]> {
    (!text.is_empty()).then_some(text.as_bytes())
}

/// Whose counters are meant.
pub(super) fn who(subject: Option<&wire::Subject>) -> Who<'_> {
    let Some(subject) = subject else { return Who::default() };
    let entries = subject.entries.iter().map(|entry| Entry { key: &entry.key, value: &entry.value });
    Who { domain: (!subject.domain.is_empty()).then_some(&*subject.domain), entries: entries.collect() }
}

/// The entries of a map.
pub(super) fn entries<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Entry<'a>> {
    map.into_iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() }).collect()
}

/// For whom a number is changed.
pub(super) fn reach(message: &wire::UpdateLimitRequest) -> Result<Reach<'_>, Problem> {
    match (&*message.tier, &*message.user, message.subject.is_empty()) {
        (tier, "", true) if !tier.is_empty() => Ok(Reach::Tier(tier.as_bytes())),
        ("", user, true) if !user.is_empty() => {
            Ok(Reach::Subject(vec![Entry { key: b"user", value: user.as_bytes() }]))
        }
        ("", "", false) => Ok(Reach::Subject(entries(&message.subject))),
        _ => Err(Problem::invalid("tier: write exactly one of tier, user and subject")),
    }
}

/// What somebody would change who may not.
pub(super) fn tried_update(message: &wire::UpdateLimitRequest) -> Tried<'_> {
    let user = optional(&message.user).map(|value| Entry { key: b"user", value });
    let entries = entries(&message.subject).into_iter().chain(user).collect();
    Tried {
        who: Who { domain: optional(&message.domain), entries },
        tier: optional(&message.tier),
        limit: optional(&message.limit),
        ..Tried::default()
    }
}

/// What a number is changed to.
pub(super) fn change(message: &wire::UpdateLimitRequest) -> Result<Change<'_>, Problem> {
    match (message.max, &*message.usd, message.clear) {
        (Some(max), "", false) => Ok(Change::Number(max)),
        (None, "", true) => Ok(Change::BackToFile),
        (None, usd, false) if !usd.is_empty() => Ok(Change::Usd(usd.as_bytes())),
        _ => Err(Problem::invalid("max: write exactly one of max, usd and clear")),
    }
}

/// Which tier somebody is put on; none takes back what was set.
pub(super) fn tier(message: &wire::SetTierRequest) -> Result<Option<&[u8]>, Problem> {
    match (optional(&message.tier), message.clear) {
        (Some(tier), false) => Ok(Some(tier)),
        (None, true) => Ok(None),
        _ => Err(Problem::invalid("tier: write exactly one of tier and clear")),
    }
}

/// A class of tokens, and what a million of it cost in dollars.
type ClassPrice<'a> = (&'a [u8], &'a [u8]);

/// What a million tokens cost; nothing takes back what was set.
pub(super) fn prices(message: &wire::SetPriceRequest) -> Result<Vec<ClassPrice<'_>>, Problem> {
    if message.usd_per_million.is_empty() != message.clear {
        return Err(Problem::invalid("usd_per_million: write exactly one of usd_per_million and clear"));
    }
    Ok(message.usd_per_million.iter().map(|(class, usd)| (class.as_bytes(), usd.as_bytes())).collect())
}

/// What a breaker is to be.
pub(super) fn setting(message: &wire::SetBreakerRequest) -> Result<Setting, Problem> {
    match (message.open, message.clear) {
        (true, false) => Ok(Setting::Open),
        (false, false) => Ok(Setting::Closed),
        (false, true) => Ok(Setting::Cleared),
        (true, true) => Err(Problem::invalid("clear: only a breaker that is closed is cleared")),
    }
}

/// What somebody has used elsewhere.
pub(super) fn row(row: &wire::ImportedUsage) -> ImportRow<'_> {
    ImportRow { subject: entries(&row.subject), limit: row.limit.as_bytes(), used: row.used.as_bytes() }
}

/// Whom records are about: `user=ann`, `user=ann+kit=k`, or a user without a key; nobody alone by `all`. A `+` that no name and
/// `=` follow is one of the value.
pub(super) fn subjects(text: &str) -> Option<Vec<Entry<'_>>> {
    match text {
        "" => return None,
        "all" => return Some(Vec::new()),
        _ => {}
    }
    let pairs = subject_parts(text).into_iter().map(|part| part.split_once('=').unwrap_or(("user", part)));
    Some(pairs.map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() }).collect())
}

/// How many, where 0 is unset.
pub(super) fn count(count: u32) -> Option<usize> {
    usize::try_from(count).ok().filter(|count| *count > 0)
}

/// The time in `field`, if there is one.
pub(super) fn time_of(field: &str, time: Option<&WireTime>) -> Result<Option<Timestamp>, Problem> {
    let read = |time| {
        instant(time).ok_or_else(|| Problem::invalid(format!("{field}: is no time from 1970 to 9999")))
    };
    time.map(read).transpose()
}

/// Under which conditions, and why.
pub(super) fn terms(if_version: Option<u64>, force: bool, reason: &str) -> ChangeTerms<'_> {
    let caution = if force { Caution::Forced } else { Caution::Kept };
    ChangeTerms { if_version, caution, reason }
}

#[cfg(test)]
mod tests {
    use super::subjects;

    #[test]
    fn a_subject_of_records_is_read_as_that_of_an_import() {
        let read = |text| {
            let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let pair = |entry: &crate::limits::Entry<'_>| text_of(entry.key) + ":" + &text_of(entry.value);
            subjects(text).map(|entries| entries.iter().map(pair).collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("all", ""),
            ("ann", "user:ann"),
            ("user=all", "user:all"),
            ("user=a+kit=b", "user:a kit:b"),
            ("kit=b+user=a+b+=c", "kit:b user:a+b+=c"),
            ("a+b", "user:a+b"),
            ("+a=b", "user: a:b"),
            ("=a", ":a"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(read(""), None);
    }
}
