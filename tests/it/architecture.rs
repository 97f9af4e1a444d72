//! The arrows of the house: who may know whom, what may stand where, how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

/// A room of `src/` and the rooms it may use. `main.rs` and `app.rs` may use all.
const ROOMS: [(&str, &[&str]); 21] = [
    ("clock", &[]),
    ("money", &[]),
    ("nearest", &[]),
    ("hex", &[]),
    ("percent", &["hex"]),
    ("calendar", &["clock"]),
    ("prices", &["clock", "money"]),
    ("estimates", &["clock"]),
    ("limits", &["calendar", "clock", "money", "prices"]),
    ("algorithm", &["calendar", "clock", "limits"]),
    ("store", &["algorithm", "calendar", "clock", "limits"]),
    (
        "engine",
        &[
            "alerts",
            "algorithm",
            "audit",
            "calendar",
            "clock",
            "estimates",
            "hex",
            "limits",
            "money",
            "nearest",
            "prices",
            "store",
        ],
    ),
    ("alerts", &["calendar", "clock", "limits", "money"]),
    ("transport", &["audit", "auth", "clock", "engine", "limits", "money", "prices"]),
    (
        "admin",
        &["audit", "auth", "calendar", "clock", "engine", "limits", "money", "percent", "store", "transport"],
    ),
    ("audit", &["calendar", "clock", "hex", "limits", "money", "prices", "store"]),
    ("auth", &["audit", "calendar", "clock", "hex", "nearest", "percent"]),
    ("telemetry", &[]),
    (
        "config",
        &[
            "admin",
            "auth",
            "calendar",
            "clock",
            "engine",
            "limits",
            "money",
            "nearest",
            "prices",
            "store",
            "telemetry",
            "transport",
        ],
    ),
    ("app", &["*"]),
    ("main", &["*"]),
];

/// Names of crates, and the only places where they may stand.
const KEPT_APART: [(&str, &[&str]); 14] = [
    ("tonic", &["transport/grpc"]),
    ("prost", &["transport/grpc"]),
    ("h2", &["transport/grpc"]),
    // `app` names the room `transport::http`.
    ("http", &["transport/grpc", "alerts", "app"]),
    ("hyper", &["transport", "alerts", "app/asking"]),
    ("rustix", &["app/descriptors"]),
    ("rustls", &["alerts", "app/dial", "transport/tls"]),
    ("subtle", &["auth"]),
    ("prometheus_client", &["admin"]),
    ("redb", &["store/durable"]),
    ("redis", &["store/redis"]),
    ("deadpool_redis", &["store/redis"]),
    ("serde", &["config", "transport/http", "admin"]),
    ("anyhow", &["app", "main"]),
];

/// The longest a file may be before its tests.
const MOST_LINES: usize = 350;

struct Source {
    /// Below `src/`, without the ending.
    name: String,
    /// Up to the inline tests, without comments.
    code: String,
    /// What it opens with.
    purpose: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(ending) if ending == "rs" => found.push(read(&root, &path)),
                _ => {}
            }
        }
    }
    assert!(found.len() > 20, "the sources were found");
    found
}

fn read(root: &Path, path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    Source {
        name: path.strip_prefix(root).unwrap().with_extension("").to_string_lossy().into_owned(),
        code: before_tests.lines().filter(is_code).collect::<Vec<_>>().join("\n"),
        purpose: text.lines().take_while(|line| line.starts_with("//!")).collect(),
        lines: before_tests.lines().count(),
    }
}

