//! Servers as processes of their own, on free ports of the loopback, stopped by their own handle.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cpu;
use crate::redis::Redis;

/// A running server.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// What it was given to read; it lives as long as the server.
    _folder: Option<TempDir>,
}

/// Which program stands before the server on its command line, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Under(pub(crate) Vec<OsString>);

impl Under {
    /// The command line that starts `program`.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut words = self.0.iter().cloned().chain([program.into()]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        command
    }
}

impl Server {
    /// The real `tollgate serve` on one thread, with the limits that `text` writes.
    pub(crate) fn tollgate(text: &str, more: &[&str], under: &Under) -> Self {
        let (mut command, folder) = serve(Path::new(env!("CARGO_BIN_EXE_tollgate")), text, under);
        command.args(["--grpc", "127.0.0.1:0"]).args(more).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start tollgate");
        let log = child.stderr.take().expect("a pipe");
        let address =
            find(log, |line| line.split_once("listening listener=\"grpc\" address=")?.1.trim().parse().ok());
        Self { child, address, _folder: Some(folder) }
    }

    /// The same of another `program`, which has no log.
    pub(crate) fn silent(program: &Path, text: &str, under: &Under) -> Self {
        let (mut command, folder) = serve(program, text, under);
        let address = free_address();
        command.args(["--grpc", &address.to_string()]);
        Self::told(&mut command, address, Some(folder))
    }

    /// The same, counting in `redis`. A decision that is late would be none of Redis, so none is.
    pub(crate) fn over(redis: &Redis, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("settings.yaml");
        std::fs::write(&file, "store: {timeout: 10s}\n").expect("write a file");
        let file = file.display().to_string();
        Self::tollgate(text, &["--store", &redis.url(), "--settings", &file], &Under::default())
    }

    /// The empty handler on one current-thread runtime, with Tollgate's allocator: this program, in another role.
    pub(crate) fn empty(under: &Under) -> Self {
        let this = std::env::current_exe().expect("this program");
        Self::announcing(under.command(&this).arg("empty"))
    }

    /// The empty handler with one EVALSHA before each answer.
    pub(crate) fn relay(redis: &Redis) -> Self {
        let this = std::env::current_exe().expect("this program");
        Self::announcing(Command::new(this).args(["relay", &redis.url()]))
    }

    /// The empty handler as tonic and tokio have it by default, with glibc's allocator. `None` where that program was
    /// not built.
    pub(crate) fn defaults() -> Option<Self> {
        Some(Self::announcing(Command::new(beside("defaults")?).arg("empty")))
    }

    /// A program that prints its address first.
    fn announcing(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start a server");
        let out = child.stdout.take().expect("a pipe");
        let address = find(out, |line| line.trim().parse().ok());
        Self { child, address, _folder: None }
    }

    /// A program that is told where to listen, once it takes connections there.
    pub(crate) fn told(command: &mut Command, address: SocketAddr, folder: Option<TempDir>) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start a server");
        for _ in 0..2000 {
            assert!(child.try_wait().expect("its state").is_none(), "{command:?} ended by itself");
            if std::net::TcpStream::connect(address).is_ok() {
                return Self { child, address, _folder: folder };
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{command:?} does not listen on {address}");
    }

    /// The same server, whose calls go to `address`.
    pub(crate) fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time it has used, in nanoseconds.
    pub(crate) fn cpu(&self) -> f64 {
        cpu::of_process(self.child.id())
    }

    /// How often it has written to a file, a socket or an eventfd.
    pub(crate) fn writes(&self) -> f64 {
        cpu::writes_of(self.child.id())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, or by `end`.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// `program` as a service on one thread, with the limits that `text` writes in the folder.
fn serve(program: &Path, text: &str, under: &Under) -> (Command, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("limits.yaml");
    std::fs::write(&file, text).expect("write a file");
    let mut command = under.command(program);
    command.arg("serve").arg(&file).args([
        "--threads",
        "1",
        "--http",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    command.env_clear().env("TOLLGATE_DRAIN_DELAY", "0s").stdin(Stdio::null()).stdout(Stdio::null());
    (command, folder)
}

/// A port that nobody listens on now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// The newest program `name` that was built beside this one, for names that end in a hash.
pub(crate) fn beside(name: &str) -> Option<PathBuf> {
    let this = std::env::current_exe().expect("this program");
    let folder = std::fs::read_dir(this.parent()?).ok()?;
    let is_wanted = |path: &PathBuf| {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && !rest.contains('.'))
    };
    let found = folder.flatten().map(|entry| entry.path()).filter(is_wanted);
    found.max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok())
}

/// The program that `variable` names, if there is one.
pub(crate) fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|file| file.is_file())
}

/// Where the program `name` is: in the variable `variable`, on the path, or among what `tests/tools` fetched.
pub(crate) fn program(variable: &str, name: &str) -> Option<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([fetched]);
    named(variable).or_else(|| folders.map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// The first thing that `read` finds in a line of `output`, the rest of which is read and dropped.
fn find<T>(output: impl Read + Send + 'static, read: impl Fn(&str) -> Option<T>) -> T {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let found = lines.by_ref().find_map(|line| {
        let found = read(&line);
        said.push(line);
        found
    });
    std::thread::spawn(move || lines.for_each(drop));
    found.unwrap_or_else(|| panic!("the server does not say where it listens:\n{}", said.join("\n")))
}
