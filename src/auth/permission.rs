//! What needs which role: one table, which a new action does not compile without.

use std::fmt;

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
        Action::UpdateLimit | Action::ResetAll | Action::SetPrice | Action::ImportUsage | Action::Reload => {
            Role::Admin
        }
    }
}

/// What `action` may come down to, once it is known whom it reaches: to change a number, for one subject alone.
pub const fn least_form(action: Action) -> Action {
    match action {
        Action::UpdateLimit => Action::UpdateLimitOfSubject,
        action => action,
    }
}

/// Which role `action` needs, in words.
pub(super) struct Needed(pub(super) Action);

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needs, least) = (least_role(self.0), least_role(least_form(self.0)));
        write!(f, "{needs}")?;
        match self.0 {
            Action::ResetAll => write!(f, " to reset what all share"),
            _ if least < needs => write!(f, ", or {least} for one subject"),
            _ => Ok(()),
        }
    }
}
