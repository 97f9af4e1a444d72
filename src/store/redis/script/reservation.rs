//! Reservations in the words of the scripts that reserve and settle, and what those say of them.
//!
//! `lua/reserve.lua`, `lua/settle.lua` and `lua/record.lua` tell the form. Each is one command of its own.

use redis::Cmd;

use crate::clock::Timestamp;
use crate::limits::{CounterKey, MAX_AMOUNT, Unit};
use crate::store::redis::keys;
use crate::store::{
    Admission, Answer, Before, Call, Charge, Due, FreedBy, Grant, Hold, Outcomes, Part, Report, Reserve,
    Reserved, Settle, Settled, StoreError, Then, Trail,
};

use super::info::{self, Info};
use super::reply::{ASTRAY, amount, answer, numbers, read_call, read_charge};
use super::{Following, Replied, Terms, Time, double, expense, number, pack_bytes, text};

/// What was said of a settle.
#[derive(Debug, PartialEq)]
pub(in crate::store::redis) enum Answered {
    /// What became of it.
    Done(Settled),
    /// Nothing was done: calendars do not reach to the store's time. To be asked again, with these boundaries.
    Astray(Vec<u8>),
}

/// The place of the first argument to which others lead, as the script counts.
const FIRST_PLACE: usize = 3;
/// Milliseconds that a front outlives its holds, as `lua/holds.lua` has it.
const OUTLIVES: u64 = 1000;

/// The command that does `call`, by the script of this hash. Its caller believes that the store's clock shows what
/// `believed` tells. So many `notes` of usage are kept.
pub(in crate::store::redis) fn reserve(
    call: &Reserve<'_>,
    hash: &str,
    time: Time,
    believed: impl Fn() -> Timestamp,
    notes: usize,
) -> Cmd {
    let mut counters = Vec::new();
    let mut arguments: Vec<Vec<u8>> = Vec::new();
    let mut infos: Vec<(CounterKey, u16)> = Vec::new();
    let mut charges = Vec::from(narrow(call.charges.len()).to_le_bytes());
    for charge in call.charges {
        let counter = 1 + position(&mut counters, charge.key);
        let packed = Terms::of(charge, Admission::AllOrNone, &believed).pack(time.grace());
        let info = info::write(charge, &packed);
        let terms = narrow(FIRST_PLACE + position(&mut arguments, packed));
        let known = infos.iter().find(|(key, _)| *key == charge.key).map(|(_, info)| *info);
        let info = match known {
            _ if !is_recorded(charge) => 0,
            Some(info) => info,
            None => {
                let place = narrow(FIRST_PLACE + arguments.len());
                arguments.push(info);
                infos.push((charge.key, place));
                place
            }
        };
        charges.extend([narrow(counter), terms, info].map(u16::to_le_bytes).as_flattened());
    }
    let trail = (!call.expenses.is_empty()).then_some(Trail::Spent);
    if trail.is_some() {
        charges.extend(expense::pack(call.expenses, notes));
    }
    let mut command = begin(hash, call.name, &counters, trail, time);
    let mut life = Vec::with_capacity(56);
    for part in [call.life.ttl, call.life.max_age, call.life.keep] {
        number(&mut life, part.0);
    }
    number(&mut life, call.accepts_less.map_or(0, u64::from));
    life.extend(call.name.id.to_be_bytes());
    life.extend(call.body.to_le_bytes());
    let lives = call.life.ttl.min(call.life.max_age);
    let kept = |span: u64| span.div_ceil(1000).saturating_add(time.grace());
    let twice = kept(lives.0.saturating_mul(2));
    for milliseconds in [kept(call.life.keep.max(lives).0), twice, twice.saturating_add(OUTLIVES)] {
        text(&mut life, milliseconds);
    }
    life.extend(call.about);
    command.arg(life).arg(arguments).arg(charges);
    command
}

