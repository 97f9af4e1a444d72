//! Takes over what was used elsewhere: sets what is used now, so that nobody gets a second quota in the middle of a month.
//!
//! What a row says is the true count as of now: of a month, a day or a total what is used of it, of a sliding window or a
//! bucket as if all of it was asked just now. To import the same again changes nothing. Rows are set some at a time, in one
//! step; before it, a record says of each of them whose it is, how much was used, and how much is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::algorithm::Op;
use crate::audit::{Action, Actor};
use crate::engine::Engine;
use crate::engine::native::KeptFor;
use crate::engine::request::Descriptor;
use crate::limits::{CounterKey, Entry, Limit, MAX_AMOUNT, NativeDomain, SubjectId, Subjects, Unit, Window};
use crate::store::{Charge, Store};

use super::ask::{ask, keep};
use super::error::{OperateError, check_reason, dollars_of, text};
use super::record::{Deed, record_and_do, target_of};
use super::tier::given;
use super::usage::ONE_LEFT;
use super::who::{Who, domain, limit_named, secret};

/// The most rows of an [`Import`].
pub const MOST_ROWS: usize = 1000;
/// How many rows are set in one step, and stand in one record, which is some ten kilobytes then.
const AT_ONCE: usize = 100;

/// Set what is used.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// Of which domain; may be `None` where there is one.
    pub domain: Option<&'a [u8]>,
    /// Whose, of which limits, up to [`MOST_ROWS`].
    pub rows: Vec<ImportRow<'a>>,
    /// Whether it is done.
    pub mode: ImportMode,
    /// Why; may be empty.
    pub reason: &'a str,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// It is said what would be.
    Rehearsed,
    /// It is done, if no row is wrong.
    Done,
}

/// What one subject has used of one limit.
#[derive(Clone, Debug)]
pub struct ImportRow<'a> {
    /// Whose, by the keys that the limit is kept by; nobody's of a limit that all share.
    pub subject: Vec<Entry<'a>>,
    /// The limit.
    pub limit: &'a [u8],
    /// How much is used now: a whole number, or of money dollars as in `4.20`.
    pub used: &'a [u8],
}

/// What became of an [`Import`].
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// One a row, in their order. If any is wrong, nothing was done.
    pub rows: Vec<Result<RowImported, OperateError>>,
    /// The number of the last record that says so; `None` if nothing was done.
    pub version: Option<u64>,
}

/// What became of a row, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowImported {
    /// The limit.
    pub limit: Arc<str>,
    /// What it counts.
    pub unit: Unit,
    /// Of which counter: the same for rows that say the same of somebody, however their subjects are written.
    pub counter: CounterKey,
    /// What was used before.
    pub before: u64,
    /// What is used, or would be.
    pub after: u64,
}

/// A row that makes sense.
struct Row<'a> {
    subjects: Vec<SubjectId>,
    limit: &'a Limit,
    units: u64,
    look: Charge<'a>,
}

pub(super) async fn import<S: Store>(
    engine: &Engine<S>,
    actor: &Actor,
    request: &Import<'_>,
) -> Result<Imported, OperateError> {
    check_reason(request.reason)?;
    if request.rows.len() > MOST_ROWS {
        return Err(OperateError::TooManyRows(request.rows.len(), MOST_ROWS));
    }
    // No row is read under a secret that is not the store's own.
    secret(engine)?;
    let rules = engine.limits.load();
    let domain = domain(&rules, request.domain)?;
    let read = read(engine, domain, &request.rows);
    let good: Vec<&Row<'_>> = read.iter().flatten().collect();
    let is_done = request.mode == ImportMode::Done && good.len() == read.len() && !good.is_empty();
    let (version, before) = if is_done {
        let set = set_all(engine, actor, (&domain.name, request.reason), &good).await;
        // Once for all rows, and for those of an import that broke off as well.
        let kept = keep(engine).await;
        let set = set?;
        kept?;
        set
    } else {
        (None, look_at_all(engine, &good).await?)
    };
    let mut before = before.into_iter();
    let mut imported = |row: Row<'_>| {
        let (limit, unit, counter) = (row.limit.name.clone(), row.limit.unit, row.look.key);
        RowImported { limit, unit, counter, before: before.next().unwrap_or_default(), after: row.units }
    };
    Ok(Imported { rows: read.into_iter().map(|row| row.map(&mut imported)).collect(), version })
}

/// What the rows mean, each by itself; and that none of them says what another has said.
fn read<'r, S: Store>(
    engine: &Engine<S>,
    domain: &'r NativeDomain,
    rows: &[ImportRow<'_>],
) -> Vec<Result<Row<'r>, OperateError>> {
    let mut said: HashMap<CounterKey, usize> = HashMap::new();
    let read = rows.iter().zip(1..).map(|(asked, number)| {
        let row = row(engine, domain, asked)?;
        match said.insert(row.look.key, number) {
            Some(before) => Err(OperateError::RepeatedRow(before)),
            None => Ok(row),
        }
    });
    read.collect()
}

