//! The real program as a process of its own, on free ports, stopped by its own handle. When a test fails, what the
//! program logged is printed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{admins, raw};

/// How long the program may take for anything that it should do at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it has.
const POLL: Duration = Duration::from_millis(10);

/// A running `tollgate serve`.
pub(crate) struct Tollgate {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    follower: Option<JoinHandle<()>>,
    grpc: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Tollgate {
    /// Serves `files`, whose paths begin at the top of the project, and counts in memory.
    pub(crate) fn start(files: &[&str]) -> Self {
        Self::with(files, &[])
    }

    /// Serves with `arguments`, and with nothing but `environment` in the environment and the token of the tests;
    /// waits until it takes calls.
    pub(crate) fn with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::under(&[], arguments, environment)
    }

    /// As [`with`](Self::with), but started by a program: `before` and then its own command line are that one's.
    pub(crate) fn under(before: &[&str], arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let words = [before, &[env!("CARGO_BIN_EXE_tollgate")]].concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .arg("serve")
            .args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(arguments)
            .env_clear()
            .env("TOLLGATE_ADMIN_TOKENS", admins::LINE)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start tollgate");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, addresses) = channel();
        let stderr = child.stderr.take().expect("a pipe");
        let copy = Arc::clone(&log);
        let follower = std::thread::spawn(move || follow(stderr, &copy, &sender));
        let [grpc, http, admin] = ["grpc", "http", "admin"].map(|listener| {
            wait_for(listener, &addresses).unwrap_or_else(|| {
                child.kill().expect("stop tollgate");
                child.wait().expect("wait for tollgate");
                panic!("tollgate does not listen:\n{}", log.lock().expect("a log").join("\n"))
            })
        });
        Self { child, log, follower: Some(follower), grpc, http, admin }
    }

    /// Where gRPC is served.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where `/json` and `/healthcheck` are served.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where the operator asks.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("look after tollgate").is_none()
    }

    /// Ends it at once, without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("stop tollgate");
        self.child.wait().expect("wait for tollgate");
    }
}

impl Tollgate {
    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("a log").join("\n")
    }

    /// Waits until it has logged `words`.
    pub(crate) fn logs(&self, words: &str) {
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            if self.log().contains(words) {
                return;
            }
            std::thread::sleep(POLL);
        }
        panic!("{words:?} is not logged")
    }

    /// Sends it the signal of this name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().expect("start sh").success(), "{command}");
    }

    /// Waits for its end: how it ended, and all that it logged.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            if let Some(status) = self.child.try_wait().expect("look after tollgate") {
                self.follower.take().map(JoinHandle::join).transpose().expect("follow the log");
                return (status, self.log());
            }
            std::thread::sleep(POLL);
        }
        panic!("tollgate does not end")
    }
}

/// Runs `tollgate` to its end, with nothing but `environment` in the environment and the token of the tests.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(arguments).env_clear().env("TOLLGATE_TOKEN", admins::TOKEN);
    command.envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().expect("start tollgate")
}

/// As [`run`], with `input` to read.
pub(crate) fn run_with(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(arguments).env_clear().env("TOLLGATE_TOKEN", admins::TOKEN).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start tollgate");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("wait for tollgate")
}

/// Waits until the readiness of `service` says `words`.
pub(crate) async fn until_ready(service: &Tollgate, words: &str) {
    let mut told = String::new();
    for _ in 0..1_000 {
        told = raw::http(service.admin(), "GET", "/readyz", b"").await.body;
        if told.contains(words) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{told}");
}

/// The metric `name` of `service`.
pub(crate) async fn metric(service: &Tollgate, name: &str) -> u64 {
    let text = raw::http(service.admin(), "GET", "/metrics", b"").await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("tollgate_{name}_total ")));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

impl Drop for Tollgate {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.log.lock().expect("a log").join("\n"));
        }
    }
}

/// Keeps what is logged, and passes on each address that is named.
fn follow(stderr: ChildStderr, log: &Mutex<Vec<String>>, addresses: &Sender<(String, SocketAddr)>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(named) = address(&line) {
            // Nobody listens any more once all addresses are known.
            let _ = addresses.send(named);
        }
        log.lock().expect("a log").push(line);
    }
}

/// What `… listening listener="grpc" address=127.0.0.1:8081` says, or the same in JSON.
fn address(line: &str) -> Option<(String, SocketAddr)> {
    if let Ok(event) = serde_json::from_str::<serde_json::Value>(line) {
        let text = |name: &str| event[name].as_str();
        return Some((text("listener")?.to_owned(), text("address")?.parse().ok()?));
    }
    let (listener, address) = line.split_once("listening listener=\"")?.1.split_once("\" address=")?;
    Some((listener.to_owned(), address.trim().parse().ok()?))
}

fn wait_for(listener: &str, addresses: &Receiver<(String, SocketAddr)>) -> Option<SocketAddr> {
    let (named, address) = addresses.recv_timeout(PATIENCE).ok()?;
    (named == listener).then_some(address)
}