/// The command that does `call`, as [`reserve`], with the `boundaries` that were asked for, if any were. So many `notes`
/// of usage are kept.
pub(in crate::store::redis) fn settle(
    (call, boundaries): (&Settle<'_>, &[u8]),
    hash: &str,
    time: Time,
    believed: impl Fn() -> Timestamp,
    notes: usize,
) -> Cmd {
    let mut command = begin(hash, call.name, &[], Some(Trail::Spent), time);
    let goes_on = match call.then {
        Then::More => 0,
        Then::Done => 1,
        Then::Released => 2,
        Then::Unchanged => 3,
    };
    let mut spent = vec![goes_on, u8::from(!call.otherwise.is_empty())];
    number(&mut spent, call.keep.0);
    for due in [call.spent.tokens, call.spent.money] {
        double(&mut spent, written(due));
    }
    spent.extend(call.name.id.to_be_bytes());
    text(&mut spent, call.keep.0.div_ceil(1000).saturating_add(time.grace()));
    if let Some(report) = &call.report {
        say(&mut spent, report, notes);
    }
    command.arg(spent).arg(boundaries);
    let mut known: Vec<CounterKey> = Vec::new();
    for charge in call.otherwise.iter().filter(|charge| is_recorded(charge)) {
        if !known.contains(&charge.key) {
            known.push(charge.key);
            let terms = Terms::of(charge, Admission::Each, &believed).pack(time.grace());
            command.arg(info::write(charge, &terms));
        }
    }
    command
}

/// How much is due, as the script reads it.
fn written(due: Due) -> f64 {
    let units = |units: u64| units.min(MAX_AMOUNT) as f64;
    match due {
        Due::Exactly(exactly) => units(exactly),
        Due::AtLeast(least) => -1.0 - units(least),
        Due::AsHeld => -1.0,
    }
}

/// Adds what is to be written down, in the form that `lua/usage.lua` reads.
fn say(said: &mut Vec<u8>, report: &Report<'_>, notes: usize) {
    number(said, notes as u64);
    pack_bytes(report.about, said);
    let mut classes = Vec::with_capacity(report.classes.len() * size_of::<f64>());
    report.classes.iter().for_each(|tokens| number(&mut classes, *tokens));
    pack_bytes(&classes, said);
    said.extend(report.line);
}

/// Begins a command about the record `name` that reaches `counters` and a trail beside it.
fn begin(hash: &str, name: CounterKey, counters: &[CounterKey], trail: Option<Trail>, time: Time) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    let keys = 1 + counters.len() + usize::from(trail.is_some());
    command.arg(hash).arg(keys).arg(&keys::record(name)[..]);
    for key in counters {
        command.arg(&keys::counter(*key)[..]);
    }
    command.arg(trail.map(keys::trail));
    command.arg(time.pack(Following { runs: 0, sliding_runs: 0, are_steps: false }));
    command
}

/// Whether somebody has to come back to it.
fn is_recorded(charge: &Charge<'_>) -> bool {
    charge.unit != Unit::Hits || charge.freed_by != FreedBy::Time
}

/// Where `one` stands among `all`; last, if it was not there.
fn position<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    all.iter().position(|other| *other == one).unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}

fn narrow(count: usize) -> u16 {
    u16::try_from(count).expect("a call's descriptors and their limits are bounded")
}

