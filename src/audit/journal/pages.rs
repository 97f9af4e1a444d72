//! Records as they are read again: page by page, the latest first.

use crate::audit::Record;
use crate::clock::Timestamp;
use crate::limits::SubjectId;
use crate::store::ledger::{LedgerError, Line};

use super::{AT_ONCE, Journal};

/// How many lines are looked through for one page.
const MOST_LOOKED_AT: usize = 20 * AT_ONCE;

/// Which records are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Of this domain only.
    pub domain: Option<Box<str>>,
    /// About this subject only.
    pub subject: Option<SubjectId>,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Only those older than the page before, as its [`Page::next`] says.
    pub page: Option<u64>,
    /// How many at most.
    pub most: usize,
}

/// Some records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The latest first. There may be none and yet older ones.
    pub records: Vec<Record>,
    /// What asks for older ones, as [`Asked::page`]; `None` if there are none.
    pub next: Option<u64>,
}

impl Asked {
    fn wants(&self, record: &Record) -> bool {
        let is_of = |domain: &str| record.domain.as_deref() == Some(domain);
        self.domain.as_deref().is_none_or(is_of)
            && self.subject.as_ref().is_none_or(|subject| record.subject().as_ref() == Some(subject))
            && self.from.is_none_or(|from| record.at >= from)
            && self.to.is_none_or(|to| record.at < to)
    }
}

impl Journal {
    /// Some of the records that are asked for; lines that are none are passed over.
    ///
    /// # Errors
    ///
    /// That the ledger cannot be read.
    pub async fn records(&self, asked: &Asked) -> Result<Page, LedgerError> {
        let ledger = &self.0.ledger;
        let Some(first) = ledger.read(1, 1).await?.first().map(|line| line.place) else {
            return Ok(Page::default());
        };
        let mut end = match asked.page {
            Some(end) => end,
            None => self.0.book.lock().await.next_place(),
        };
        let mut page = Page::default();
        let mut looked_at = 0;
        while end > first && looked_at < MOST_LOOKED_AT {
            let from = end.saturating_sub(AT_ONCE as u64).max(first);
            let lines = ledger.read(from, AT_ONCE).await?;
            for line in lines.iter().rev().filter(|line| line.place < end) {
                if page.records.len() == asked.most {
                    return Ok(Page { next: Some(line.place + 1), ..page });
                }
                page.records.extend(Record::of_line(&line.bytes).filter(|record| asked.wants(record)));
            }
            looked_at += AT_ONCE;
            end = from;
        }
        page.next = (end > first).then_some(end);
        Ok(page)
    }

    /// The lines as they are, from a place on, for whoever wants to verify them; none behind the last.
    ///
    /// # Errors
    ///
    /// That the ledger cannot be read.
    pub async fn lines(&self, from: u64) -> Result<Vec<Line>, LedgerError> {
        self.0.ledger.read(from, AT_ONCE).await
    }
}
