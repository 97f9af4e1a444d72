//! Whether the user of a Redis may do all that is ever asked of it. Each command is asked once, all in one round trip, on a key
//! that nobody counts on and in a form that changes nothing: permission is asked for before anything else, and what is said
//! behind it does not matter.

use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisError, RedisResult, Value};

use crate::store::redis::keys::PROBE;

/// A rule that permits a command, and the command.
type Asked = (&'static str, &'static [&'static str]);

/// The rule that permits the keys.
const KEYS: &str = "~tollgate:*";

/// What is asked to know more, and is done without: whether counts may be lost, and where a stream ends that was trimmed.
const HELPS: &[&str] = &["+info", "+config|get", "+xinfo|stream"];

/// All that is ever asked, as the README lists it.
const ASKED: &[Asked] = &[
    ("+ping", &["PING"]),
    ("+unwatch", &["UNWATCH"]),
    ("+info", &["INFO", "server"]),
    ("+config|get", &["CONFIG", "GET", "save"]),
    ("+script|load", &["SCRIPT", "LOAD", "("]),
    ("+evalsha", &["EVALSHA", "none", "0"]),
    ("+time", &["TIME"]),
    ("+get", &["GET", PROBE]),
    ("+set", &["SET", PROBE, "", "XX"]),
    ("+setrange", &["SETRANGE", PROBE, "0", ""]),
    ("+psetex", &["PSETEX", PROBE, "0", ""]),
    ("+pexpire", &["PEXPIRE", PROBE, "1"]),
    ("+del", &["DEL", PROBE]),
    ("+zadd", &["ZADD", PROBE, "XX", "0", "none"]),
    ("+zrem", &["ZREM", PROBE, "none"]),
    ("+zrank", &["ZRANK", PROBE, "none"]),
    ("+zrange", &["ZRANGE", PROBE, "0", "0"]),
    ("+zrangebyscore", &["ZRANGEBYSCORE", PROBE, "0", "0"]),
    ("+zremrangebyrank", &["ZREMRANGEBYRANK", PROBE, "0", "0"]),
    ("+xadd", &["XADD", PROBE, "0-0", "none", ""]),
    ("+xinfo|stream", &["XINFO", "STREAM", PROBE]),
    ("+xrange", &["XRANGE", PROBE, "-", "+", "COUNT", "1"]),
    ("+xrevrange", &["XREVRANGE", PROBE, "+", "-", "COUNT", "1"]),
    ("+xtrim", &["XTRIM", PROBE, "MAXLEN", "0"]),
];

/// The rules that a user does not have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Of what has to be done.
    pub(super) needed: Vec<&'static str>,
    /// Of what helps.
    pub(super) helping: Vec<&'static str>,
}

impl Missing {
    fn add(&mut self, rule: &'static str) {
        let rules = if HELPS.contains(&rule) { &mut self.helping } else { &mut self.needed };
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
}

/// The rules that are missing.
///
/// # Errors
///
/// That there is no answer.
pub(super) async fn missing(connection: &mut impl ConnectionLike) -> RedisResult<Missing> {
    let mut questions = Pipeline::new();
    questions.ignore_errors();
    for (_, words) in ASKED {
        let (name, arguments) = words.split_first().expect("a command has a name");
        questions.cmd(name).arg(arguments);
    }
    let answers: Vec<RedisResult<Value>> = questions.query_async(connection).await?;
    let mut missing = Missing::default();
    for ((rule, _), answer) in ASKED.iter().zip(answers) {
        match answer {
            Err(error) if error.code() == Some("NOPERM") => {
                missing.add(if is_of_keys(&error) { KEYS } else { rule });
            }
            Err(error) if error.code().is_none() => return Err(error),
            _ => {}
        }
    }
    Ok(missing)
}

/// Whether what is refused is the key, and not the command.
fn is_of_keys(error: &RedisError) -> bool {
    error.detail().is_some_and(|text| text.contains(" key") && !text.contains(" command"))
}
