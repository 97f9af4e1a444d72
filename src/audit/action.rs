//! What is done to Tollgate, and what came of it.

/// What somebody does, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Says who they are.
    LogIn,
    /// Asks whether something may pass, or says what it came to.
    Call,
    /// Reads the rules in force.
    ShowRules,
    /// Reads events of what was spent and refused.
    ReadUsage,
    /// Reads every tier and limit with its number.
    ListLimits,
    /// Reads where the limits of a subject are.
    GetUsage,
    /// Asks what a call would touch, or why one was refused.
    Explain,
    /// Asks who uses most of a limit.
    TopConsumers,
    /// Reads the records of what was done.
    ListAudit,
    /// Reads how breakers are.
    GetBreaker,
    /// Opens or closes a breaker.
    SetBreaker,
    /// Gives a subject its usage back.
    ResetUser,
    /// Gives back what all share.
    ResetAll,
    /// Puts a subject on a tier.
    SetTier,
    /// Changes how much one subject is allowed.
    UpdateLimitOfSubject,
    /// Changes how much a tier is allowed.
    UpdateLimit,
    /// Changes what tokens cost.
    SetPrice,
    /// Takes over usage that was counted elsewhere.
    ImportUsage,
    /// Puts changed files in force.
    Reload,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 19] = [
        Self::LogIn,
        Self::Call,
        Self::ShowRules,
        Self::ReadUsage,
        Self::ListLimits,
        Self::GetUsage,
        Self::Explain,
        Self::TopConsumers,
        Self::ListAudit,
        Self::GetBreaker,
        Self::SetBreaker,
        Self::ResetUser,
        Self::ResetAll,
        Self::SetTier,
        Self::UpdateLimitOfSubject,
        Self::UpdateLimit,
        Self::SetPrice,
        Self::ImportUsage,
        Self::Reload,
    ];

    /// As records and answers write it. To change a number is one word, whomever it reaches, and so is to reset.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogIn => "log_in",
            Self::Call => "call",
            Self::ShowRules => "show_rules",
            Self::ReadUsage => "read_usage",
            Self::ListLimits => "list_limits",
            Self::GetUsage => "get_usage",
            Self::Explain => "explain",
            Self::TopConsumers => "top_consumers",
            Self::ListAudit => "list_audit",
            Self::GetBreaker => "get_breaker",
            Self::SetBreaker => "set_breaker",
            Self::ResetUser | Self::ResetAll => "reset_user",
            Self::SetTier => "set_tier",
            Self::UpdateLimitOfSubject | Self::UpdateLimit => "update_limit",
            Self::SetPrice => "set_price",
            Self::ImportUsage => "import_usage",
            Self::Reload => "reload",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done; of what is done after it is recorded, that it is going to be.
    Done,
    /// It was not done, and is not going to be.
    Refused,
    /// It was begun, and may or may not have been done.
    Failed,
}

impl Outcome {
    /// As records and answers write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
