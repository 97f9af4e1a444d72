//! Tiers by name: which is the default, and which extends which.

use crate::config::diagnostic::{Report, shorten, suggestion};
use crate::config::tollgate_file::{Named, TierChoice, WrittenDomain, WrittenTier};
use crate::limits::{Lineage, TierId, Tiers};

/// Which of `tiers` extend which. One that extends itself in the end is reported, and its line ends before it comes
/// round.
pub(super) fn lineage(tiers: &[WrittenTier], report: &mut Report) -> Lineage {
    if tiers.is_empty() {
        return Lineage::none();
    }
    let others = |tier: &WrittenTier| tier.others.as_ref().and_then(|others| others.value.number);
    Lineage {
        lines: (0..tiers.len()).map(|tier| line_of(tier, tiers, report)).collect(),
        others: tiers.iter().map(others).collect(),
    }
}

fn line_of(tier: usize, tiers: &[WrittenTier], report: &mut Report) -> Vec<TierId> {
    let mut line = vec![tier];
    let mut last = tier;
    while let Some(extended) = &tiers[last].extends {
        let Some(next) = tiers.iter().position(|tier| tier.name.value == extended.value) else {
            // It is said once, for the tier where it stands.
            if last == tier {
                report_unknown(extended, "extends", tiers, report);
            }
            break;
        };
        if next == tier {
            let names: Vec<String> = line.iter().map(|index| shorten(&tiers[*index].name.value)).collect();
            let message = format!("tier '{}' extends itself ({})", names[0], names.join(" → "));
            report.error(extended.at, message, "remove one 'extends' of the circle");
        }
        if line.contains(&next) {
            break;
        }
        line.push(next);
        last = next;
    }
    line.into_iter().map(TierId).collect()
}

/// The tiers of a domain, which extend each other by `lineage`; one called `all` where it has none.
pub(super) fn resolve(domain: &WrittenDomain, lineage: &Lineage, report: &mut Report) -> Option<Tiers> {
    let tiers = &domain.tiers;
    if tiers.is_empty() {
        if let Some(choice) = &domain.choice {
            let message =
                format!("domain '{}' chooses among tiers and has none", shorten(&domain.name.value));
            report.error(choice.at, message, "write 'tiers', or remove 'tier'");
        }
        return Some(Tiers::none());
    }
    let names = tiers.iter().map(|tier| tier.name.value.clone()).collect();
    let default = default(domain, report);
    let anonymous = match domain.choice.as_ref().and_then(|choice| choice.anonymous.as_ref()) {
        Some(named) => Some(find(named, "anonymous", tiers, report)?),
        None => None,
    };
    let from = domain.choice.as_ref().and_then(|choice| choice.from.as_deref()).unwrap_or("tier");
    let lineage = lineage.clone();
    Some(Tiers { names, from: from.as_bytes().into(), default: default?, anonymous, lineage })
}

fn default(domain: &WrittenDomain, report: &mut Report) -> Option<TierId> {
    let choice = domain.choice.as_ref();
    if let Some(TierChoice { default: Some(named), .. }) = choice {
        return find(named, "default", &domain.tiers, report);
    }
    if domain.tiers.len() == 1 {
        return Some(TierId(0));
    }
    let at = choice.map_or(domain.name.at, |choice| choice.at);
    let message = format!("domain '{}' does not say which tier is the default", shorten(&domain.name.value));
    let fix = format!("write 'tier: {{default: {}}}'", shorten(&domain.tiers[0].name.value));
    report.error(at, message, fix);
    None
}

fn find(named: &Named, role: &str, tiers: &[WrittenTier], report: &mut Report) -> Option<TierId> {
    let found = tiers.iter().position(|tier| tier.name.value == named.value).map(TierId);
    if found.is_none() {
        report_unknown(named, role, tiers, report);
    }
    found
}

fn report_unknown(named: &Named, role: &str, tiers: &[WrittenTier], report: &mut Report) {
    let message = format!("'{role}' names the tier '{}', which does not exist", shorten(&named.value));
    let names = tiers.iter().map(|tier| &*tier.name.value);
    report.error(named.at, message, suggestion(&named.value, names));
}
