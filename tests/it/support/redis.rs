//! A Redis or Valkey of a test's own: started on a free port, killed by its own handle when the test is done.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tollgate::clock::Clock;
use tollgate::store::Store;
use tollgate::store::redis::{Finding, RedisSettings, RedisStore};

use super::tools::Tool;

/// A running server.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    tool: Tool,
    directory: tempfile::TempDir,
    more: &'static [&'static str],
}

impl RedisServer {
    /// Starts an empty one and waits until it answers.
    pub(crate) fn start(tool: Tool) -> Self {
        Self::with(tool, &[])
    }

    /// As [`start`](Self::start), but it writes down all that it answers, and has it again when it restarts.
    pub(crate) fn durable(tool: Tool) -> Self {
        Self::with(tool, &["--appendonly", "yes", "--appendfsync", "always"])
    }

    fn with(tool: Tool, more: &'static [&'static str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (child, port) = (0..5)
            .find_map(|_| {
                let port = free_port();
                launch(tool, port, &directory, more).map(|child| (child, port))
            })
            .expect("the server starts on a free port");
        Self { child, port, tool, directory, more }
    }

    /// Where it is reached.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it is reached without a network.
    pub(crate) fn unix_url(&self) -> String {
        format!("redis+unix://{}", socket(&self.directory))
    }

    /// Settings for it that no busy machine can bring to time out.
    pub(crate) fn settings(&self) -> RedisSettings {
        let patience = Duration::from_secs(10);
        let mut settings = RedisSettings::new(self.url());
        (settings.op_timeout, settings.connect_timeout) = (patience, patience);
        settings
    }

    /// A store over it, ready.
    pub(crate) async fn store(&self, clock: Clock) -> RedisStore {
        let store = RedisStore::start(self.settings(), clock).expect("a URL");
        until_ready(&store).await;
        store
    }

    /// A connection for what no store does.
    pub(crate) fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a URL");
        client.get_connection().expect("the server is there")
    }

    /// A connection that asks for nothing on its own: a server that runs a script answers only one question.
    pub(crate) fn connection_while_busy(&self) -> redis::Connection {
        let info = redis::IntoConnectionInfo::into_connection_info(self.url()).expect("a URL");
        let quiet = info.redis_settings().clone().set_skip_set_lib_name();
        let client = redis::Client::open(info.set_redis_settings(quiet)).expect("a URL");
        client.get_connection().expect("the server is there")
    }

    /// How often `command` was made since it was told to forget that.
    pub(crate) fn times_made(&self, command: &str) -> u32 {
        let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut self.connection()).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }

    /// The port of its TCP socket.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it the signal of this name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.expect("start kill").success(), "{name}");
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Starts it again where it was, empty unless it is durable.
    pub(crate) fn restart(&mut self) {
        self.child =
            launch(self.tool, self.port, &self.directory, self.more).expect("its port is still free");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `store` answers.
pub(crate) async fn until_ready(store: &impl Store) {
    for _ in 0..2000 {
        if store.ready().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the store is not ready");
}

/// Waits until `store` has found what is wanted.
pub(crate) async fn finds(store: &RedisStore, wanted: impl Fn(&Finding) -> bool) {
    for _ in 0..2_000 {
        if store.findings().iter().any(&wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("found only {:?}", store.findings());
}

/// Waits until `store` has looked at the configuration of a server that persists nothing: it does not soon again.
pub(crate) async fn until_looked(store: &RedisStore) {
    finds(store, |finding| *finding == Finding::NotPersistent).await;
}

/// Has `server` do what `words` say.
pub(crate) fn tell(server: &RedisServer, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let _: redis::Value = command.query(&mut server.connection()).expect("the server does as it is told");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn socket(directory: &tempfile::TempDir) -> String {
    directory.path().join("socket").display().to_string()
}

/// `None` if it ends at once, as it does when somebody else took the port.
fn launch(tool: Tool, port: u16, directory: &tempfile::TempDir, more: &[&str]) -> Option<Child> {
    let mut child = Command::new(tool.path())
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
        .args(["--unixsocket", &socket(directory)])
        .arg("--dir")
        .arg(directory.path())
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server's program runs");
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a URL");
    for _ in 0..2000 {
        if child.try_wait().expect("its state is known").is_some() {
            return None;
        }
        let answers = client
            .get_connection_with_timeout(Duration::from_secs(1))
            .and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection));
        if answers.is_ok() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the server does not answer")
}
