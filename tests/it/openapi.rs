//! The description of the admin listener, taken at its word: every route and method of it is called on a real server, and
//! answers as it says.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::Value;

use crate::support::http::{self, Answer};
use crate::support::process::Tollgate;
use crate::support::schema::{faults, resolved};

const EXAMPLE: &str = include_str!("../../examples/tollgate.yaml");
const ROUTER: &str = include_str!("../../src/admin.rs");

/// The example, with a breaker.
fn served() -> (tempfile::TempDir, Tollgate) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.yaml");
    let tripping = "budget:  {limit: $0.50/day, on_limit: trip}";
    let text = EXAMPLE.replace("budget:  $0.50/day ", tripping);
    assert!(text.contains(tripping), "the example has a budget");
    std::fs::write(&file, text).unwrap();
    let service = Tollgate::start(&[file.to_str().unwrap()]);
    (folder, service)
}

/// A method of a path.
struct Operation<'d> {
    document: &'d Value,
    path: &'d str,
    method: &'d str,
    said: &'d Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, said)| Operation { document, path, method, said })
    });
    all.collect()
}

impl Operation<'_> {
    /// The path and query of the example.
    fn target(&self) -> String {
        let (mut target, mut query) = (self.path.to_owned(), Vec::new());
        for parameter in self.said["parameters"].as_array().into_iter().flatten() {
            let parameter = resolved(self.document, parameter);
            let (name, place) = (parameter["name"].as_str().unwrap(), &parameter["in"]);
            match (parameter["example"].as_str(), place.as_str()) {
                (Some(example), Some("path")) => target = target.replace(&format!("{{{name}}}"), example),
                (Some(example), Some("query")) => query.push(format!("{name}={example}")),
                (example, place) => {
                    assert!(example.is_none() && place == Some("query"), "{}: {name}", self.path)
                }
            }
        }
        assert!(!target.contains('{'), "{target}: every segment has an example");
        if query.is_empty() { target } else { format!("{target}?{}", query.join("&")) }
    }

    fn body(&self) -> Option<&Value> {
        self.said.pointer("/requestBody/content/application~1json/example")
    }

    fn is_open(&self) -> bool {
        self.said["security"].as_array().is_some_and(Vec::is_empty)
    }

    /// The call of the example.
    fn call(&self) -> http::Call {
        let call = match self.method {
            "get" => http::get(self.target()),
            "post" => http::post(self.target()),
            "put" => http::put(self.target()),
            other => panic!("{other}: is not called"),
        };
        match self.body() {
            Some(body) => call.header("content-type", "application/json").body(body.to_string()),
            None => call,
        }
    }

    /// Holds that `answer` is as documented, with this status.
    fn holds(&self, answer: &Answer, status: u16) {
        let at = format!("{} {}: {answer:?}", self.method, self.path);
        assert_eq!(answer.status, status, "{at}");
        let said = resolved(self.document, &self.said["responses"][status.to_string()]);
        let content = said["content"].as_object().unwrap_or_else(|| panic!("{at} is not documented"));
        let (kind, content) = content.iter().next().unwrap();
        assert_eq!(answer.header("content-type").as_deref(), Some(kind.as_str()), "{at}");
        let body = match kind.as_str() {
            "application/json" => serde_json::from_str(&answer.body).unwrap(),
            _ => Value::from(answer.body.clone()),
        };
        assert_eq!(faults(self.document, &content["schema"], &body), Vec::<String>::new(), "{at}");
    }
}

fn document(of: SocketAddr) -> Value {
    let answer = http::get("/openapi.json").send(of);
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn every_route_and_method_answers_as_documented() {
    let (_folder, service) = served();
    let document = document(service.admin());
    assert_eq!(document["openapi"], "3.1.0");
    let operations = operations(&document);
    for operation in &operations {
        operation.holds(&operation.call().by_admin().send(service.admin()), 200);
        if let Some(body) = operation.body() {
            let schema = &operation.said["requestBody"]["content"]["application/json"]["schema"];
            assert_eq!(faults(&document, schema, body), Vec::<String>::new(), "{}", operation.path);
        }
    }
    assert!(operations.len() > 15, "{}", operations.len());
}

#[test]
fn what_is_not_open_asks_who_it_is_and_what_they_may() {
    let (_folder, service) = served();
    let document = document(service.admin());
    let mut answers = BTreeSet::new();
    for operation in operations(&document) {
        let answer = operation.call().send(service.admin());
        // After some, whoever goes on is told to wait.
        let expected = if operation.is_open() { 200 } else { answer.status.clamp(401, 429) };
        operation.holds(&answer, expected);
        answers.insert(expected);
    }
    assert_eq!(answers, BTreeSet::from([200, 401, 429]));
}

#[test]
fn writes_take_json_and_nothing_that_is_not_documented() {
    let (_folder, service) = served();
    let document = document(service.admin());
    let mut tried = 0;
    for operation in operations(&document).iter().filter(|operation| operation.body().is_some()) {
        let send = |kind: &str, body: &str| {
            let call = if operation.method == "put" { http::put } else { http::post };
            let call = call(operation.target()).by_admin();
            call.header("content-type", kind).body(body.to_owned()).send(service.admin())
        };
        operation.holds(&send("text/plain", "{}"), 415);
        let mut more = operation.body().unwrap().clone();
        more["colour"] = "red".into();
        for wrong in ["", "[]", "{\"colour\":", &more.to_string()] {
            if wrong.is_empty() && operation.path.contains("/reset/") {
                continue;
            }
            operation.holds(&send("application/json", wrong), 400);
        }
        tried += 1;
    }
    assert!(tried >= 6, "{tried}");
}

/// The routes and methods in the source of the router, and of its part of the twins.
fn routed() -> BTreeSet<(String, String)> {
    ["fn router<", "fn twins<"].into_iter().flat_map(routed_by).collect()
}

fn routed_by(function: &str) -> BTreeSet<(String, String)> {
    let (_, router) = ROUTER.split_once(function).expect("the function");
    let (router, _) = router.split_once("\n}\n").expect("its end");
    let breaker = "breaker.merge(";
    let mut found = BTreeSet::new();
    for route in router.split(".route(").skip(1) {
        let path = route.split('"').nth(1).expect("a path");
        let handled = route.replace(breaker, "get(");
        for method in ["get", "post", "put", "delete", "patch", "any"] {
            if handled.contains(&format!(" {method}(")) || handled.contains(&format!("\n{method}(")) {
                found.insert((path.to_owned(), method.to_owned()));
            }
        }
    }
    found
}

#[test]
fn no_route_is_missing_in_it() {
    let (_folder, service) = served();
    let document = document(service.admin());
    let told: BTreeSet<_> = operations(&document)
        .iter()
        .map(|operation| (operation.path.to_owned(), operation.method.to_owned()))
        .collect();
    assert_eq!(told, routed());
}
