//! The last line of a ledger, noted where the ledger is not: in the data file. Whoever takes the ledger away, or cuts off its
//! end, leaves that.
//!
//! It is noted once the line is on the disk, and written with the next flush. So the ledger may be ahead of what is noted, by
//! what was added in less than an interval before a process was killed, and is never behind.

use parking_lot::Mutex;

use crate::store::durable::{Changes, Kept, Restored};

use super::Line;

/// The name of the table.
pub const TABLE: &str = "audit";
/// Its only key.
pub const KEY: &[u8] = b"last line";

/// The last line that a ledger took.
#[derive(Debug, Default)]
pub struct NotedLine(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// What was noted before this process.
    before: Option<Line>,
    last: Option<Line>,
    is_new: bool,
}

impl NotedLine {
    /// The last line that there was before this process, as far as it was noted.
    pub(super) fn before(&self) -> Option<Line> {
        self.0.lock().before.clone()
    }

    /// The ledger has `line`, and none behind it.
    pub(super) fn note(&self, line: Line) {
        let mut noted = self.0.lock();
        noted.is_new |= noted.last.as_ref() != Some(&line);
        noted.last = Some(line);
    }
}

impl Kept for NotedLine {
    fn table(&self) -> &'static str {
        TABLE
    }

    fn keep_track(&self) {}

    // It is of one step with nothing else.
    fn draw_line(&self) {}

    fn take_changes(&self, changes: &mut Changes) {
        let mut noted = self.0.lock();
        if std::mem::take(&mut noted.is_new)
            && let Some(line) = &noted.last
        {
            changes.put(KEY, |bytes| write(line, bytes));
        }
    }

    fn put_back(&self, changes: &Changes) {
        if !changes.is_empty() {
            self.0.lock().is_new = true;
        }
    }

    fn holds(&self, key: &[u8]) -> bool {
        key == KEY && self.0.lock().last.is_some()
    }

    fn restore(&self, key: &[u8], value: &[u8]) -> Restored {
        let Some(line) = read(value).filter(|_| key == KEY) else {
            return Restored::Unreadable("it is no place and line of the audit".to_owned());
        };
        let mut noted = self.0.lock();
        (noted.before, noted.last) = (Some(line.clone()), Some(line));
        Restored::Held
    }
}

fn write(line: &Line, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&line.place.to_le_bytes());
    bytes.extend_from_slice(&line.bytes);
}

/// The line that a value says.
pub fn read(value: &[u8]) -> Option<Line> {
    let (place, bytes) = value.split_first_chunk()?;
    Some(Line { place: u64::from_le_bytes(*place), bytes: bytes.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(place: u64, text: &str) -> Line {
        Line { place, bytes: text.as_bytes().into() }
    }

    fn told(noted: &NotedLine) -> Vec<Line> {
        let mut changes = Changes::default();
        noted.take_changes(&mut changes);
        changes.iter().filter_map(|(_, value)| read(value?)).collect()
    }

    #[test]
    fn the_last_line_is_told_once_and_again_if_it_could_not_be_written() {
        let noted = NotedLine::default();
        assert_eq!((told(&noted), noted.before()), (vec![], None));
        noted.note(line(1, "a"));
        noted.note(line(2, ""));
        let mut changes = Changes::default();
        noted.take_changes(&mut changes);
        assert_eq!(told(&noted), []);
        noted.put_back(&changes);
        assert_eq!(told(&noted), [line(2, "")]);
        noted.note(line(2, ""));
        assert_eq!((told(&noted), noted.before()), (vec![], None), "it is noted already");
    }

    #[test]
    fn what_was_noted_before_stays_known() {
        let noted = NotedLine::default();
        let mut value = Vec::new();
        write(&line(7, "{}"), &mut value);
        assert_eq!(noted.restore(KEY, &value), Restored::Held);
        noted.note(line(8, "x"));
        assert_eq!((noted.before(), told(&noted)), (Some(line(7, "{}")), vec![line(8, "x")]));
        assert!(matches!(noted.restore(KEY, b"short"), Restored::Unreadable(_)));
    }
}
