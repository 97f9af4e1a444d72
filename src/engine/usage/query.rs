//! Which usage events are asked for, and how they are read: page by page, in the order in which they happened.

use std::collections::BTreeSet;

use crate::calendar::{self, Period, start_of_day};
use crate::clock::Timestamp;
use crate::engine::native;
use crate::engine::operate::{Near, natives, subject_keys};
use crate::limits::{KeySecret, NativeDomain, RuleSet};
use crate::store::{Note, Page, Place, Store, StoreError, Trail};

use super::event::{Event, EventId};
use super::sum::Sums;

/// How many notes of each trail are read at once.
const AT_ONCE: usize = 500;
/// After so many notes others get their turn: whoever reads may share a thread with those that decide, and a store that has
/// all notes at hand never waits.
const TURN: usize = 50;
/// What may be asked.
const NAMES: &str = "domain, subject, from, to, after, limit, sum";
/// By which keys events are written down, whatever limits are kept by.
const ALWAYS_WRITTEN: [&str; 2] = ["session", "user"];
/// The zone where no file names one.
const UTC: &str = "UTC";

/// What is asked for, and how far it has been read.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    domain: Option<String>,
    subject: Option<Wanted>,
    /// Whether there was anything that is wanted.
    is_found: bool,
    /// Where each trail goes on.
    spent: Place,
    refused: Place,
    /// What happened from then on is not wanted.
    to: Option<Place>,
    /// How many more events are wanted.
    left: u64,
    sums: Option<Sums>,
    is_done: bool,
}

/// A subject that is wanted, by the hashes that its value has.
#[derive(Clone, Debug)]
struct Wanted {
    key: String,
    hashes: Vec<String>,
    /// That nothing is written down by such a key any more, if so: it may be a slip.
    unread: Option<Near>,
}

/// A part of an answer, in lines of JSON; and what is still to be read.
pub type UsagePage = (String, UsageQuery);

