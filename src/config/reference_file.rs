//! Files written for the reference service: what it takes is taken, what it refuses is an error.
//!
//! A file is read in two steps: [`read`] checks keys and values of one file, [`build()`] puts the files of a
//! domain together. What the reference takes and silently ignores is a warning here.
//! Additions, off unless written: `atomic` at the top, `rate_limits` beside `descriptors`, `algorithm` and
//! `unit_multiplier` inside `rate_limit`.

mod build;
mod descriptor;
mod keys;
mod limit;
mod metadata;
mod value;

use std::collections::BTreeMap;

use super::diagnostic::{Position, Report};
use super::yaml::{Document, Kind};
use crate::limits::{Metadata, Number, Window, WireUnit};

pub use build::build;
use value::Values;

/// One file, read and not yet built.
#[derive(Clone, Debug)]
pub struct ReferenceFile {
    /// Which of the files that are loaded together.
    index: usize,
    domain: Box<str>,
    domain_at: Position,
    atomic: bool,
    descriptors: Vec<Written>,
}

/// A descriptor as written.
#[derive(Clone, Debug)]
struct Written {
    at: Position,
    key: Box<str>,
    /// Empty for none.
    value: Box<str>,
    limits: Vec<WrittenLimit>,
    shadow: bool,
    quota: bool,
    share: bool,
    metadata: BTreeMap<Box<str>, Metadata>,
    /// Where its keys about metrics are set.
    metrics: [Option<Position>; 2],
    below: Vec<Written>,
}

/// A limit as written.
#[derive(Clone, Debug)]
struct WrittenLimit {
    name: Box<str>,
    number: Number,
    window: Window,
    unit: WireUnit,
    multiplier: u32,
    replaces: Vec<(Box<str>, Position)>,
}

impl ReferenceFile {
    /// Its domain, and where that stands: which file, and the place in it.
    pub(super) fn domain(&self) -> (&str, (usize, Position)) {
        (&self.domain, (self.index, self.domain_at))
    }
}

/// Reads one file, the `index`th of those that are loaded together. Nothing comes of a file without a domain.
pub fn read(document: &Document, index: usize, report: &mut Report) -> Option<ReferenceFile> {
    warn_of_more_documents(document, report);
    for duplicate in &document.duplicates {
        let message =
            format!("'{}' stands twice; the first, at {}, has no effect", duplicate.key, duplicate.first);
        report.warning(duplicate.again, message, "keep one of them");
    }
    let no_domain = |at, report: &mut Report| {
        report.error(at, "the file has no domain", "write 'domain: NAME' at the top");
    };
    let root = match &document.root {
        Some(root) if !root.is_null() => root,
        _ => {
            no_domain(Position::START, report);
            return None;
        }
    };
    let Kind::Map(_) = &root.kind else {
        let message = format!("the file is {}", root.describe());
        report.error(root.at, message, "write a mapping with 'domain' and 'descriptors'");
        return None;
    };
    keys::check(root, keys::Place::Root, report);
    let values = Values::of(root);
    let domain = values.text("domain", report);
    let atomic = values.flag("atomic", report);
    let descriptors = descriptor::list(&values, report);
    descriptor::warn_of_metrics(&descriptors, report);
    if domain.is_empty() {
        no_domain(values.at("domain").unwrap_or(root.at), report);
        return None;
    }
    let domain_at = values.at("domain").unwrap_or(root.at);
    Some(ReferenceFile { index, domain: domain.into(), domain_at, atomic, descriptors })
}

fn warn_of_more_documents(document: &Document, report: &mut Report) {
    if document.documents > 1 {
        let message = format!("the file holds {} YAML documents; only the first is read", document.documents);
        report.warning(Position::FILE, message, "put each document into a file of its own");
    }
}
