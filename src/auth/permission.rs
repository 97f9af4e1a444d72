//! What needs which role: one table, which a new action does not compile without.

use crate::audit::{Action, Role};

/// The least role that may do it.
pub const fn least_role(action: Action) -> Role {
    match action {
        Action::Call => Role::Caller,
        Action::LogIn
        | Action::ShowRules
        | Action::ReadUsage
        | Action::ListLimits
        | Action::GetUsage
        | Action::Explain
        | Action::TopConsumers
        | Action::ListAudit
        | Action::GetBreaker => Role::Viewer,
        Action::SetBreaker | Action::ResetUser | Action::SetTier | Action::UpdateLimitOfSubject => {
            Role::Operator
        }
        Action::UpdateLimit | Action::SetPrice | Action::ImportUsage | Action::Reload => Role::Admin,
    }
}