fn room(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

/// The identifiers that follow `prefix` in `code`, also inside braces: `crate::{a, b::c}`.
fn named_after<'c>(code: &'c str, prefix: &str) -> Vec<&'c str> {
    let identifier =
        |text: &'c str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    let mut names = Vec::new();
    for rest in code.split(prefix).skip(1) {
        match rest.strip_prefix('{') {
            None => names.push(identifier(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        letter if start && letter.is_alphabetic() => {
                            names.push(identifier(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

#[test]
fn rooms_know_only_whom_they_may() {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| source.name != "lib") {
        let room = room(&source.name);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            breaches
                .push(format!("src/{}.rs stands in no room; add it to the table on purpose", source.name));
            continue;
        };
        for used in named_after(&source.code, "crate::") {
            if used != room && !allowed.contains(&used) && !allowed.contains(&"*") {
                breaches
                    .push(format!("src/{}.rs uses crate::{used}, which {room} must not know", source.name));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn wires_and_stores_stay_in_their_rooms() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (name, places) in KEPT_APART {
            let path = format!("{name}::");
            let named = source.code.match_indices(&path).any(|(at, _)| {
                let before = source.code[..at].chars().next_back().unwrap_or(' ');
                !before.is_alphanumeric() && before != '_' && before != ':'
            });
            let allowed = places
                .iter()
                .any(|place| source.name == *place || source.name.starts_with(&format!("{place}/")));
            if named && !allowed {
                breaches.push(format!(
                    "src/{}.rs names {name}, which belongs in {}",
                    source.name,
                    places.join(", ")
                ));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn files_are_short_and_open_with_their_purpose() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    for source in sources() {
        if source.lines > MOST_LINES {
            breaches.push(format!("src/{}.rs has {} lines, {MOST_LINES} at most", source.name, source.lines));
        }
        if source.name.ends_with("/mod") || ["utils", "common", "helpers"].contains(&room(&source.name)) {
            breaches.push(format!("src/{}.rs: name the room for what it is for", source.name));
        }
        let text = fs::read_to_string(root.join(format!("{}.rs", source.name))).unwrap();
        if !text.starts_with("//!") {
            breaches.push(format!("src/{}.rs does not say what it is for", source.name));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_reader_of_imports_reads_all_forms() {
    let code = "use crate::a::b;\nuse crate::{c, d::{e, f}, g};\nlet x = crate::h::i();";
    assert_eq!(named_after(code, "crate::"), ["a", "c", "d", "g", "h"]);
}

#[test]
fn every_algorithm_states_its_bound_and_its_source() {
    // How a window's cells are kept is no algorithm, and neither is what all windows do alike.
    let arithmetic = ["bucket", "cells", "period", "total"].map(|window| format!("algorithm/{window}"));
    let sources: Vec<Source> =
        sources().into_iter().filter(|source| arithmetic.contains(&source.name)).collect();
    assert_eq!(sources.len(), arithmetic.len());
    for source in sources {
        for part in ["**Bound.**", "**Source.**"] {
            assert!(source.purpose.contains(part), "{}: no {part}", source.name);
        }
    }
}

#[test]
fn digests_of_tokens_are_compared_in_constant_time_whoever_compares_them() {
    let sources = sources();
    let code = |name: &str| &sources.iter().find(|source| source.name == name).expect("the file").code;
    let token = code("auth/token");
    let (before, after) = token.split_once("struct TokenDigest([u8; 32]);").expect("its bytes are its own");
    let derived = before.rsplit("\n\n").next().unwrap_or_default();
    assert!(!["Eq", "Ord", "Hash"].iter().any(|name| derived.contains(name)), "{derived}");
    // By `==` too: what is derived of something that holds one comes here.
    let equal = "impl PartialEq for TokenDigest {\n    fn eq(&self, other: &Self) -> bool {\n        self.is(other).into()\n    }\n}";
    let is = "fn is(&self, other: &Self) -> Choice {\n        self.0.ct_eq(&other.0)\n    }";
    assert!(after.contains(equal) && after.contains(is));
    assert!(
        !["==", "!=", ".cmp("].iter().any(|compares| token.contains(compares)),
        "nothing else is compared there"
    );
    // Which token it is hangs on no branch either: the place of the right one is chosen, and all are looked at.
    let (_, find) = code("auth/tokens").split_once("pub(super) fn find").expect("where they are found");
    let (find, _) = find.split_once("\n    }\n").expect("its end");
    assert!(find.contains("digest.is(&entry.digest)") && find.contains("conditional_assign"), "{find}");
    assert!(
        !["==", "if ", "return", "break", ".find("].iter().any(|branches| find.contains(branches)),
        "{find}"
    );
}
