//! A file of limits as text, and the step from all of them to one rule set.
//!
//! Which of the two languages a file is written in shows at its top level. Every file is read before any
//! verdict, so that all that is wrong comes out in one go; with one error there is no rule set.

use super::diagnostic::{Diagnostics, Report};
use super::reference_file::{self, ReferenceFile};
use super::yaml::{self, Document};
use crate::limits::{Domain, RuleSet};

/// A file of limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path, as diagnostics name it.
    pub name: Box<str>,
    /// All of it.
    pub text: String,
}

/// Whether a domain may stand in several reference files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameDomain {
    /// A second file with the domain is an error.
    #[default]
    Refuse,
    /// Their descriptors are put together (`MERGE_DOMAIN_CONFIG`).
    Merge,
}

/// A rule set, and what somebody should know about the files it is made of.
#[derive(Debug)]
pub struct Compiled {
    /// The rule set.
    pub rules: RuleSet,
    /// Warnings only.
    pub warnings: Diagnostics,
}

/// Makes one rule set of `sources`.
///
/// # Errors
///
/// All that is wrong with any of them, warnings included.
pub fn compile(sources: &[Source], same_domain: SameDomain) -> Result<Compiled, Diagnostics> {
    let mut reports: Vec<Report> = sources.iter().map(|source| Report::new(&source.name)).collect();
    let mut reference: Vec<ReferenceFile> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let report = &mut reports[index];
        let Some(document) = parse(source, report) else { continue };
        reference.extend(reference_file::read(&document, index, report));
    }
    let mut rules = RuleSet::default();
    for domain in reference_file::build(&reference, same_domain, &mut reports) {
        rules.domains.insert(domain.name.as_bytes().into(), Domain::Reference(Box::new(domain)));
    }
    let mut found = Diagnostics::default();
    reports.into_iter().for_each(|report| found.add(report));
    if found.has_errors() { Err(found) } else { Ok(Compiled { rules, warnings: found }) }
}

/// The first document of `source`, after saying what is odd about the text as such.
fn parse(source: &Source, report: &mut Report) -> Option<Document> {
    let document = match yaml::parse(&source.text) {
        Ok(document) => document,
        Err(error) => {
            report.error(error.at, error.message, error.fix);
            return None;
        }
    };
    Some(document)
}
