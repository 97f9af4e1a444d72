//! What an error of Redis means for the call, and for the connection that it came over.
//!
//! One table, by the code that an error begins with. A call is asked again only after what says
//! that nothing was done; never after silence or a broken connection, when it may have been counted.

use redis::{ErrorKind, RedisError};

use crate::store::StoreError;

/// What is to be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Load the script and ask once more.
    Load,
    /// Close the connection and find another: this one leads to a server that cannot decide, or nowhere.
    Reconnect,
    /// Nothing: the server is there, and another connection would say the same.
    Keep,
}

/// Codes that Redis begins its errors with, and what is done about each. What is not here is kept.
const REMEDIES: &[(&str, Remedy)] = &[
    ("NOSCRIPT", Remedy::Load),
    // Not the primary, or not yet: the address may lead to another server by now.
    ("READONLY", Remedy::Reconnect),
    ("LOADING", Remedy::Reconnect),
    ("MASTERDOWN", Remedy::Reconnect),
    ("UNBLOCKED", Remedy::Reconnect),
    // Credentials are sent once a connection.
    ("NOAUTH", Remedy::Reconnect),
    ("WRONGPASS", Remedy::Reconnect),
    // The server is there and says no.
    ("NOPERM", Remedy::Keep),
    ("OOM", Remedy::Keep),
    ("MISCONF", Remedy::Keep),
    ("NOREPLICAS", Remedy::Keep),
    ("BUSY", Remedy::Keep),
    // A cluster, which wants another client.
    ("MOVED", Remedy::Keep),
    ("ASK", Remedy::Keep),
    ("TRYAGAIN", Remedy::Keep),
    ("CROSSSLOT", Remedy::Keep),
    ("CLUSTERDOWN", Remedy::Keep),
];

/// Codes of a server that takes no writes of anybody: of what brought them nothing was done.
const NO_WRITES: &[&str] = &["OOM", "MISCONF", "NOREPLICAS"];

/// Why there is no answer, and what is to be done about it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    pub(super) remedy: Remedy,
}

impl Failure {
    /// Whether it came of writing, and who writes nothing would have an answer.
    pub(super) fn is_of_writes(&self) -> bool {
        matches!(&self.error, StoreError::Refused { code } if NO_WRITES.contains(&code.as_str()))
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let (error, remedy) = classify(&error);
        Self { error, remedy }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, remedy: Remedy::Keep }
    }
}

/// What `error` means for the call it answers, and what is to be done about it.
pub(super) fn classify(error: &RedisError) -> (StoreError, Remedy) {
    if let Some(code) = error.code() {
        let code = code_within(code, error.detail().unwrap_or_default());
        return (refused(code, error.detail().unwrap_or_default()), remedy(code));
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            (StoreError::Refused { code: "WRONGPASS".to_owned() }, Remedy::Reconnect)
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => (StoreError::Corrupt, Remedy::Reconnect),
        _ if error.is_timeout() => (StoreError::Timeout, Remedy::Reconnect),
        _ => (StoreError::Unavailable, Remedy::Reconnect),
    }
}

fn remedy(code: &str) -> Remedy {
    REMEDIES.iter().find(|(known, _)| *known == code).map_or(Remedy::Keep, |(_, remedy)| *remedy)
}

/// What it means for the calls of a script that Redis said `text` to a command of it.
pub(super) fn told_to_script(text: &str) -> Failure {
    let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
    let code = code_within(code, detail);
    Failure { error: refused(code, detail), remedy: remedy(code) }
}

/// That Redis said `code`, and `detail` behind it.
fn refused(code: &str, detail: &str) -> StoreError {
    let command = (code == "NOPERM").then(|| detail.split_once("run the '")?.1.split('\'').next()).flatten();
    let code = command.map_or_else(|| code.to_owned(), |command| format!("{code} {command}"));
    StoreError::Refused { code }
}

/// Redis 6 wraps an error that a command of a script met: "ERR Error running script (…): -OOM …", and to the script
/// itself "@user_script: 9: -OOM …".
fn code_within<'a>(code: &'a str, detail: &'a str) -> &'a str {
    let is_wrapped = code == "ERR" && detail.contains("user_script") || code.starts_with("@user_script");
    if !is_wrapped {
        return code;
    }
    let words = detail.split([' ', ':', '-']);
    words.into_iter().find(|word| REMEDIES.iter().any(|(known, _)| known == word)).unwrap_or("ERR")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> RedisError {
        let reply = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("a reply");
        reply.extract_error().expect_err("an error")
    }

    #[test]
    fn every_code_has_its_remedy() {
        for (code, remedy) in REMEDIES {
            let (refused, found) = classify(&error(&format!("{code} and the reason")));
            assert_eq!((refused, found), (StoreError::Refused { code: (*code).to_owned() }, *remedy));
        }
    }

    #[test]
    fn what_is_unknown_is_kept_and_told() {
        let (refused, found) = classify(&error("ERR unknown command"));
        assert_eq!((refused, found), (StoreError::Refused { code: "ERR".to_owned() }, Remedy::Keep));
    }

    #[test]
    fn a_command_that_is_not_permitted_is_named() {
        for (text, code) in [
            (
                "NOPERM this user has no permissions to run the 'xadd' command or its subcommand",
                "NOPERM xadd",
            ),
            ("NOPERM User tg has no permissions to run the 'config|get' command", "NOPERM config|get"),
            (
                "ERR Error running script: @user_script:9: -NOPERM ACL failure in script: no permissions to run the 'zadd' command",
                "NOPERM zadd",
            ),
            ("NOPERM No permissions to access a key", "NOPERM"),
        ] {
            assert_eq!(classify(&error(text)).0, StoreError::Refused { code: code.to_owned() }, "{text}");
        }
    }

    #[test]
    fn the_code_within_a_script_counts() {
        let wrapped = "ERR Error running script (call to f_12ab): @user_script:9: -READONLY You can't write.";
        let (refused, found) = classify(&error(wrapped));
        assert_eq!(
            (refused, found),
            (StoreError::Refused { code: "READONLY".to_owned() }, Remedy::Reconnect)
        );
    }

    #[test]
    fn what_a_script_is_told_is_told_as_if_nobody_had_heard_it_before() {
        let told = |text: &str| {
            let Failure { error, remedy } = told_to_script(text);
            (error, remedy)
        };
        for (text, code, remedy) in [
            ("OOM command not allowed", "OOM", Remedy::Keep),
            ("@user_script: 51: -OOM command not allowed", "OOM", Remedy::Keep),
            ("@user_script: 51: -READONLY You can't write.", "READONLY", Remedy::Reconnect),
            ("@user_script: 51: Unknown Redis command", "ERR", Remedy::Keep),
            ("WRONGTYPE Operation against a key", "WRONGTYPE", Remedy::Keep),
        ] {
            let expected = (StoreError::Refused { code: code.to_owned() }, remedy);
            assert_eq!((told(text), classify(&error(text))), (expected.clone(), expected), "{text}");
        }
    }

    #[test]
    fn a_broken_connection_is_not_an_answer() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(classify(&broken), (StoreError::Unavailable, Remedy::Reconnect));
        let silent = RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        assert_eq!(classify(&silent), (StoreError::Timeout, Remedy::Reconnect));
        let garbage = RedisError::from((ErrorKind::UnexpectedReturnType, "not a number"));
        assert_eq!(classify(&garbage), (StoreError::Corrupt, Remedy::Reconnect));
    }
}
