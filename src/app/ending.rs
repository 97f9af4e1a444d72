//! What the shell is told when the process cannot go on, in the numbers of `sysexits.h`.

use crate::config::diagnostic::Diagnostics;
use crate::config::settings::SettingErrors;
use crate::store::durable::DataError;
use crate::store::redis::InvalidRedis;

use super::NoListener;

/// Settings or files that cannot be meant (`EX_CONFIG`).
const CONFIGURATION: u8 = 78;

/// Something the service needs is not to be had (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;

/// The exit code for `error`.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let is_configuration = error.is::<SettingErrors>()
        || error.is::<Diagnostics>()
        || error.is::<InvalidRedis>()
        || error.is::<DataError>();
    if is_configuration {
        CONFIGURATION
    } else if error.is::<NoListener>() {
        UNAVAILABLE
    } else {
        1
    }
}