fn row<'r, S: Store>(
    engine: &Engine<S>,
    domain: &'r NativeDomain,
    asked: &ImportRow<'_>,
) -> Result<Row<'r>, OperateError> {
    let limit = domain.limit(limit_named(domain, asked.limit)?);
    if matches!(limit.window, Window::Concurrent { .. } | Window::Request) {
        return Err(OperateError::NothingToImport(limit.name.to_string()));
    }
    let who = Who { domain: None, entries: asked.subject.clone() };
    let other =
        || OperateError::OtherSubject { limit: limit.name.to_string(), subjects: limit.subjects.to_string() };
    // Nobody's name stands for all: only where all share the limit.
    let descriptor = match (who.is_all(), *limit.subjects == Subjects::ALL) {
        (false, _) => who.descriptor(domain)?,
        (true, true) => Descriptor::default(),
        (true, false) => return Err(other()),
    };
    let secret = engine.store.key_secret();
    let kept_for = KeptFor::new(domain, &descriptor, secret);
    let kept = kept_for.limits().into_iter().find(|kept| std::ptr::eq(kept.limit, limit));
    let kept = kept.ok_or_else(other)?;
    let tier = given(domain, &kept_for)?.unwrap_or_else(|| kept_for.tier());
    let look = kept_for.charge(kept, tier, ONE_LEFT);
    Ok(Row { subjects: who.subjects(domain, secret), limit, units: units(limit, asked.used)?, look })
}

/// So many units of what `limit` counts.
fn units(limit: &Limit, used: &[u8]) -> Result<u64, OperateError> {
    if limit.unit == Unit::Money {
        return dollars_of(used).map(|amount| amount.0).map_err(OperateError::UsedDollars);
    }
    let digits = std::str::from_utf8(used).ok().filter(|used| used.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.map(str::parse) {
        Some(Ok(units @ ..=MAX_AMOUNT)) => Ok(units),
        Some(_) if !used.is_empty() => Err(OperateError::UsedTooMuch(text(used))),
        _ => Err(OperateError::Used(text(used))),
    }
}

impl<'r> Row<'r> {
    fn look(&self) -> Vec<Charge<'r>> {
        vec![self.look]
    }

    /// Looks, then sets.
    fn set(&self) -> Vec<Charge<'r>> {
        vec![self.look, Charge { op: Op::Set { units: self.units }, ..self.look }]
    }
}

async fn look_at_all<S: Store>(engine: &Engine<S>, rows: &[&Row<'_>]) -> Result<Vec<u64>, OperateError> {
    let mut used = Vec::with_capacity(rows.len());
    for rows in rows.chunks(AT_ONCE) {
        used.extend(ask_each(engine, rows, Row::look).await?);
    }
    Ok(used)
}

/// Records and sets all rows, some at a time. The number of the last record, and what was used before of each.
async fn set_all<S: Store>(
    engine: &Engine<S>,
    actor: &Actor,
    (domain, reason): (&str, &str),
    rows: &[&Row<'_>],
) -> Result<(Option<u64>, Vec<u64>), OperateError> {
    let (mut version, mut before) = (None, Vec::with_capacity(rows.len()));
    for rows in rows.chunks(AT_ONCE) {
        let setting = async {
            let used = ask_each(engine, rows, Row::look).await?;
            let action = Action::ImportUsage;
            let deed = Deed { actor, action, domain: Some(domain), target: target(rows, &used), reason };
            let event = deed.event(Json::Null, Json::Null);
            record_and_do(engine, event, ask_each(engine, rows, Row::set)).await
        };
        let (number, used) = match setting.await {
            Err(error) if !before.is_empty() => {
                return Err(OperateError::Partly { done: before.len(), why: error.to_string() });
            }
            set => set?,
        };
        version = Some(number);
        before.extend(used);
    }
    Ok((version, before))
}

/// Does what `charges` says to each row, in one step. What was used before, of each.
async fn ask_each<'r, S: Store>(
    engine: &Engine<S>,
    rows: &[&Row<'r>],
    charges: fn(&Row<'r>) -> Vec<Charge<'r>>,
) -> Result<Vec<u64>, OperateError> {
    let each: Vec<Vec<Charge<'r>>> = rows.iter().map(|row| charges(row)).collect();
    let answer = ask(engine, &each.concat()).await?;
    let mut outcomes = answer.outcomes.iter();
    let first = |charges: &Vec<Charge<'r>>| {
        let used = outcomes.next().map(|outcome| outcome.standing.used);
        outcomes.by_ref().take(charges.len() - 1).for_each(drop);
        used
    };
    Ok(each.iter().filter_map(first).collect())
}

/// What a record tells of `rows`, of which so much is used: how many there are of each limit, and each.
fn target(rows: &[&Row<'_>], used: &[u64]) -> Json {
    let mut limits: BTreeMap<&str, u64> = BTreeMap::new();
    rows.iter().for_each(|row| *limits.entry(&row.limit.name).or_default() += 1);
    let one = |(row, used): (&&Row<'_>, &u64)| {
        let limit = Json::from(&*row.limit.name);
        target_of(&row.subjects, [("limit", limit), ("before", (*used).into()), ("after", row.units.into())])
    };
    let each: Vec<Json> = rows.iter().zip(used).map(one).collect();
    json!({"rows": rows.len(), "limits": limits, "each": each})
}
