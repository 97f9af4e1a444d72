//! From files to domains: descriptors of one level are put together, what stands twice is refused.
//!
//! A descriptor is its key and its value, two things: `a` with `b_c` and `a_b` with `c` are not the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::value::quoted;
use super::{ReferenceFile, Written, WrittenLimit};
use crate::config::diagnostic::Report;
use crate::config::source::SameDomain;
use crate::limits::{Node, ReferenceDomain, ReferenceLimit, Rule, Wildcard};

/// A descriptor, and the index of its file.
type Placed<'f> = (usize, &'f Written);

/// The domains of `files`, in the order of their first files.
pub fn build(
    files: &[ReferenceFile],
    same_domain: SameDomain,
    reports: &mut [Report],
) -> Vec<ReferenceDomain> {
    let mut domains: Vec<Vec<&ReferenceFile>> = Vec::new();
    for file in files {
        match domains.iter_mut().find(|together| together[0].domain == file.domain) {
            Some(together) => {
                if same_domain == SameDomain::Refuse {
                    report_same_domain(together[0], file, reports);
                }
                together.push(file);
            }
            None => domains.push(vec![file]),
        }
    }
    domains.iter().map(|files| domain(files, reports)).collect()
}

fn report_same_domain(first: &ReferenceFile, again: &ReferenceFile, reports: &mut [Report]) {
    let place = format!("{} {}", reports[first.index].file(), first.domain_at);
    let message = format!("the domain {} stands in {place} already", quoted(&again.domain));
    let fix = "put both into one file, or set MERGE_DOMAIN_CONFIG=true";
    reports[again.index].error(again.domain_at, message, fix);
}

fn domain(files: &[&ReferenceFile], reports: &mut [Report]) -> ReferenceDomain {
    let first = files[0];
    let atomic = files.iter().any(|file| file.atomic);
    for file in files.iter().filter(|file| file.atomic != atomic) {
        let message = format!("the domain {} is atomic by another file", quoted(&file.domain));
        reports[file.index].warning(file.domain_at, message, "write 'atomic: true' here as well");
    }
    let descriptors: Vec<Placed<'_>> =
        files.iter().flat_map(|file| file.descriptors.iter().map(|written| (file.index, written))).collect();
    warn_of_names_nobody_has(&descriptors, reports);
    let root = level(&descriptors, &first.domain, &first.domain, reports);
    ReferenceDomain { name: first.domain.clone(), atomic, root }
}

/// One level of descriptors of `domain` under `path`.
fn level(descriptors: &[Placed<'_>], domain: &str, path: &str, reports: &mut [Report]) -> Node {
    let mut node = Node::default();
    let mut seen: HashMap<(&str, &str), Placed<'_>> = HashMap::new();
    for (file, written) in descriptors {
        let path = path_of(path, written);
        if let Some(first) = seen.insert((&written.key, &written.value), (*file, written)) {
            report_same_descriptor(first, (*file, written), &path, reports);
        }
        let below: Vec<Placed<'_>> = written.below.iter().map(|below| (*file, below)).collect();
        let limits = written.limits.iter().map(|limit| build_limit(limit, written, domain, &path)).collect();
        let rule = Rule { limits, below: level(&below, domain, &path, reports) };
        insert(&mut node, written, rule, &mut reports[*file]);
    }
    node
}

fn path_of(path: &str, written: &Written) -> String {
    let separator = if written.value.is_empty() { "" } else { "_" };
    format!("{path}.{}{separator}{}", written.key, written.value)
}

fn report_same_descriptor(first: Placed<'_>, again: Placed<'_>, path: &str, reports: &mut [Report]) {
    let place = format!("{} {}", reports[first.0].file(), first.1.at);
    let message = format!("the descriptor {} stands twice, first in {place}", quoted(path));
    let fix = "keep one of them; several limits go into its 'rate_limits'";
    reports[again.0].error(again.1.at, message, fix);
}

fn build_limit(limit: &WrittenLimit, of: &Written, domain: &str, path: &str) -> ReferenceLimit {
    ReferenceLimit {
        name: Arc::from(&*limit.name),
        path: path.into(),
        number: limit.number,
        window: limit.window.clone(),
        identity: ReferenceDomain::identity_of(domain, &limit.window),
        overflow: ReferenceDomain::overflow_of(domain, &limit.window, path),
        unit: limit.unit,
        multiplier: limit.multiplier,
        shadow: of.shadow,
        quota: of.quota,
        replaces: limit.replaces.iter().map(|(name, _)| name.clone()).collect(),
        metadata: of.metadata.clone(),
        tally: Arc::default(),
    }
}

fn insert(node: &mut Node, written: &Written, rule: Rule, report: &mut Report) {
    let (key, value) = (bytes(&written.key), bytes(&written.value));
    if written.key.contains('*') || written.value.contains('*') {
        let pattern = if written.value.is_empty() { &written.key } else { &written.value };
        let wildcard = Wildcard {
            key: parts(&written.key),
            value: (!written.value.is_empty()).then(|| parts(&written.value)),
            written: (key, value),
            shared_as: written.share.then(|| bytes(pattern)),
            rule,
        };
        if let Some(earlier) = node.wildcards.iter().find(|earlier| earlier.hides(&wildcard)) {
            warn_of_never_reached(written, earlier, report);
        }
        node.wildcards.push(wildcard);
    } else if written.value.is_empty() {
        node.by_key.insert(key, rule);
    } else {
        node.exact.entry(key).or_default().insert(value, rule);
    }
}

fn parts(pattern: &str) -> Vec<Box<[u8]>> {
    pattern.split('*').map(bytes).collect()
}

fn bytes(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

fn warn_of_never_reached(written: &Written, earlier: &Wildcard, report: &mut Report) {
    let [key, value] = [&earlier.written.0, &earlier.written.1].map(|part| String::from_utf8_lossy(part));
    let message = format!("the wildcard is never reached: {key} {value} above takes all that it takes");
    report.warning(written.at, message, "move it above the wider one");
}

/// Warns of names in `replaces` that no limit of the domain has.
fn warn_of_names_nobody_has(descriptors: &[Placed<'_>], reports: &mut [Report]) {
    let mut names = HashSet::new();
    let mut wanted = Vec::new();
    let mut left: Vec<Placed<'_>> = descriptors.to_vec();
    while let Some((file, written)) = left.pop() {
        for limit in &written.limits {
            names.insert(&*limit.name);
            wanted.extend(limit.replaces.iter().map(|(name, at)| (file, name, *at)));
        }
        left.extend(written.below.iter().map(|below| (file, below)));
    }
    for (file, name, at) in wanted.into_iter().filter(|(_, name, _)| !names.contains(&***name)) {
        let message = format!("no limit of the domain is called {}", quoted(name));
        reports[file].warning(at, message, "correct the name, or remove the item");
    }
}