/// What is wrong with a question for usage events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsageQuery {
    /// There is no such parameter.
    #[error("'{0}' is no parameter; write one of {NAMES}")]
    Name(String),
    /// A value is no text.
    #[error("{0}: is not UTF-8")]
    Text(&'static str),
    /// There is no such domain.
    #[error("domain: there is no domain '{0}' of limits, tiers and routes; write {1}")]
    Domain(String, String),
    /// No subject.
    #[error("subject: '{0}' names nobody; write a key and its value, such as user=alice")]
    Subject(String),
    /// No time.
    #[error("{0}: '{1}' is no time; write a date such as 2026-11-01, or 2026-11-01T00:00:00Z")]
    Time(&'static str, String),
    /// No event.
    #[error("after: '{0}' is no event; write the id of the last one that you have")]
    After(String),
    /// No number.
    #[error("limit: '{0}' is no number of events; write 1 or more")]
    Limit(String),
    /// No period.
    #[error("sum: '{0}' is no period; write day, week, month or year")]
    Sum(String),
    /// Sums of a part of the events.
    #[error("limit: sums are made of all events; leave it out, or write from and to")]
    PartialSum,
}

/// Why usage events are not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadUsage {
    /// There are none of a subject by a key that nothing is written down by.
    #[error("subject: nothing is written down by {0}")]
    Key(Near),
    /// The store did not tell them.
    #[error("usage cannot be read: {0}; ask again")]
    Store(#[from] StoreError),
}

impl UsageQuery {
    /// What is asked by these names and values, under these rules. An empty value is none.
    pub(in crate::engine) fn read(
        asked: &[(String, Vec<u8>)],
        rules: &RuleSet,
        secret: KeySecret,
    ) -> Result<Self, InvalidUsageQuery> {
        let names: Vec<&str> = NAMES.split(", ").collect();
        if let Some((name, _)) = asked.iter().find(|(name, _)| !names.contains(&&**name)) {
            return Err(InvalidUsageQuery::Name(name.clone()));
        }
        let asked = Asked(asked);
        let domain = asked.text("domain")?.map(|name| known(name, rules)).transpose()?;
        let zone = zone(rules, domain);
        let from = asked.time("from", zone)?.map(Place::of).unwrap_or_default();
        let to = asked.time("to", zone)?.map(Place::of);
        let after = asked.text("after")?.map(event).transpose()?;
        let limit = asked.text("limit")?.map(count).transpose()?;
        let sums = asked.text("sum")?.map(period).transpose()?.map(Sums::of);
        if sums.is_some() && limit.is_some() {
            return Err(InvalidUsageQuery::PartialSum);
        }
        let wanted = |subject| Wanted::read(subject, domain, rules, secret);
        // Whoever goes on was told of events: a key by which none are left is no slip.
        let slip = |wanted: Wanted| Wanted { unread: wanted.unread.filter(|_| after.is_none()), ..wanted };
        let begin = |trail| from.max(after.map(|after| after.place_behind(trail)).unwrap_or_default());
        Ok(Self {
            domain: domain.map(str::to_owned),
            subject: asked.value("subject").map(wanted).transpose()?.map(slip),
            is_found: false,
            spent: begin(Trail::Spent),
            refused: begin(Trail::Refused),
            to,
            left: limit.unwrap_or(u64::MAX),
            sums,
            is_done: false,
        })
    }

    /// Reads on in `store`; `None` once all is read. Where the key may be a slip, until something is found.
    pub(in crate::engine) async fn next(
        mut self,
        store: &impl Store,
        rules: &RuleSet,
    ) -> Result<Option<UsagePage>, UnreadUsage> {
        if self.is_done {
            return Ok(None);
        }
        let mut lines = self.read_on(store, rules).await?;
        while let Some(key) = self.subject.as_ref().and_then(|wanted| wanted.unread.clone())
            && !self.is_found
        {
            if self.is_done {
                return Err(UnreadUsage::Key(key));
            }
            lines += &self.read_on(store, rules).await?;
        }
        if self.is_done {
            lines += &self.sums.take().map(|sums| sums.to_lines()).unwrap_or_default();
        }
        Ok(Some((lines, self)))
    }

    /// The next lines, of one page.
    async fn read_on(&mut self, store: &impl Store, rules: &RuleSet) -> Result<String, StoreError> {
        let mut lines = String::new();
        for (index, (trail, note)) in self.notes(store).await?.into_iter().enumerate() {
            if index % TURN == 0 {
                tokio::task::yield_now().await;
            }
            match trail {
                Trail::Spent => self.spent = note.place.next(),
                Trail::Refused => self.refused = note.place.next(),
            }
            if self.subject.as_ref().is_some_and(|wanted| !wanted.may_be_in(&note.about)) {
                continue;
            }
            let Some(event) = Event::of(note, trail).filter(|event| self.wants(event)) else { continue };
            self.is_found = true;
            match &mut self.sums {
                Some(sums) => sums.add(&event, zone(rules, Some(event.domain()))),
                None => lines += &event.to_line(),
            }
            self.left -= 1;
            if self.left == 0 {
                self.is_done = true;
                break;
            }
        }
        Ok(lines)
    }

    /// The next notes of both trails, in their order.
    async fn notes(&mut self, store: &impl Store) -> Result<Vec<(Trail, Note)>, StoreError> {
        let page = |trail, from| store.notes(Page { trail, from, most: AT_ONCE });
        let spent = page(Trail::Spent, self.spent).await?;
        let refused = page(Trail::Refused, self.refused).await?;
        // What follows a full page is not known yet, so nothing of the other trail may go before it.
        let ends = [(Trail::Spent, &spent), (Trail::Refused, &refused)].map(|(trail, notes)| {
            let last = notes.last().filter(|_| notes.len() == AT_ONCE)?;
            Some(EventId::new(trail, last.place))
        });
        let end = ends.into_iter().flatten().min();
        let spent = spent.into_iter().map(|note| (Trail::Spent, note));
        let refused = refused.into_iter().map(|note| (Trail::Refused, note));
        let id = |(trail, note): &(Trail, Note)| EventId::new(*trail, note.place);
        let mut notes: Vec<(Trail, Note)> = spent.chain(refused).collect();
        notes.sort_by_key(id);
        notes.retain(|note| end.is_none_or(|end| id(note) <= end));
        let all = notes.len();
        notes.retain(|(_, note)| self.to.is_none_or(|to| note.place < to));
        self.is_done = end.is_none() || notes.len() < all;
        Ok(notes)
    }

    fn wants(&self, event: &Event) -> bool {
        let of_subject = |wanted: &Wanted| {
            event.subject(&wanted.key).is_some_and(|hash| wanted.hashes.iter().any(|wanted| wanted == hash))
        };
        self.domain.as_deref().is_none_or(|domain| domain == event.domain())
            && self.subject.as_ref().is_none_or(of_subject)
    }
}

/// What is asked, by name.
struct Asked<'a>(&'a [(String, Vec<u8>)]);

