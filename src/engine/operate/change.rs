//! What may be set over the files, and by which words: the guards that stand before every change.

use crate::clock::Timestamp;
use crate::limits::{MAX_AMOUNT, Number, Unit};
use crate::money::NanoUsd;

use super::error::{OperateError, dollars};
use super::update::{Caution, Change, ChangeTerms};

/// By how much a number may change without anybody being asked.
const LARGE: u64 = 10;

impl Change<'_> {
    /// The number that it is for a limit that counts `unit`; `None` for what the file says.
    pub(super) fn number(self, unit: Unit) -> Result<Option<Number>, OperateError> {
        let most = if unit == Unit::Money { NanoUsd::MAX_LIMIT.0 } else { MAX_AMOUNT };
        match (self, unit) {
            (Self::BackToFile, _) => Ok(None),
            (Self::Number(-1), _) => Ok(Some(Number::Unlimited)),
            (Self::Number(number), _) => match u64::try_from(number) {
                Ok(amount) if amount <= most => Ok(Some(Number::AtMost(amount))),
                _ => Err(OperateError::Number(number, most)),
            },
            (Self::Usd(usd), Unit::Money) => Ok(Some(Number::AtMost(dollars(usd)?.0))),
            (Self::Usd(_), unit) => Err(OperateError::NotMoney(unit.name())),
        }
    }
}

impl ChangeTerms<'_> {
    /// Whether `to` may be set until `until`, at `now`. What is taken back, and nothing is, has no end.
    pub(super) fn check_end<T>(
        to: Option<T>,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), OperateError> {
        match (to, until) {
            (None, Some(_)) => Err(OperateError::UntilOfNothing),
            (Some(_), Some(until)) if until <= now => Err(OperateError::UntilPast),
            _ => Ok(()),
        }
    }

    /// Whether what the record `found` has set may be changed, which the record `changed` has changed last, of `head` records.
    /// Who knows the one that is in force knows what is, whatever has come and gone meanwhile.
    pub(super) fn check_version(&self, found: u64, changed: u64, head: u64) -> Result<(), OperateError> {
        let changed = changed.max(found);
        match self.if_version {
            Some(expected) if expected > head => Err(OperateError::FutureVersion { expected, head }),
            Some(expected) if expected != found && expected < changed => {
                Err(OperateError::Stale { expected, found: changed })
            }
            _ => Ok(()),
        }
    }

    /// Whether `before` may become `after` without somebody having thought twice.
    pub(super) fn check_size(&self, unit: Unit, before: Number, after: Number) -> Result<(), OperateError> {
        match (self.caution, suspicion(before, after)) {
            (Caution::Kept, Some(change)) => {
                let [before, after] = [before, after].map(|number| in_words(unit, number));
                Err(OperateError::NeedsForce { before, after, change })
            }
            _ => Ok(()),
        }
    }
}

/// Why a change from `before` to `after` may be a mistake.
pub(super) fn suspicion(before: Number, after: Number) -> Option<&'static str> {
    match (before, after) {
        (before, after) if before == after => None,
        (Number::Unlimited, _) => Some("a change from unlimited"),
        (_, Number::Unlimited) => Some("a change to unlimited"),
        (Number::AtMost(0), _) => Some("a change from blocked"),
        (_, Number::AtMost(0)) => Some("a change to blocked"),
        (Number::AtMost(before), Number::AtMost(after)) => {
            let is_large = after > before.saturating_mul(LARGE) || before > after.saturating_mul(LARGE);
            is_large.then_some("a change of more than 10×")
        }
    }
}

pub(super) fn in_words(unit: Unit, number: Number) -> String {
    match number {
        Number::Unlimited => "unlimited".to_owned(),
        Number::AtMost(0) => "blocked".to_owned(),
        Number::AtMost(most) => unit.in_words(most),
    }
}
