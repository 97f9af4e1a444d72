//! Settings of the process: where it listens, how it runs, where it counts, what it logs.

use super::Key;

/// Where gRPC is served.
pub const GRPC: Key = Key::new(
    "listen.grpc",
    "TOLLGATE_GRPC",
    "127.0.0.1:8081",
    "Where gRPC is served, HOST:PORT; port 0 takes a free one",
)
.reference(&["GRPC_HOST", "GRPC_PORT"])
.flag("--grpc");

/// Where HTTP is served.
pub const HTTP: Key = Key::new(
    "listen.http",
    "TOLLGATE_HTTP",
    "127.0.0.1:8080",
    "Where POST /json and /healthcheck are served, HOST:PORT",
)
.reference(&["HOST", "PORT"])
.flag("--http");

/// Where the operator's listener is.
pub const ADMIN: Key = Key::new(
    "listen.admin",
    "TOLLGATE_ADMIN",
    "127.0.0.1:6070",
    "Where /livez, /readyz, /metrics, /rlconfig, /usage and the breakers are served, HOST:PORT; who asks for more than the first three needs a token",
)
.reference(&["DEBUG_HOST", "DEBUG_PORT"])
.flag("--admin");

/// Whether listeners without a host are open to other machines.
pub const BIND_ALL: Key = Key::new(
    "listen.all",
    "TOLLGATE_BIND_ALL",
    "false",
    "Listeners for which no host is given bind 0.0.0.0, as they do with RUNTIME_ROOT",
);

/// How many threads decide.
pub const THREADS: Key =
    Key::new("server.threads", "TOLLGATE_THREADS", "", "How many threads decide; unset is one for each core")
        .flag("--threads");

/// How long calls are still taken after the signal to stop.
pub const DRAIN_DELAY: Key = Key::new(
    "server.drain_delay",
    "TOLLGATE_DRAIN_DELAY",
    "2s",
    "How long new calls are still taken after SIGTERM, while health says NOT_SERVING; 0s to 5s",
);

/// The largest gRPC message.
pub const GRPC_MAX_MESSAGE: Key = Key::new(
    "server.grpc_max_message",
    "TOLLGATE_GRPC_MAX_MESSAGE",
    "524288",
    "The largest gRPC message in bytes, others are refused unread; nine descriptors that repeat a path of 59 KB need more",
)
.flag("--grpc-max-message");

/// Where counters are kept.
pub const STORE: Key = Key::new(
    "store.url",
    "TOLLGATE_STORE",
    "memory",
    "Where counters are kept: memory, HOST:PORT, redis://…, rediss://… or unix:///PATH of a Redis",
)
.reference(&["REDIS_URL"])
.flag("--store")
.hidden();

/// How Redis is told who asks.
pub const STORE_AUTH: Key = Key::new(
    "store.auth",
    "TOLLGATE_STORE_AUTH",
    "",
    "PASSWORD or USER:PASSWORD of the Redis, where its address holds none",
)
.reference(&["REDIS_AUTH"])
.hidden();

/// What an address of Redis without a scheme is.
pub const SOCKET_TYPE: Key = Key::new(
    "store.socket_type",
    "TOLLGATE_STORE_SOCKET_TYPE",
    "",
    "What an address of Redis without a scheme is, tcp or unix; unset goes by its look",
)
.reference(&["REDIS_SOCKET_TYPE"]);

/// Whether an address of Redis without a scheme is spoken to over TLS.
pub const STORE_TLS: Key = Key::new(
    "store.tls",
    "TOLLGATE_STORE_TLS",
    "false",
    "An address of Redis without a scheme is spoken to over TLS",
)
.reference(&["REDIS_TLS"]);

/// Who signs the certificate of Redis.
pub const STORE_CA: Key = Key::new(
    "store.ca",
    "TOLLGATE_STORE_CA",
    "",
    "File in PEM with the certificates that sign the one of Redis; unset trusts the web's",
)
.reference(&["REDIS_TLS_CACERT"]);

/// How long Redis has to answer.
pub const STORE_TIMEOUT: Key = Key::new(
    "store.timeout",
    "TOLLGATE_STORE_TIMEOUT",
    "10ms",
    "How long Redis has to answer before a limit's on_error decides; keep it below Envoy's own timeout",
);

/// How many instances share the work.
pub const INSTANCES: Key = Key::new(
    "store.instances",
    "TOLLGATE_INSTANCES",
    "1",
    "How many instances share one Redis: the share of each where a limit's on_error is local",
);

/// How many counters are kept in memory.
pub const MAX_KEYS: Key = Key::new(
    "store.max_keys",
    "TOLLGATE_MAX_KEYS",
    "1000000",
    "How many counters are kept in memory at most; beyond it newcomers follow their limit's on_error. \
     About as many reservations are: 1.5 kB each",
);

/// Where counters in memory are written down.
pub const DATA_DIR: Key = Key::new(
    "store.data_dir",
    "TOLLGATE_DATA_DIR",
    "",
    "Directory where counters in memory are written down, so that they survive a restart; unset forgets them",
)
.flag("--data-dir");

/// How much of that may be lost.
pub const FLUSH_INTERVAL: Key = Key::new(
    "store.flush_interval",
    "TOLLGATE_FLUSH_INTERVAL",
    "1s",
    "The most that a killed process loses of what it counted, with a data directory; 100ms to 60s",
);

/// For how long usage events are kept.
pub const USAGE_RETENTION: Key = Key::new(
    "usage.retention",
    "TOLLGATE_USAGE_RETENTION",
    "90d",
    "How long events of usage are kept, of what was spent and what was refused; 1h to 3650d",
);

/// How many usage events are kept.
pub const USAGE_MOST: Key = Key::new(
    "usage.max_events",
    "TOLLGATE_USAGE_MAX_EVENTS",
    "1000000",
    "How many events of each kind are kept at most, of some 400 bytes each; beyond it the oldest go before their time",
);

/// The secret under which counters are named.
pub const KEY_SECRET: Key = Key::new(
    "store.key_secret",
    "TOLLGATE_KEY_SECRET",
    "",
    "32 hexadecimal digits under which counters are named; unset makes one, kept in the store",
)
.hidden();

/// How much is logged.
pub const LOG_LEVEL: Key = Key::new(
    "log.level",
    "TOLLGATE_LOG_LEVEL",
    "info",
    "How much is logged to standard error: error, warn, info; in a debug build also debug, trace",
)
.reference(&["LOG_LEVEL"])
.flag("--log-level");

/// How it is logged.
pub const LOG_FORMAT: Key =
    Key::new("log.format", "TOLLGATE_LOG_FORMAT", "text", "How it is logged: text or json")
        .reference(&["LOG_FORMAT"])
        .flag("--log-format");
