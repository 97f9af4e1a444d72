//! What a call spends of tokens and money by naming their limits: written down in the step that charges it.

use crate::algorithm::Op;
use crate::engine::request::{CheckRequest, Descriptor};
use crate::engine::{Engine, failure};
use crate::limits::{Entry, NativeDomain, Unit};
use crate::store::{Admission, Answer, Call, Charge, Expense, Store};

use super::about::about;
use super::plan::Plan;

/// What one caller spends.
pub(super) struct Spent<'r, 'd> {
    descriptor: &'r Descriptor<'d>,
    about: Vec<u8>,
    tokens: u64,
    money: u64,
}

impl Plan<'_> {
    /// Whether it spends any tokens or money.
    #[inline]
    pub(super) fn spends(&self) -> bool {
        self.charges.iter().any(|charge| spent(charge).is_some())
    }
}

/// Charges what `plan` says of `request`, and writes down what that spends.
pub(super) async fn charge<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
    plan: &Plan<'_>,
) -> Answer {
    let spent = all_spent(engine, domain, request, plan);
    let expenses = expenses(&spent);
    let call = Call { charges: &plan.charges, admission: Admission::AllOrNone, expenses: &expenses };
    failure::ask(&engine.store, call).await
}

/// What `plan` spends of `request`, each charge once. Descriptors that tell limits apart and nothing else tell of the same
/// tokens: what the largest of them says is spent.
pub(super) fn all_spent<'r, 'd, S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &'r CheckRequest<'d>,
    plan: &Plan<'_>,
) -> Vec<Spent<'r, 'd>> {
    let (mut all, mut told): (Vec<Spent<'r, 'd>>, Vec<usize>) = (Vec::new(), Vec::new());
    for (descriptor, charged) in request.descriptors.iter().zip(plan.charged()) {
        for index in charged {
            let Some((unit, units)) = spent(&plan.charges[index]).filter(|_| !told.contains(&index)) else {
                continue;
            };
            told.push(index);
            let place = all.iter().position(|other| is_same_but_for_limit(other.descriptor, descriptor));
            let place = place.unwrap_or_else(|| {
                let about = about(domain, descriptor, engine.store.key_secret(), None);
                all.push(Spent { descriptor, about, tokens: 0, money: 0 });
                all.len() - 1
            });
            let Spent { tokens, money, .. } = &mut all[place];
            let total = if unit == Unit::Tokens { tokens } else { money };
            *total = units.max(*total);
        }
    }
    all
}

/// All of `spent`, as a store takes it.
pub(super) fn expenses<'s>(spent: &'s [Spent<'_, '_>]) -> Vec<Expense<'s>> {
    let expense = |Spent { about, tokens, money, .. }: &'s Spent<'_, '_>| Expense {
        about,
        tokens: *tokens,
        money: *money,
    };
    spent.iter().map(expense).collect()
}

/// What `charge` spends, if it spends anything.
fn spent(charge: &Charge<'_>) -> Option<(Unit, u64)> {
    match (charge.unit, charge.op) {
        (unit @ (Unit::Tokens | Unit::Money), Op::Take { charge: units @ 1.., .. }) => Some((unit, units)),
        _ => None,
    }
}

fn is_same_but_for_limit(one: &Descriptor<'_>, other: &Descriptor<'_>) -> bool {
    let rest = |entry: &&Entry<'_>| entry.key != b"limit";
    one.entries.iter().filter(rest).eq(other.entries.iter().filter(rest))
}
