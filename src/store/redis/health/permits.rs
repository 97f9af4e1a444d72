//! Whether the user of a Redis may do all that is ever asked of it. Each command is asked once, on a key that nobody counts on
//! and in a form that changes nothing: permission is asked for before anything else, and what is said behind it does not matter.

use redis::aio::ConnectionLike;
use redis::{Cmd, RedisError, RedisResult, Value};

use crate::store::redis::keys::PROBE;

/// A rule that permits a command, and the command.
type Asked = (&'static str, &'static [&'static str]);

/// The rule that permits the keys.
const KEYS: &str = "~tollgate:*";

/// All that is ever asked, as the README lists it.
const ASKED: &[Asked] = &[
    ("+ping", &["PING"]),
    ("+unwatch", &["UNWATCH"]),
    ("+info", &["INFO", "server"]),
    ("+config|get", &["CONFIG", "GET", "save"]),
    ("+script|load", &["SCRIPT", "LOAD", "return 1"]),
    ("+evalsha", &["EVALSHA", "none", "0"]),
    ("+time", &["TIME"]),
    ("+get", &["GET", PROBE]),
    ("+set", &["SET", PROBE, "", "PX", "1"]),
    ("+setrange", &["SETRANGE", PROBE, "0", ""]),
    ("+psetex", &["PSETEX", PROBE, "1", ""]),
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

/// The rules that are missing.
///
/// # Errors
///
/// That there is no answer.
pub(super) async fn missing(connection: &mut impl ConnectionLike) -> RedisResult<Vec<&'static str>> {
    let mut missing = Vec::new();
    for (rule, words) in ASKED {
        let mut command = Cmd::new();
        words.iter().for_each(|word| _ = command.arg(*word));
        let Err(error) = command.query_async::<Value>(connection).await else { continue };
        match error.code() {
            None => return Err(error),
            Some("NOPERM") => {
                let rule = if is_of_keys(&error) { KEYS } else { *rule };
                if !missing.contains(&rule) {
                    missing.push(rule);
                }
            }
            Some(_) => {}
        }
    }
    Ok(missing)
}

/// Whether what is refused is the key, and not the command.
fn is_of_keys(error: &RedisError) -> bool {
    error.detail().is_some_and(|text| text.contains(" key") && !text.contains(" command"))
}
