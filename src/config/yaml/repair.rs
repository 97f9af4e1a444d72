//! What Go's yaml.v2 reads and the parser, which keeps to YAML 1.2, does not: a flow collection whose lines, the
//! closing bracket above all, begin further left than what it stands in, and a tab behind the colon of a key.
//!
//! A line that is refused for that alone is given more blanks at its front, where they mean nothing inside a flow
//! collection; places are told as they were before.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Marker, ScanError};

use crate::config::diagnostic::Position;

/// The most lines that are moved, each at the price of reading the text again.
const MAX_REPAIRS: usize = 2_000;

/// The most blanks that a line is moved by, or up to twice as many.
const FURTHEST: usize = 4_096;

/// A text, and what was put into it.
pub(super) struct Repaired<'t> {
    text: Cow<'t, str>,
    /// How many blanks stand before the line of this number, counted from 1.
    moved: HashMap<usize, usize>,
    repairs: usize,
}

impl<'t> Repaired<'t> {
    /// `text`, as it is.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text: Cow::Borrowed(text), moved: HashMap::new(), repairs: 0 }
    }

    /// What is to be parsed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The place in the text as it was.
    pub(super) fn position(&self, marker: Marker) -> Position {
        let moved = self.moved.get(&marker.line()).copied().unwrap_or_default();
        Position { line: marker.line(), column: marker.col().saturating_sub(moved) + 1 }
    }

    /// Puts right what `error` is about; whether it is worth another try.
    pub(super) fn repair(&mut self, error: &ScanError) -> bool {
        self.repairs += 1;
        if self.repairs > MAX_REPAIRS {
            return false;
        }
        let marker = *error.marker();
        match error.info() {
            "invalid indentation" | "invalid indentation in flow construct" => self.move_right(marker),
            "':' must be followed by a valid YAML whitespace" => self.blank_tabs(marker),
            _ => false,
        }
    }

    /// Moves the line twice as far as it was moved before, until it is far enough.
    fn move_right(&mut self, marker: Marker) -> bool {
        let Some(start) = self.start_of(marker.line()) else { return false };
        let moved = self.moved.entry(marker.line()).or_default();
        if *moved >= FURTHEST {
            return false;
        }
        let more = (*moved).max(4);
        *moved += more;
        self.text.to_mut().insert_str(start, &" ".repeat(more));
        true
    }

    /// Turns the tabs right before the marker into blanks.
    fn blank_tabs(&mut self, marker: Marker) -> bool {
        let Some(start) = self.start_of(marker.line()) else { return false };
        let before: usize = self.text[start..].chars().take(marker.col()).map(char::len_utf8).sum();
        let line = &self.text[start..start + before];
        let tabs = line.len() - line.trim_end_matches('\t').len();
        let end = start + before;
        self.text.to_mut().replace_range(end - tabs..end, &" ".repeat(tabs));
        tabs > 0
    }

    /// The byte at which the line of this number starts; not told where lines end in the way of old Macs.
    fn start_of(&self, line: usize) -> Option<usize> {
        if self.text.replace("\r\n", "").contains('\r') {
            return None;
        }
        let mut starts = std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1));
        starts.nth(line.checked_sub(1)?)
    }
}
