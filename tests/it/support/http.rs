//! A plain HTTP/1.1 client: one call, one connection. It sends what it is given, byte for byte, so that tests can send
//! what a well-behaved client would not. An answer ends where the server closes the connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::admins;

const PATIENCE: Duration = Duration::from_secs(30);

/// A call, not yet sent.
pub(crate) struct Call {
    method: &'static str,
    path: Vec<u8>,
    host: &'static str,
    headers: Vec<(String, Vec<u8>)>,
    body: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// All that followed the headers, as text.
    pub(crate) body: String,
}

/// A GET of `path`.
pub(crate) fn get(path: impl AsRef<[u8]>) -> Call {
    call("GET", path)
}

/// A POST to `path`, without a body.
pub(crate) fn post(path: impl AsRef<[u8]>) -> Call {
    call("POST", path)
}

/// A PUT to `path`, without a body.
pub(crate) fn put(path: impl AsRef<[u8]>) -> Call {
    call("PUT", path)
}

fn call(method: &'static str, path: impl AsRef<[u8]>) -> Call {
    Call { method, path: path.as_ref().to_vec(), host: "edge", headers: Vec::new(), body: String::new() }
}

impl Call {
    /// The virtual host that is called.
    pub(crate) fn host(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// Sends the token of the tests.
    pub(crate) fn by_admin(self) -> Self {
        self.header("authorization", admins::AUTHORIZATION)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// What a POST or a PUT says.
    pub(crate) fn body(mut self, body: String) -> Self {
        self.body = body;
        self
    }

    /// Sends the call and waits for the whole answer.
    pub(crate) fn send(self, to: SocketAddr) -> Answer {
        let mut stream = self.header("connection", "close").begin(to);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("read an answer");
        let (head, body) = split(&bytes).expect("an answer has a head");
        parse(head, body)
    }

    /// Asks for a WebSocket; `Ok` is the connection after the switch, `Err` the answer that declined.
    pub(crate) fn upgrade(self, to: SocketAddr) -> Result<TcpStream, Answer> {
        let call = self
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dG9sbGdhdGUtdGVzdHMtMQ==");
        let (answer, stream) = call.open(to);
        if answer.status == 101 { Ok(stream) } else { Err(answer) }
    }

    /// Sends the call and waits for the head of the answer; the rest is still to come.
    pub(crate) fn open(self, to: SocketAddr) -> (Answer, TcpStream) {
        let mut stream = self.begin(to);
        let mut bytes = Vec::new();
        while split(&bytes).is_none() {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("read a head");
            bytes.push(byte[0]);
        }
        let (head, _) = split(&bytes).expect("just read");
        (parse(head, &[]), stream)
    }

    /// Sends the call; its answer is still to come.
    pub(crate) fn begin(mut self, to: SocketAddr) -> TcpStream {
        if self.method != "GET" {
            let length = self.body.len().to_string();
            self = self.header("content-length", length);
        }
        let mut bytes = [self.method.as_bytes(), b" ", &self.path, b" HTTP/1.1\r\nhost: "].concat();
        bytes.extend([self.host.as_bytes(), b"\r\n"].concat());
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend([b"\r\n", self.body.as_bytes()].concat());
        let mut stream = TcpStream::connect(to).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a time limit");
        stream.write_all(&bytes).expect("send a call");
        stream
    }
}

impl Answer {
    /// The value of the header `name`, if it stands once or more; several are joined as HTTP joins them.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found: Vec<&str> =
            self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
        (!found.is_empty()).then(|| found.join(", "))
    }
}

/// Head and rest of a message, when the head is whole.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((&bytes[..end], &bytes[end + 4..]))
}

fn parse(head: &[u8], body: &[u8]) -> Answer {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect::<Vec<_>>();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body) } else { body.to_vec() };
    Answer {
        status: status.expect("a status line"),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size =
            std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a chunk begins with its size");
        whole.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[(end + 4 + size).min(rest.len())..];
    }
    whole
}
