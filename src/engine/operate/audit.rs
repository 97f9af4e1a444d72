//! What was done, page by page.

use crate::audit::{Asked, Head, Record};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::limits::{Entry, NativeDomain, SubjectId};
use crate::store::Store;

use super::error::{Near, OperateError};
use super::record::journal;
use super::who::{check_value, domain, natives, secret, subject_keys, subject_of};

/// The most records of a page.
const MOST_RECORDS: usize = 1000;
/// How many records a page has, unless it is said.
const RECORDS: usize = 100;

/// Which records?
#[derive(Clone, Debug, Default)]
pub struct AuditQuery<'a> {
    /// Of this domain; `None` for all.
    pub domain: Option<&'a [u8]>,
    /// About all of these at once, as of `user+kit`; none at all: about what all share. `None` for whoever it is.
    pub subjects: Option<Vec<Entry<'a>>>,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Behind the page that has said so; empty for the first.
    pub page: &'a [u8],
    /// How many, up to a thousand; `None` for a hundred.
    pub most: Option<usize>,
}

/// Some records, the latest first.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditPage {
    /// The records. There may be none, and yet more behind them.
    pub records: Vec<Record>,
    /// What asks for more, as [`AuditQuery::page`]; `None` if there are none.
    pub next: Option<String>,
    /// The end of the chain.
    pub head: Head,
}

pub(super) async fn audit<S: Store>(
    engine: &Engine<S>,
    query: &AuditQuery<'_>,
) -> Result<AuditPage, OperateError> {
    let journal = journal(engine)?;
    let whom = |entries: &Vec<Entry<'_>>| {
        entries.iter().map(|entry| whom(engine, query.domain, *entry)).collect::<Result<Vec<_>, _>>()
    };
    let asked = Asked {
        domain: query.domain.map(|name| String::from_utf8_lossy(name).into()),
        subjects: query.subjects.as_ref().map(whom).transpose()?,
        from: query.from,
        to: query.to,
        page: place(query.page)?,
        most: query.most.unwrap_or(RECORDS).clamp(1, MOST_RECORDS),
    };
    let page = journal.records(&asked).await.map_err(|error| OperateError::Unread(error.to_string()))?;
    if page.records.is_empty() && page.next.is_none() && asked.page.is_none() {
        // Of a domain that is gone there may be records; of one that never was there are none.
        query.domain.map(|_| domain(&engine.limits.load(), query.domain).map(|_| ())).transpose()?;
    }
    let next = page.next.map(|place| place.to_string());
    Ok(AuditPage { records: page.records, next, head: journal.head() })
}

/// The subject that `entry` names, as the domain reads it, or the first one if none is said.
fn whom<S: Store>(
    engine: &Engine<S>,
    name: Option<&[u8]>,
    entry: Entry<'_>,
) -> Result<SubjectId, OperateError> {
    let rules = engine.limits.load();
    let domain = match name {
        Some(_) => domain(&rules, name)?,
        None => {
            let natives = natives(&rules);
            let reads =
                |domain: &&&NativeDomain| subject_keys(domain).iter().any(|key| key.as_bytes() == entry.key);
            *natives.iter().find(reads).or(natives.first()).ok_or(OperateError::NothingToOperate)?
        }
    };
    check_value(entry)?;
    let subject = subject_of(domain, entry, secret(engine)?).ok_or(OperateError::SeveralSubjects)?;
    let keys = subject_keys(domain);
    if !keys.contains(&&*subject.key) {
        return Err(OperateError::UnreadEntry(Near::of(entry.key, keys.into_iter())));
    }
    Ok(subject)
}

fn place(page: &[u8]) -> Result<Option<u64>, OperateError> {
    let read = || std::str::from_utf8(page).ok()?.parse().ok();
    match page {
        b"" => Ok(None),
        _ => read().map(Some).ok_or(OperateError::Page),
    }
}
