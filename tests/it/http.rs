//! `/json` and `/healthcheck`, as the reference service serves them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

use tollgate::engine::{Check, CheckRequest, Code, Decision, DescriptorStatus, Header, InvalidRequest};
use tollgate::limits::{Metadata, WireUnit};
use tollgate::transport::grpc::GrpcSettings;
use tollgate::transport::health::Serving;

use crate::support::raw::{call, http};
use crate::support::server::{TestServer, per_key};

#[derive(Clone)]
struct Fixed(Decision);

impl Check for Fixed {
    async fn check(&self, _: CheckRequest<'_>) -> Result<Decision, InvalidRequest> {
        Ok(self.0.clone())
    }
}

const HEALTHY: &str = r#"{"domain":"cf","descriptors":[{"entries":[{"key":"hr","value":"j1"}]}]}"#;

async fn server() -> TestServer {
    TestServer::start(per_key("cf", &[("hr", 10, WireUnit::Hour)])).await
}

/// The recorded answers of the reference service, over an empty store.
#[tokio::test]
async fn answers_as_the_reference_answers() {
    let server = server().await;
    let whole = |text: &str| format!(r#"{{"domain":"cf",{text}}}"#);
    let hour = json!({"requestsPerUnit": 10, "unit": "HOUR"});
    let three = json!({"requestsPerUnit": 3, "unit": "HOUR"});
    for (body, status, answer) in [
        (String::new(), 400, None),
        ("}".into(), 400, None),
        (r#"{"domain":"","descriptors":[]}"#.into(), 400, None),
        (whole(r#""bogus":1,"descriptors":[{"entries":[{"key":"zzz"}]}]"#), 400, None),
        (
            whole(r#""hits_addend":1,"descriptors":[{"entries":[{"key":"zzz","value":"j"}]}]"#),
            200,
            Some(json!({"overallCode": "OK", "statuses": [{"code": "OK"}]})),
        ),
        (
            HEALTHY.into(),
            200,
            Some(
                json!({"overallCode": "OK", "statuses": [{"code": "OK", "currentLimit": hour, "limitRemaining": 9,
                "durationUntilReset": "2800s"}]}),
            ),
        ),
        (
            whole(r#""hitsAddend":200,"descriptors":[{"entries":[{"key":"hr","value":"j2"}]}]"#),
            429,
            Some(
                json!({"overallCode": "OVER_LIMIT", "statuses": [{"code": "OVER_LIMIT", "currentLimit": hour,
                "durationUntilReset": "2800s"}]}),
            ),
        ),
        (
            whole(concat!(
                r#""descriptors":[{"entries":[{"key":"zzz","value":"o"}],"#,
                r#""limit":{"requests_per_unit":3,"unit":"HOUR"},"hits_addend":"2"}]"#
            )),
            200,
            Some(json!({"overallCode": "OK", "statuses": [{"code": "OK", "currentLimit": three,
                "limitRemaining": 1, "durationUntilReset": "2800s"}]})),
        ),
    ] {
        let got = http(server.http, "POST", "/json", body.as_bytes()).await;
        assert_eq!((got.status, got.content_type.as_str()), (status, "application/json"), "{body}");
        let json: Value = serde_json::from_str(&got.body).unwrap();
        match answer {
            Some(answer) => assert_eq!(json, answer, "{body}"),
            None => assert!(!json["error"].as_str().unwrap().is_empty(), "{body}"),
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    let server = server().await;
    for (body, words) in [
        (r#"{"domain":"","descriptors":[]}"#, "domain: must not be empty"),
        (r#"{"domain":"cf","bogus":1}"#, "bogus"),
        (r#"{"domain":"cf"}"#, "descriptors: must not be empty"),
        (r#"{"domain":7}"#, "string"),
        ("{} x", "trailing"),
        (r#"{"domain":"cf","descriptors":[{"limit":{"requests_per_unit":1}}]}"#, "descriptors[0].limit.unit"),
    ] {
        let got = http(server.http, "POST", "/json", body.as_bytes()).await;
        assert_eq!(got.status, 400, "{body}");
        let json: Value = serde_json::from_str(&got.body).unwrap();
        assert!(json["error"].as_str().unwrap().contains(words), "{words} in {json}");
    }
    server.stop().await;
}

#[tokio::test]
async fn both_spellings_units_and_weights_are_read() {
    let server = server().await;
    let spellings = [
        r#"{"limit":{"requestsPerUnit":5,"unit":7,"unitMultiplier":2},"hitsAddend":"0","isNegativeHits":false"#,
        r#"{"limit":{"requests_per_unit":5,"unit":7,"unit_multiplier":2},"hits_addend":0,"is_negative_hits":false"#,
    ];
    for descriptor in spellings {
        let body = format!(r#"{{"domain":"cf","descriptors":[{descriptor},"entries":[{{"key":"x"}}]}}]}}"#);
        let got = http(server.http, "POST", "/json", body.as_bytes()).await;
        let json: Value = serde_json::from_str(&got.body).unwrap();
        let limit = json!({"requestsPerUnit": 5, "unit": "WEEK", "unitMultiplier": 2});
        assert_eq!((got.status, &json["statuses"][0]["currentLimit"]), (200, &limit), "{body}: {json}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_whole_decision_stands_in_the_body() {
    let decision = Decision {
        code: Code::OverLimit,
        statuses: vec![DescriptorStatus { code: Code::OverLimit, ..DescriptorStatus::UNLIMITED }].into(),
        headers: vec![Header { name: "Retry-After".into(), value: "3".into() }].into(),
        body: Some("{}".into()),
        metadata: Some([("n".into(), Metadata::Number(1.0))].into()),
        unclaimed: None,
    };
    let server = TestServer::of(Fixed(decision), GrpcSettings::default()).await;
    let got = http(server.http, "POST", "/json", HEALTHY.as_bytes()).await;
    let json: Value = serde_json::from_str(&got.body).unwrap();
    let wanted = json!({
        "overallCode": "OVER_LIMIT",
        "statuses": [{"code": "OVER_LIMIT"}],
        "responseHeadersToAdd": [{"key": "Retry-After", "value": "3"}],
        "rawBody": "e30=",
        "dynamicMetadata": {"n": 1.0},
    });
    assert_eq!((got.status, json), (429, wanted));
    server.stop().await;
}

/// What JSON cannot say is an error to one caller, and nothing to the next.
#[tokio::test]
async fn an_answer_without_json_is_an_error() {
    let nested = (0..64).fold(Metadata::Null, |inner, _| Metadata::Map([("n".into(), inner)].into()));
    for metadata in [Metadata::Number(f64::NAN), Metadata::Number(f64::INFINITY), nested] {
        let decision = Decision { metadata: Some([("m".into(), metadata)].into()), ..Decision::pass(1) };
        let server = TestServer::of(Fixed(decision), GrpcSettings::default()).await;
        let got = http(server.http, "POST", "/json", HEALTHY.as_bytes()).await;
        assert_eq!((got.status, got.content_type.as_str()), (500, "application/json"));
        server.stop().await;
    }
}

#[tokio::test]
async fn an_override_of_ten_thousand_years_is_answered() {
    let server = server().await;
    let body = concat!(
        r#"{"domain":"cf","descriptors":[{"entries":[{"key":"hr","value":"j"}],"#,
        r#""limit":{"requests_per_unit":5,"unit":"YEAR","unit_multiplier":4294967295}}]}"#
    );
    let got = http(server.http, "POST", "/json", body.as_bytes()).await;
    let json: Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!((got.status, &json["statuses"][0]["limitRemaining"]), (200, &json!(4)), "{json}");
    server.stop().await;
}

#[tokio::test]
async fn bodies_that_are_too_long_are_refused() {
    let server = server().await;
    let got = http(server.http, "POST", "/json", &vec![b' '; 1024 * 1024]).await;
    assert_eq!(got.status, 413);
    assert_eq!(http(server.http, "POST", "/json", HEALTHY.as_bytes()).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn any_method_asks_and_other_paths_are_not_found() {
    let server = server().await;
    for method in ["GET", "PUT", "POST"] {
        assert_eq!(http(server.http, method, "/json", HEALTHY.as_bytes()).await.status, 200, "{method}");
    }
    assert_eq!(http(server.http, "GET", "/", b"").await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn whoever_speaks_http_2_is_answered_as_well() {
    let server = server().await;
    let mut channel = Endpoint::from_shared(format!("http://{}", server.http)).unwrap().connect_lazy();
    let asked = call(&mut channel, "/json", &[], HEALTHY.into()).await;
    let told: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(told["overallCode"], "OK", "{told}");
    drop(channel);
    server.stop().await;
}

#[tokio::test]
async fn healthcheck_follows_the_health() {
    let server = server().await;
    let got = http(server.http, "GET", "/healthcheck", b"").await;
    assert_eq!((got.status, got.body.as_str()), (200, "OK"));
    server.health.set(Serving::Unwanted);
    assert_eq!(http(server.http, "GET", "/healthcheck", b"").await.status, 500);
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_sends_no_request_does_not_hold_up_the_end() {
    for beginning in
        [&b""[..], b"POST /json HT", b"POST /json HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"]
    {
        let server = server().await;
        let mut silent = TcpStream::connect(server.http).await.unwrap();
        silent.write_all(beginning).await.unwrap();
        assert_eq!(http(server.http, "GET", "/healthcheck", b"").await.status, 200);
        let ended = tokio::time::timeout(Duration::from_secs(5), server.stop()).await;
        assert!(ended.is_ok(), "{}", String::from_utf8_lossy(beginning));
    }
}
