//! What may stand once in all files together: a native domain, and `prices`.

use std::collections::HashMap;

use crate::config::diagnostic::{Position, Report, shorten};
use crate::config::reference_file::ReferenceFile;
use crate::config::tollgate_file::TollgateFile;

/// A place in one of several files.
type Place = (usize, Position);

/// Reports what stands again, naming both places.
pub(super) fn check(native: &[(usize, TollgateFile)], reference: &[ReferenceFile], reports: &mut [Report]) {
    let mut domains: HashMap<&str, Place> = HashMap::new();
    let mut prices: Option<Place> = None;
    for (index, file) in native {
        for domain in &file.domains {
            let place = (*index, domain.name.at);
            match domains.get(&*domain.name.value) {
                Some(first) if first.0 != *index => report_domain(&domain.name.value, *first, place, reports),
                // Twice in one file is a key that stands twice, which is reported as such.
                Some(_) => {}
                None => _ = domains.insert(&domain.name.value, place),
            }
        }
        match (prices, file.prices.as_ref().map(|prices| prices.at)) {
            (Some(first), Some(at)) => report((*index, at), first, "'prices' stands", reports),
            (None, Some(at)) => prices = Some((*index, at)),
            (_, None) => {}
        }
    }
    for file in reference {
        let (name, place) = file.domain();
        if let Some(first) = domains.get(name) {
            report_domain(name, *first, place, reports);
        }
    }
}

fn report_domain(name: &str, first: Place, again: Place, reports: &mut [Report]) {
    report(again, first, &format!("the domain '{}' stands", shorten(name)), reports);
}

fn report(again: Place, first: Place, what: &str, reports: &mut [Report]) {
    let message = format!("{what} in {} {} already", reports[first.0].file(), first.1);
    reports[again.0].error(again.1, message, "keep one of them");
}
