//! How a Redis is reached.

use std::fmt;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, TlsCertificates};

use crate::limits::KeySecret;
use crate::store::Retention;

/// Text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How a Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `redis://`, `rediss://` or `redis+unix://`; it may hold user and password.
    pub url: Secret,
    /// The user, if the URL does not tell.
    pub user: Option<String>,
    /// The password, if the URL does not tell.
    pub password: Option<Secret>,
    /// The certificates, as PEM, that the server's has to be signed by; by default the web's and the system's.
    pub ca: Option<Vec<u8>>,
    /// How long a decision may take. Default 10 ms.
    pub op_timeout: Duration,
    /// How long it may take to connect, and to answer a question that is not a decision. Default 250 ms.
    pub connect_timeout: Duration,
    /// How many connections each thread that decides has of its own: one is used, the others stand by. Default 2.
    pub connections: usize,
    /// The secret under which counters are named; by default one that is made once in the store.
    pub key_secret: Option<KeySecret>,
    /// How much is kept of what was spent and refused.
    pub usage: Retention,
}

/// A URL that leads to no Redis.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the store's URL is not understood: {reason}; write redis://host:port, rediss:// or redis+unix:///path"
)]
pub struct InvalidRedis {
    reason: String,
}

impl RedisSettings {
    /// The defaults, for the Redis at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            user: None,
            password: None,
            ca: None,
            op_timeout: Duration::from_millis(10),
            connect_timeout: Duration::from_millis(250),
            connections: 2,
            key_secret: None,
            usage: Retention::default(),
        }
    }

    /// A client for this Redis. Connects to nothing yet.
    pub(super) fn client(&self) -> Result<Client, InvalidRedis> {
        let invalid = |error: redis::RedisError| InvalidRedis { reason: error.category().to_owned() };
        let info = self.info().map_err(invalid)?;
        match &self.ca {
            None => Client::open(info).map_err(invalid),
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                Client::build_with_tls(info, certificates).map_err(invalid)
            }
        }
    }

    fn info(&self) -> redis::RedisResult<ConnectionInfo> {
        let info = self.url.0.as_str().into_connection_info()?;
        // Its name would be one more command that the user of a Redis has to be allowed.
        let mut login = info.redis_settings().clone().set_skip_set_lib_name();
        if let (None, Some(user)) = (login.username(), &self.user) {
            login = login.set_username(user);
        }
        if let (None, Some(password)) = (login.password(), &self.password) {
            login = login.set_password(&password.0);
        }
        let keepalive =
            TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(1));
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(Duration::from_secs(2));
        Ok(info.set_redis_settings(login).set_tcp_settings(tcp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = RedisSettings::new("redis://user:swordfish@localhost");
        settings.password = Some(Secret::new("swordfish"));
        assert!(!format!("{settings:?}").contains("swordfish"));
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for url in ["", "http://user:swordfish@localhost", "redis://:swordfish@", "localhost swordfish"] {
            let error = RedisSettings::new(url).client().expect_err(url);
            assert!(!error.to_string().contains("swordfish"), "{error}");
        }
    }

    #[test]
    fn user_and_password_may_stand_beside_the_url() {
        let mut settings = RedisSettings::new("rediss://localhost:6380/3");
        settings.user = Some("tollgate".to_owned());
        settings.password = Some(Secret::new("swordfish"));
        let client = settings.client().expect("a client");
        let login = client.get_connection_info().redis_settings();
        assert_eq!(
            (login.username(), login.password(), login.db()),
            (Some("tollgate"), Some("swordfish"), 3)
        );
    }
}
