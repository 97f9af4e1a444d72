//! A Redis of its own for each measure: its process, and what it counts itself.

use std::process::Command;

use redis::{Client, Connection};

use crate::server::{Server, free_address, program};

/// A running redis-server that keeps nothing on disk.
pub(crate) struct Redis {
    server: Server,
    client: Client,
}

/// What a Redis has done so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// CPU time of its process, in microseconds.
    pub(crate) cpu: f64,
    /// Calls of EVALSHA.
    pub(crate) scripts: f64,
}

impl Redis {
    /// Starts one; `None` where no program is there.
    pub(crate) fn start() -> Option<Self> {
        let program = program("REDIS_SERVER", "redis-server")?;
        let address = free_address();
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        let server = Server::told(&mut command, address, Some(folder));
        let client = Client::open(format!("redis://{address}")).expect("a URL");
        Some(Self { server, client })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.server.address())
    }

    /// A client of it.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// A connection that asks questions aside.
    pub(crate) fn connection(&self) -> Connection {
        self.client.get_connection().expect("it runs")
    }

    /// What it has done so far. Asking costs some, which a long run makes small.
    pub(crate) fn spent(&self) -> Spent {
        let text: String =
            redis::cmd("INFO").arg("commandstats").query(&mut self.connection()).expect("it runs");
        let count = text.split_once("cmdstat_evalsha:calls=").and_then(|(_, rest)| rest.split(',').next());
        let scripts = count.and_then(|count| count.parse().ok()).unwrap_or(0.0);
        Spent { cpu: self.server.cpu() / 1e3, scripts }
    }
}

impl Spent {
    /// What was done since, for each of `count` decisions.
    pub(crate) fn each(self, since: Self, count: usize) -> Self {
        let each = |spent: f64| spent / count as f64;
        Self { cpu: each(self.cpu - since.cpu), scripts: each(self.scripts - since.scripts) }
    }
}
