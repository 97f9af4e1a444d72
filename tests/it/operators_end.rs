//! How operators are served to the end of a process: who asked in time is answered, what was answered is kept, and the log
//! ends with the last record.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::admin_routes::{PRODUCTS, Page};
use crate::support::admins::AUTHORIZATION;
use crate::support::process::{Tollgate, run};

const AT_ONCE: [(&str, &str); 1] = [("TOLLGATE_DRAIN_DELAY", "0s")];

/// A POST of which all is sent but its last byte.
struct Begun {
    stream: TcpStream,
}

impl Begun {
    fn post(service: &Tollgate, path: &str, body: &str) -> Self {
        let mut stream = TcpStream::connect(service.admin()).unwrap();
        let (sent, length) = (&body[..body.len() - 1], body.len());
        write!(
            stream,
            "POST /admin/rate-limits{path}?domain=aurastream HTTP/1.1\r\nhost: localhost\r\n\
             authorization: {AUTHORIZATION}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{sent}"
        )
        .unwrap();
        Self { stream }
    }

    /// Sends the last byte, and answers what comes until the connection is closed.
    fn finish(mut self) -> String {
        let mut answer = String::new();
        self.stream.write_all(b"}").unwrap();
        self.stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Waits until no more operators are let in.
fn until_closed(service: &Tollgate) {
    while TcpStream::connect(service.admin()).is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn operators_in_the_middle_of_a_call_are_answered_and_what_they_did_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let open = || Tollgate::with(&[PRODUCTS, "--data-dir", data], &AT_ONCE);
    let page = Page(open());
    let created = [("method", "POST"), ("path", "/generate"), ("user", "ann"), ("tier", "free")];
    assert_eq!(page.call(&created), 200);
    let calls = [
        ("/tier", r#"{"subject": {"user": "bob"}, "tier": "pro"}"#),
        ("/reset/ann", r#"{"reason": "asked"}"#),
    ];
    let begun = calls.map(|(path, body)| Begun::post(&page.0, path, body));
    // Who came before this one is heard by then.
    assert_eq!(page.get("?domain=aurastream").0, 200);
    let service = page.0;
    service.signal("TERM");
    until_closed(&service);
    for answer in begun.map(Begun::finish) {
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let (status, log) = service.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let head = log
        .rsplit_once("records=2 head=")
        .expect("the log ends with both")
        .1
        .split_whitespace()
        .next()
        .unwrap();
    let verified = run(&["audit", "verify", &format!("{data}/audit.jsonl"), "--head", head], &[]);
    let whole = String::from_utf8(verified.stdout).unwrap();
    assert!(whole.starts_with("whole: 2 records, ") && !whole.contains("since"), "{whole}");
    let page = Page(open());
    let (_, usage) = page.get("/usage/ann?domain=aurastream");
    assert_eq!(usage["limits"]["monthly_creations"]["used"], json!(0), "{usage}");
    let (_, usage) = page.get("/usage/bob?domain=aurastream");
    assert_eq!(usage["tier"], json!("pro"), "{usage}");
}