/// The store's time, and what became of `call`; `None` if nothing was done, because it was too late or its calendars do
/// not reach to now.
///
/// # Errors
///
/// [`StoreError::Corrupt`], if this is no reply to it.
pub(in crate::store::redis) fn read_reserved(
    call: &Reserve<'_>,
    reply: &[u8],
) -> Result<(Timestamp, Option<Reserved>), StoreError> {
    let (at, numbers) = begun(reply)?;
    let (what, units, began, until, mut rest) = match &numbers[..] {
        [] | [ASTRAY] => return Ok((at, None)),
        [what, units, began, until, rest @ ..] => (*what, *units, *began, *until, rest),
        _ => return Err(StoreError::Corrupt),
    };
    let grant =
        Grant { units: amount(units)?, began: Timestamp(amount(began)?), until: Timestamp(amount(until)?) };
    let hold = match what {
        0 => Hold::Taken(grant),
        1 => Hold::Replayed(grant),
        2 => Hold::Refused,
        3 => Hold::Conflict,
        _ => return Err(StoreError::Corrupt),
    };
    let answer = if hold == Hold::Conflict {
        Answer { at, outcomes: Outcomes::new(), degraded: None }
    } else {
        let Replied::Charged(charged) = read_call(&mut rest, call.charges.len(), None)? else {
            return Err(StoreError::Corrupt);
        };
        let asked = if matches!(hold, Hold::Replayed(_)) { call.looks() } else { call.least() };
        answer(&Call { charges: &asked, admission: Admission::AllOrNone, expenses: &[] }, at, &charged)
    };
    if rest.is_empty() { Ok((at, Some(Reserved { answer, hold }))) } else { Err(StoreError::Corrupt) }
}

/// The store's time, and what was said of a [`Settle`].
///
/// # Errors
///
/// [`StoreError::Corrupt`], if this is no reply to it.
pub(in crate::store::redis) fn read_settled(reply: &[Vec<u8>]) -> Result<(Timestamp, Answered), StoreError> {
    let (said, infos) = reply.split_first().ok_or(StoreError::Corrupt)?;
    let (now, numbers) = begun(said)?;
    let (before, at, until, began, mut rest) = match &numbers[..] {
        [ASTRAY, at] => return Ok((now, Answered::Astray(boundaries(infos, Timestamp(amount(*at)?))?))),
        [before, at, until, began, rest @ ..] => {
            (*before, Timestamp(amount(*at)?), *until, Timestamp(amount(*began)?), rest)
        }
        _ => return Err(StoreError::Corrupt),
    };
    let before = match before {
        0 => Before::Held,
        1 => Before::Late,
        2 => Before::Settled,
        3 => Before::Unheld,
        4 => Before::Unknown,
        _ => return Err(StoreError::Corrupt),
    };
    let until = if until < 0 { None } else { Some(Timestamp(amount(until)?)) };
    let parts = infos.iter().map(|info| part(&info::read(info)?, at, &mut rest)).collect::<Result<_, _>>()?;
    if !rest.is_empty() {
        return Err(StoreError::Corrupt);
    }
    Ok((now, Answered::Done(Settled { at, before, began, until, parts })))
}

/// The boundaries around `at` of the calendars of the counters of which the record says `infos`.
fn boundaries(infos: &[Vec<u8>], at: Timestamp) -> Result<Vec<u8>, StoreError> {
    let mut all = Vec::new();
    for info in infos {
        all.extend(info::write_boundaries(info, at)?);
    }
    Ok(all)
}

/// What was said of the counter of `info`.
fn part(info: &Info<'_>, at: Timestamp, said: &mut &[i64]) -> Result<Part, StoreError> {
    let [granted, paid, charged, ref rest @ ..] = **said else {
        return Err(StoreError::Corrupt);
    };
    *said = rest;
    let charged_now = read_charge(said)?;
    let charged_now = match info.calendar() {
        Some(window) => charged_now.at_boundary(&window, at),
        None => charged_now,
    };
    Ok(Part {
        key: info.key,
        limit: info.limit,
        memo: info.memo,
        unit: info.unit,
        number: info.number,
        granted: amount(granted)?,
        paid: amount(paid)?,
        charged: amount(charged)?,
        outcome: charged_now.outcome(info.only_holds(), info.most),
    })
}

/// The store's time, and the numbers after it.
fn begun(reply: &[u8]) -> Result<(Timestamp, Vec<i64>), StoreError> {
    let numbers = numbers(reply)?;
    let (at, said) = numbers.split_first().ok_or(StoreError::Corrupt)?;
    Ok((Timestamp(amount(*at)?), said.to_vec()))
}
