//! A real Envoy in front of a service, configured by `tests/data/envoy.yaml`. It takes free ports, is asked which, and
//! is stopped by its own handle; when a test fails, its log is printed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{http, tools::Tool};

/// A running Envoy.
pub(crate) struct Envoy {
    child: Child,
    folder: tempfile::TempDir,
    admin: SocketAddr,
    /// The listener that lets calls pass when the service is down.
    pub(crate) open: SocketAddr,
    /// The same, with Envoy's own `x-ratelimit-*` headers.
    pub(crate) draft: SocketAddr,
    /// The listener that refuses calls when the service is down.
    pub(crate) closed: SocketAddr,
}

impl Envoy {
    /// Starts Envoy in front of `upstream`, asking `service`, and waits until it takes calls.
    pub(crate) fn start(service: SocketAddr, upstream: SocketAddr) -> Self {
        Self::changed(service, upstream, |text| text)
    }

    /// The same, with the configuration that `change` makes of that.
    pub(crate) fn changed(
        service: SocketAddr,
        upstream: SocketAddr,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/envoy.yaml");
        let text = change(std::fs::read_to_string(template).expect("Envoy's configuration"));
        let text = text
            .replace("UPSTREAM_PORT", &upstream.port().to_string())
            .replace("SERVICE_PORT", &service.port().to_string());
        let (mut envoy, listeners) = Self::of(&text, 3);
        (envoy.open, envoy.draft, envoy.closed) =
            (listeners["open"], listeners["draft"], listeners["closed"]);
        envoy
    }

    /// Starts the one that `examples/envoy.yaml` describes; only its ports are others.
    pub(crate) fn example(service: SocketAddr, upstream: SocketAddr) -> Self {
        Self::of_example(include_str!("../../../examples/envoy.yaml"), service, upstream)
    }

    /// Starts the one that `examples/envoy-llm.yaml` describes, on other ports. It is more patient, asks
    /// again when an answer breaks off, and tells its clients what their calls hold. Then `change` may change it.
    pub(crate) fn example_of_models(
        service: SocketAddr,
        upstream: SocketAddr,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let any = "domains: [\"*\"]\n";
        let told = "response_headers_to_add: [ { header: { key: x-hold, value: \"%DYNAMIC_METADATA(envoy.filters.http.ratelimit:hold)%\" } } ]";
        let tollgate = "{ envoy_grpc: { cluster_name: tollgate } }";
        let again =
            "{ envoy_grpc: { cluster_name: tollgate }, retry_policy: { num_retries: 3, retry_on: reset } }";
        let text = include_str!("../../../examples/envoy-llm.yaml")
            .replace(any, &format!("{any}                      {told}\n"))
            .replace("timeout: 0.25s", "timeout: 20s")
            .replace(tollgate, again);
        Self::of_example(&change(text), service, upstream)
    }

    fn of_example(text: &str, service: SocketAddr, upstream: SocketAddr) -> Self {
        let text = text
            .replace("port_value: 10000", "port_value: 0")
            .replace("port_value: 9000", &format!("port_value: {}", upstream.port()))
            .replace("port_value: 8081", &format!("port_value: {}", service.port()));
        let admin = "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }";
        let (mut envoy, listeners) = Self::of(&format!("{admin}\n{text}"), 1);
        envoy.open = listeners["calls"];
        envoy
    }

    /// Starts one of `text`, and waits for its listeners, `count` of them.
    fn of(text: &str, count: usize) -> (Self, HashMap<String, SocketAddr>) {
        let folder = tempfile::tempdir().expect("a folder for Envoy");
        std::fs::write(folder.path().join("envoy.yaml"), text).expect("write Envoy's configuration");
        let child = spawn(folder.path());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy =
            Self { child, folder, admin: nowhere, open: nowhere, draft: nowhere, closed: nowhere };
        envoy.admin = envoy.wait(Self::admin_address);
        let listeners = envoy.wait(|envoy| {
            let ready = http::get("/ready").send(envoy.admin).status == 200;
            ready.then(|| envoy.listeners()).filter(|found| found.len() == count)
        });
        (envoy, listeners)
    }

    /// Envoy's statistics whose whole name is `name`; 0 if it has not counted that yet.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let answer = http::get("/stats?usedonly").send(self.admin);
        let value = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map_or(0, |value| value.parse().expect("a count"))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&mut self) {
        let command = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().expect("start sh").success(), "{command}");
        self.child.wait().expect("wait for Envoy");
    }

    /// Calls the service answered with an error, and calls that Envoy let pass for that reason.
    pub(crate) fn errors(&self) -> [u64; 2] {
        ["error", "failure_mode_allowed"].map(|name| self.stat(&format!("cluster.upstream.ratelimit.{name}")))
    }

    fn admin_address(&self) -> Option<SocketAddr> {
        std::fs::read_to_string(self.folder.path().join("admin")).ok()?.trim().parse().ok()
    }

    fn listeners(&self) -> HashMap<String, SocketAddr> {
        let text = http::get("/listeners").send(self.admin).body;
        text.lines()
            .filter_map(|line| line.split_once("::"))
            .filter_map(|(name, address)| Some((name.to_owned(), address.parse().ok()?)))
            .collect()
    }

    /// Asks until there is an answer; panics if Envoy ends first, or a minute goes by.
    fn wait<T>(&mut self, ask: impl Fn(&Self) -> Option<T>) -> T {
        for _ in 0..3_000 {
            if let Some(found) = ask(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().expect("look after Envoy") {
                panic!("Envoy ended: {status}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("Envoy did not start");
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.child.kill().expect("stop Envoy");
        self.child.wait().expect("wait for Envoy");
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

fn spawn(folder: &Path) -> Child {
    Command::new(Tool::Envoy.path())
        .current_dir(folder)
        .args(["-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"])
        .args(["--admin-address-path", "admin", "--log-path", "log"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start Envoy")
}
