//! A file of limits as text, and the step from all of them to one rule set.
//!
//! Which of the two languages a file is written in shows at its top level. Every file is read before any
//! verdict, so that all that is wrong comes out in one go; with one error there is no rule set.

mod once;

use std::sync::Arc;

use super::diagnostic::{Diagnostics, Report, nearest};
use super::native_domain;
use super::price_table;
use super::reference_file::{self, ReferenceFile};
use super::tollgate_file::{self, TollgateFile};
use super::yaml::{self, Document, Merging, Node};
use crate::clock::{Clock, Timestamp};
use crate::limits::{Domain, RuleSet};

/// The keys at the top of a reference file by which it is known.
const REFERENCE_KEYS: [&str; 2] = ["domain", "descriptors"];

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

/// The environment, by name: where `${NAME}` in secrets and addresses finds its value.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// What a rule set depends on beside its files.
#[derive(Clone, Copy)]
pub struct Around<'e> {
    /// The environment, by name.
    pub environment: Environment<'e>,
    /// The present: prices may begin later.
    pub now: Timestamp,
}

/// Makes one rule set of `sources`, with the environment of the process and its clock.
///
/// # Errors
///
/// All that is wrong with any of them, warnings included.
pub fn compile(sources: &[Source], same_domain: SameDomain) -> Result<Compiled, Diagnostics> {
    let environment = |name: &str| std::env::var(name).ok();
    compile_in(Around { environment: &environment, now: Clock::System.now() }, sources, same_domain)
}

/// Makes one rule set of `sources`, with what is `around` them.
///
/// # Errors
///
/// All that is wrong with any of them, warnings included.
pub fn compile_in(
    around: Around<'_>,
    sources: &[Source],
    same_domain: SameDomain,
) -> Result<Compiled, Diagnostics> {
    let mut reports: Vec<Report> = sources.iter().map(|source| Report::new(&source.name)).collect();
    let mut reference: Vec<ReferenceFile> = Vec::new();
    let mut native: Vec<(usize, TollgateFile)> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let report = &mut reports[index];
        let Some(document) = parse(source, report) else { continue };
        match tollgate_root(&document) {
            Some(root) => {
                let file = tollgate_file::read(&document, root, around.environment, report);
                native.extend(file.map(|file| (index, file)));
            }
            None => {
                let document = as_the_reference_merges(source, document);
                reference.extend(reference_file::read(&document, index, report));
            }
        }
    }
    once::check(&native, &reference, &mut reports);
    let rules = build((&native, &reference), same_domain, around.now, &mut reports);
    if !reports.iter().any(Report::has_errors) && native.iter().all(|(_, file)| file.prices.is_none()) {
        warn_of_unpriced(&native, &mut reports);
    }
    let mut found = Diagnostics::default();
    reports.into_iter().for_each(|report| found.add(report));
    if found.has_errors() { Err(found) } else { Ok(Compiled { rules, warnings: found }) }
}

fn build(
    (native, reference): (&[(usize, TollgateFile)], &[ReferenceFile]),
    same_domain: SameDomain,
    now: Timestamp,
    reports: &mut [Report],
) -> RuleSet {
    let mut rules = RuleSet::default();
    for (index, file) in native {
        if let Some(prices) = &file.prices {
            rules.prices = price_table::build(prices, now, &mut reports[*index]);
        }
        for domain in
            file.domains.iter().filter_map(|domain| native_domain::build(domain, &mut reports[*index]))
        {
            rules.domains.insert(domain.name.as_bytes().into(), Domain::Native(Arc::new(domain)));
        }
    }
    for domain in reference_file::build(reference, same_domain, reports) {
        rules.domains.insert(domain.name.as_bytes().into(), Domain::Reference(Arc::new(domain)));
    }
    rules
}

/// Warns of limits of money where no file has prices.
fn warn_of_unpriced(native: &[(usize, TollgateFile)], reports: &mut [Report]) {
    for (index, file) in native {
        for domain in &file.domains {
            native_domain::warn_of_unpriced(domain, &mut reports[*index]);
        }
    }
}

/// The root of a Tollgate file; `None` for the reference's language, in which anything odd is judged too.
fn tollgate_root(document: &Document) -> Option<&Node> {
    let root = document.root.as_ref()?;
    let keys = || root.as_map().unwrap_or_default().iter().filter_map(|(key, _)| key.literal());
    if keys().any(|key| tollgate_file::TOP_KEYS.contains(&key)) {
        return Some(root);
    }
    if keys().any(|key| REFERENCE_KEYS.contains(&key)) {
        return None;
    }
    // A slip of the pen, and what lacks its domain, is best explained in the language that was meant.
    if keys().any(|key| tollgate_file::home_of(key).is_some()) {
        return Some(root);
    }
    let all = || tollgate_file::TOP_KEYS.into_iter().chain(REFERENCE_KEYS);
    let meant = keys().find_map(|key| nearest(key, all()))?;
    tollgate_file::TOP_KEYS.contains(&meant).then_some(root)
}

/// `document`, with merge keys read as the reference reads them where there are any.
fn as_the_reference_merges(source: &Source, document: Document) -> Document {
    if !source.text.contains("<<") {
        return document;
    }
    yaml::parse_merging(&source.text, Merging::LastWins).unwrap_or(document)
}

/// The first document of `source`.
fn parse(source: &Source, report: &mut Report) -> Option<Document> {
    yaml::parse(&source.text).map_err(|error| report.error(error.at, error.message, error.fix)).ok()
}
