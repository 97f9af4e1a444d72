//! Records as they are read again: page by page, the latest first.

use crate::audit::Record;
use crate::clock::Timestamp;
use crate::limits::SubjectId;
use crate::store::ledger::{LedgerError, Line};

use super::{AT_ONCE, Journal};

/// How many lines are looked through for one page.
const MOST_LOOKED_AT: usize = 20 * AT_ONCE;

/// Of how many bytes the lines of one page are, but for the last: whoever reads it takes 4 MiB at once.
const PAGE_BYTES: usize = 1 << 20;

/// Which records are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Of this domain only.
    pub domain: Option<Box<str>>,
    /// About all of these subjects only; where there are none, about what all share.
    pub subjects: Option<Vec<SubjectId>>,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Only those older than the page before, as its [`Page::next`] says.
    pub page: Option<u64>,
    /// How many at most; of long ones fewer.
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
            && self.subjects.as_ref().is_none_or(|subjects| record.is_about(subjects))
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
        let mut before = match asked.page {
            Some(before) => before,
            None => self.0.book.lock().await.next_place(),
        };
        let (mut page, mut bytes, mut looked_at) = (Page::default(), 0, 0);
        while looked_at < MOST_LOOKED_AT {
            let lines = self.0.ledger.read_back(before, AT_ONCE).await?;
            for line in &lines {
                if page.records.len() == asked.most || bytes >= PAGE_BYTES {
                    return Ok(Page { next: Some(line.place.saturating_add(1)), ..page });
                }
                if let Some(record) = Record::of_line(&line.bytes).filter(|record| asked.wants(record)) {
                    bytes += line.bytes.len();
                    page.records.push(record);
                }
            }
            let Some(last) = lines.last().filter(|_| lines.len() == AT_ONCE) else { return Ok(page) };
            before = last.place;
            looked_at += AT_ONCE;
        }
        Ok(Page { next: Some(before), ..page })
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
