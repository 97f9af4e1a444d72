//! The reference's names that ask for what Tollgate does not have.
//!
//! Most of them change nothing that a caller sees and are left alone. Those whose silence would be a
//! surprise, a plain text listener or a store that is not the one meant, are refused.

use std::collections::BTreeMap;

use super::error::SettingError;

/// What a name may be set to, and what to do instead of anything else.
struct Refused {
    name: &'static str,
    taken: &'static [&'static str],
    instead: &'static str,
}

const REFUSED: [Refused; 7] = [
    Refused {
        name: "CONFIG_TYPE",
        taken: &["FILE"],
        instead: "asks for a management server, which is not available yet: write FILE",
    },
    Refused {
        name: "BACKEND_TYPE",
        taken: &["redis"],
        instead: "is not available: write redis, or unset it and REDIS_URL to keep counters in memory",
    },
    Refused {
        name: "REDIS_TYPE",
        taken: &["SINGLE", "single"],
        instead: "is not available yet: write SINGLE and name one primary in REDIS_URL",
    },
    Refused {
        name: "GRPC_SERVER_USE_TLS",
        taken: &["false", "0", "f", "F", "FALSE", "False"],
        instead: "is not how TLS is asked for: write false, and set TOLLGATE_GRPC_TLS_CERT and TOLLGATE_GRPC_TLS_KEY",
    },
    Refused {
        name: "GRPC_UDS",
        taken: &[],
        instead: "asks for a unix socket, which is not available: unset it and set GRPC_PORT",
    },
    Refused {
        name: "REDIS_TLS_CLIENT_CERT",
        taken: &[],
        instead: "asks for a certificate of the client, which is not available yet: unset it and set REDIS_AUTH",
    },
    Refused {
        name: "REDIS_TLS_SKIP_HOSTNAME_VERIFICATION",
        taken: &["false", "0", "f", "F", "FALSE", "False"],
        instead: "is not available: write false and a host that the certificate names",
    },
];

/// What is asked for in `environment` and not to be had.
pub(super) fn refused(environment: &BTreeMap<String, String>) -> impl Iterator<Item = SettingError> {
    REFUSED.iter().filter_map(|Refused { name, taken, instead }| {
        let value = environment.get(*name).filter(|value| !value.is_empty())?;
        (!taken.contains(&value.as_str())).then(|| SettingError::Value {
            origin: format!("environment {name}"),
            value: format!("{value:?}"),
            problem: (*instead).to_owned(),
        })
    })
}
