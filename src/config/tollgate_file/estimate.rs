//! `estimate: {output, max_output}`: how long an answer is thought to be where nobody says.

use super::{At, value};
use crate::config::diagnostic::{Field, Fields, Report};
use crate::limits::Estimate;

/// Reads `estimate` of a limit or a domain.
pub(super) fn read(field: Field<'_>, report: &mut Report) -> Option<Estimate> {
    let mut fields = Fields::like("write {output: 2000, max_output: 8k}", field.value, "'estimate'", report)?;
    let output = fields.take("output").and_then(|field| value::tokens(field, report));
    let max_output = fields.take("max_output").and_then(|field| value::tokens(field, report));
    fields.finish(report);
    if let (Some(output), Some(most)) = (output, max_output)
        && output.value > most.value
    {
        let fix = "write no more, or raise 'max_output'";
        report.error(output.at, "'output' is more than 'max_output'", fix);
    }
    let value = |tokens: Option<At<u64>>| tokens.map(|tokens| tokens.value);
    Some(Estimate { output: value(output), max_output: value(max_output) })
}
