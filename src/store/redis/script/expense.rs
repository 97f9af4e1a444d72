//! What a call spends, in the words of the scripts: they write it down, and have only to add the time.

use crate::clock::Timestamp;
use crate::store::{Expense, Note, Place};

use super::{pack_bytes, text};

/// `expenses` in the form that `lua/all.lua` reads. So many `notes` of usage are kept.
pub(super) fn pack(expenses: &[Expense<'_>], notes: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    text(&mut packed, notes as u64);
    for expense in expenses {
        let (spending, about, line) = (Some(expense.spending()), expense.about.into(), Expense::LINE.into());
        let note = Note { place: Place::default(), at: Timestamp::default(), spending, about, line };
        pack_bytes(&note.to_bytes_without_time(), &mut packed);
    }
    packed
}