impl<'a> Asked<'a> {
    fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(asked, value)| asked == name && !value.is_empty()).map(|(_, value)| &**value)
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, InvalidUsageQuery> {
        let read = |value| std::str::from_utf8(value).map_err(|_| InvalidUsageQuery::Text(name));
        self.value(name).map(read).transpose()
    }

    fn time(&self, name: &'static str, zone: &str) -> Result<Option<Timestamp>, InvalidUsageQuery> {
        let read = |text: &str| {
            let instant = start_of_day(text, zone).or_else(|| calendar::instant(text));
            instant.ok_or_else(|| InvalidUsageQuery::Time(name, text.to_owned()))
        };
        self.text(name)?.map(read).transpose()
    }
}

impl Wanted {
    /// Reads `user=alice`. An address has another hash in each domain that cuts it elsewhere.
    fn read(
        text: &[u8],
        domain: Option<&str>,
        rules: &RuleSet,
        secret: KeySecret,
    ) -> Result<Self, InvalidUsageQuery> {
        let nobody = || InvalidUsageQuery::Subject(String::from_utf8_lossy(text).into_owned());
        let cut = text.iter().position(|byte| *byte == b'=').ok_or_else(nobody)?;
        let (key, value) = (native::read_as(&text[..cut]), &text[cut + 1..]);
        if key.is_empty() || value.is_empty() {
            return Err(nobody());
        }
        let hash = |domain: &NativeDomain| native::subject_in(domain, key, value, secret);
        let mut hashes: Vec<String> =
            natives(rules).into_iter().filter_map(hash).map(|hash| format!("{hash:032x}")).collect();
        hashes.sort_unstable();
        hashes.dedup();
        Ok(Self {
            key: String::from_utf8_lossy(key).into_owned(),
            hashes,
            unread: unread(key, domain, rules),
        })
    }

    /// Whether it may be told of in `about`: most of what others did is known by that, and need not be taken apart.
    fn may_be_in(&self, about: &[u8]) -> bool {
        let hash_in = |hash: &String| about.windows(hash.len()).any(|text| text == hash.as_bytes());
        self.hashes.iter().any(hash_in)
    }
}

/// That by `key` nothing is written down any more in `domain`, or in any, if so. What was written down before may be there.
fn unread(key: &[u8], domain: Option<&str>, rules: &RuleSet) -> Option<Near> {
    let natives = natives(rules).into_iter().filter(|of| domain.is_none_or(|domain| *of.name == *domain));
    let keys: BTreeSet<&str> = natives.flat_map(subject_keys).chain(ALWAYS_WRITTEN).collect();
    (!keys.iter().any(|known| known.as_bytes() == key)).then(|| Near::of(key, keys.into_iter()))
}

fn known<'a>(name: &'a str, rules: &RuleSet) -> Result<&'a str, InvalidUsageQuery> {
    let names: Vec<&str> = natives(rules).into_iter().map(|domain| &*domain.name).collect();
    if names.contains(&name) {
        return Ok(name);
    }
    let names = if names.is_empty() { "such a domain into the files".to_owned() } else { names.join(" or ") };
    Err(InvalidUsageQuery::Domain(name.to_owned(), names))
}

/// Where days begin: in the zone of `domain`, or in the one that all domains have.
fn zone<'r>(rules: &'r RuleSet, domain: Option<&str>) -> &'r str {
    let wanted = |of: &&NativeDomain| domain.is_none_or(|domain| *of.name == *domain);
    let mut zones = natives(rules).into_iter().filter(wanted).map(|domain| &*domain.zone);
    let first = zones.next().unwrap_or(UTC);
    if zones.all(|zone| zone == first) { first } else { UTC }
}

fn event(text: &str) -> Result<EventId, InvalidUsageQuery> {
    EventId::parse(text).ok_or_else(|| InvalidUsageQuery::After(text.to_owned()))
}

fn count(text: &str) -> Result<u64, InvalidUsageQuery> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| InvalidUsageQuery::Limit(text.to_owned()))
}

fn period(text: &str) -> Result<Period, InvalidUsageQuery> {
    let periods = [Period::Day, Period::Week, Period::Month, Period::Year];
    let named = periods.into_iter().find(|period| period.name() == text);
    named.ok_or_else(|| InvalidUsageQuery::Sum(text.to_owned()))
}
