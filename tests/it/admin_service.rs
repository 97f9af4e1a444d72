//! The admin service by gRPC: who may ask what, what it answers, and what is wrong where.

use std::collections::HashMap;
use std::process::Command;

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use tollgate::audit::Role;
use tollgate::auth::{Token, TokenEntry};
use tollgate::clock::Timestamp;
use tollgate::transport::grpc::proto::tollgate::v1 as wire;
use tollgate::transport::grpc::proto::tollgate::v1::admin_service_client::AdminServiceClient;

use crate::admin_routes::{PRODUCTS, ask};
use crate::support::process::Tollgate;
use crate::support::tools::Tool;
use crate::support::{admins, raw};

/// Sends a token along.
#[derive(Clone)]
pub(crate) struct Bearer(Option<String>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

pub(crate) type Client = AdminServiceClient<InterceptedService<Channel, Bearer>>;

pub(crate) async fn client(service: &Tollgate, token: Option<&str>) -> Client {
    let channel = Endpoint::from_shared(format!("http://{}", service.admin())).unwrap();
    let bearer = Bearer(token.map(str::to_owned));
    AdminServiceClient::with_interceptor(channel.connect().await.unwrap(), bearer)
}

pub(crate) async fn admin(service: &Tollgate) -> Client {
    client(service, Some(admins::TOKEN)).await
}

/// Somebody of `domain`, by entries of it.
fn somebody(domain: &str, entries: &[(&str, &str)]) -> Option<wire::Subject> {
    let entry = |(key, value): &(&str, &str)| wire::subject::EntriesEntry {
        key: key.as_bytes().to_vec().into(),
        value: value.as_bytes().to_vec().into(),
    };
    Some(wire::Subject {
        domain: domain.as_bytes().to_vec().into(),
        entries: entries.iter().map(entry).collect(),
    })
}

fn user(name: &str) -> Option<wire::Subject> {
    somebody("aurastream", &[("user", name)])
}

fn creations(change: impl FnOnce(&mut wire::UpdateLimitRequest)) -> wire::UpdateLimitRequest {
    let mut request = wire::UpdateLimitRequest {
        domain: "aurastream".to_owned(),
        limit: "monthly_creations".to_owned(),
        ..wire::UpdateLimitRequest::default()
    };
    change(&mut request);
    request
}

fn create(service: &Tollgate, user: &str, tier: &str) -> u16 {
    ask(service, "aurastream", &[("method", "POST"), ("path", "/generate"), ("user", user), ("tier", tier)])
}

#[tokio::test]
async fn everybody_is_asked_who_they_are_and_what_they_may() {
    let made = [Role::Viewer, Role::Operator].map(|role| {
        let token = Token::draw().unwrap();
        let line = TokenEntry::of(&token, role.name(), role, None).unwrap().to_line();
        (token.as_str().to_owned(), line)
    });
    let expired = Token::draw().unwrap();
    let over = TokenEntry::of(&expired, "old", Role::Admin, Some(Timestamp(1_700_000_000_000_000))).unwrap();
    let lines = [&made[0].1, &made[1].1, &over.to_line()].map(String::as_str).join(",");
    let service = Tollgate::with(&[PRODUCTS], &[("TOLLGATE_ADMIN_TOKENS", &lines)]);
    let usage = || wire::GetUsageRequest { subject: user("ann") };
    let reset = || wire::ResetUserRequest { subject: user("ann"), ..wire::ResetUserRequest::default() };
    let tier = || creations(|asked| (asked.tier, asked.max) = ("free".to_owned(), Some(5)));
    let own = || creations(|asked| (asked.user, asked.max) = ("ann".to_owned(), Some(5)));

    let unknown = format!("tg_a4636daca9ae_{}", "0".repeat(48));
    for token in [None, Some("tg_nonsense"), Some(&*unknown), Some(expired.as_str())] {
        let mut nobody = client(&service, token).await;
        assert_eq!(nobody.get_usage(usage()).await.unwrap_err().code(), Code::Unauthenticated, "{token:?}");
        assert_eq!(nobody.update_limit(tier()).await.unwrap_err().code(), Code::Unauthenticated);
    }
    let [mut viewer, mut operator] =
        [client(&service, Some(&made[0].0)).await, client(&service, Some(&made[1].0)).await];
    assert_eq!(viewer.get_usage(usage()).await.unwrap().into_inner().tier, "free");
    let refused = viewer.reset_user(reset()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("operator"), "{refused}");
    assert!(!operator.reset_user(reset()).await.unwrap().into_inner().before.is_empty());
    assert_eq!(operator.update_limit(tier()).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(operator.update_limit(own()).await.unwrap().into_inner().after.unwrap().max, 5);
    assert_eq!(viewer.update_limit(own()).await.unwrap_err().code(), Code::PermissionDenied);
    for token in [&made[0].0, &made[1].0, &unknown] {
        assert!(!service.log().contains(&**token), "a token is in the log");
    }
}

#[tokio::test]
async fn where_somebody_is_and_how_they_begin_anew() {
    let service = Tollgate::start(&[PRODUCTS]);
    let mut client = admin(&service).await;
    for _ in 0..3 {
        assert_eq!(create(&service, "ann", "free"), 200);
    }
    assert_eq!(create(&service, "ann", "free"), 429);
    let usage = client.get_usage(wire::GetUsageRequest { subject: user("ann") }).await.unwrap().into_inner();
    assert_eq!((&*usage.tier, &*usage.tier_source, &*usage.domain), ("free", "seen", "aurastream"));
    let find =
        |all: &[wire::Standing], name: &str| all.iter().find(|one| one.limit == name).cloned().unwrap();
    let standing = find(&usage.standings, "monthly_creations");
    assert_eq!((standing.used, standing.max, standing.remaining), (3, 3, 0));
    assert!(standing.resets_at.is_some());
    let request = wire::ResetUserRequest {
        subject: user("ann"),
        limits: vec!["monthly_creations".to_owned()],
        reason: "a failed job".to_owned(),
    };
    let reset = client.reset_user(request).await.unwrap().into_inner();
    assert_eq!(find(&reset.before, "monthly_creations").used, 3);
    assert_eq!((reset.before.len(), reset.version > 0), (1, true));
    assert_eq!(create(&service, "ann", "free"), 200);
}

#[tokio::test]
async fn a_number_is_set_for_a_tier_and_those_that_extend_it_and_taken_back() {
    let service = Tollgate::start(&[PRODUCTS]);
    let mut client = admin(&service).await;
    let set = creations(|asked| {
        (asked.tier, asked.max, asked.reason) = ("free".to_owned(), Some(4), "a trial".to_owned());
    });
    let changed = client.update_limit(set).await.unwrap().into_inner();
    let (before, after) = (changed.before.unwrap(), changed.after.unwrap());
    assert_eq!((before.max, &*before.source, before.version), (3, "file", 0));
    assert_eq!((after.max, &*after.source, after.version), (4, "override", changed.version));
    assert_eq!(changed.reaches, ["free"]);
    let answers: Vec<u16> = (0..5).map(|_| create(&service, "ann", "free")).collect();
    assert_eq!(answers, [200, 200, 200, 200, 429]);
    let listing = wire::ListLimitsRequest { domain: "aurastream".to_owned() };
    let listing = client.list_limits(listing).await.unwrap().into_inner();
    let of = |tier: &str| {
        let found = listing.limits.iter().find(|one| one.tier == tier && one.limit == "monthly_creations");
        found.map(|one| (one.max, one.source.clone()))
    };
    assert_eq!(of("free"), Some((4, "override".to_owned())));
    assert_eq!(of("pro"), Some((50, "file".to_owned())));
    assert_eq!(listing.version, changed.version);
    let back = creations(|asked| (asked.tier, asked.clear) = ("free".to_owned(), true));
    let changed = client.update_limit(back).await.unwrap().into_inner();
    assert_eq!(changed.after.unwrap().max, 3);
}

/// What is asked for.
type Change = fn(&mut wire::UpdateLimitRequest);

#[tokio::test]
async fn errors_name_the_field() {
    let service = Tollgate::start(&[PRODUCTS]);
    let mut client = admin(&service).await;
    let wrong: [(Change, Code, &str); 8] = [
        (|asked| asked.max = Some(5), Code::InvalidArgument, "tier: "),
        (
            |asked| (asked.tier, asked.user, asked.max) = ("free".into(), "ann".into(), Some(5)),
            Code::InvalidArgument,
            "tier: ",
        ),
        (|asked| asked.tier = "free".into(), Code::InvalidArgument, "max: "),
        (
            |asked| (asked.tier, asked.max, asked.clear) = ("free".into(), Some(5), true),
            Code::InvalidArgument,
            "max: ",
        ),
        (|asked| (asked.tier, asked.usd) = ("free".into(), "5".into()), Code::InvalidArgument, "usd: "),
        (|asked| (asked.tier, asked.max) = ("fre".into(), Some(5)), Code::NotFound, "tier: "),
        (|asked| (asked.tier, asked.max) = ("free".into(), Some(500)), Code::FailedPrecondition, "force: "),
        (
            |asked| (asked.tier, asked.max, asked.if_version) = ("free".into(), Some(5), Some(9)),
            Code::Aborted,
            "if_version: ",
        ),
    ];
    for (change, code, field) in wrong {
        let error = client.update_limit(creations(change)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with(field), "{error}");
    }
    let time = prost_types::Timestamp { seconds: -1, nanos: 0 };
    let past = creations(|asked| (asked.tier, asked.max, asked.until) = ("free".into(), Some(5), Some(time)));
    let error = client.update_limit(past).await.unwrap_err();
    assert!(error.message().starts_with("until: "), "{error}");
    let both = wire::ExplainRequest { subject: user("ann"), request_id: "x".into(), ..Default::default() };
    assert_eq!(client.explain(both).await.unwrap_err().code(), Code::InvalidArgument);
    let past = wire::ExplainRequest { request_id: "never".into(), ..Default::default() };
    assert_eq!(client.explain(past).await.unwrap_err().code(), Code::NotFound);
    let nobody = wire::GetUsageRequest { subject: somebody("aurastream", &[("usr", "ann")]) };
    let error = client.get_usage(nobody).await.unwrap_err();
    assert!(error.message().contains("'user'"), "{error}");
    let tier = wire::SetTierRequest {
        domain: "aurastream".into(),
        subject: HashMap::from([("user".to_owned(), "ann".to_owned())]),
        ..wire::SetTierRequest::default()
    };
    assert!(client.set_tier(tier).await.unwrap_err().message().starts_with("tier: "));
    let price = wire::SetPriceRequest { model: "gpt-5".into(), ..wire::SetPriceRequest::default() };
    assert!(client.set_price(price).await.unwrap_err().message().starts_with("usd_per_million: "));
    let rows = wire::ImportUsageRequest { domain: "aurastream".into(), ..Default::default() };
    assert!(client.import_usage(rows).await.unwrap_err().message().starts_with("rows: "));
}

#[tokio::test]
async fn what_would_come_of_a_call_and_what_was_done_is_told() {
    let service = Tollgate::start(&[PRODUCTS]);
    let mut client = admin(&service).await;
    let call = [("method", "POST"), ("path", "/generate"), ("user", "ann"), ("tier", "free")];
    let asked = wire::ExplainRequest { subject: somebody("aurastream", &call), ..Default::default() };
    for _ in 0..2 {
        let told = client.explain(asked.clone()).await.unwrap().into_inner();
        assert_eq!((told.decision(), &*told.route), (wire::Decision::Allow, "POST /generate"));
        let touched: Vec<_> = told.standings.iter().map(|one| (&*one.limit, one.used)).collect();
        assert_eq!(touched, [("monthly_creations", 0), ("api_requests_per_minute", 0)]);
        assert_eq!(told.asks, [1, 1]);
    }
    let set =
        creations(|asked| (asked.tier, asked.max, asked.reason) = ("free".into(), Some(4), "why".into()));
    client.update_limit(set).await.unwrap();
    let records = client.list_audit(wire::ListAuditRequest::default()).await.unwrap().into_inner();
    let last = &records.entries[0];
    assert_eq!(
        (&*last.actor, &*last.role, &*last.action, &*last.outcome),
        ("tests", "admin", "update_limit", "done")
    );
    assert_eq!(
        (&*last.reason, &*last.domain, last.id.parse::<u64>().unwrap()),
        ("why", "aurastream", records.head)
    );
    assert_eq!((last.hash.len(), &last.hash), (64, &records.head_hash));
    assert!(last.after.contains('4') && last.target.contains("monthly_creations"), "{last:?}");
}

/// What grpcurl prints, asked with `arguments` and the token of the tests.
fn grpcurl(service: &Tollgate, arguments: &[&str]) -> String {
    let header = format!("authorization: {}", admins::AUTHORIZATION);
    let mut command = Command::new(Tool::Grpcurl.path());
    let output =
        command.args(["-plaintext", "-H", &header, &service.admin().to_string()]).args(arguments).output();
    let output = output.expect("start grpcurl");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn reflection_shows_the_service_to_everybody_and_only_on_its_port() {
    let service = Tollgate::start(&[PRODUCTS]);
    let listed = grpcurl(&service, &["list"]);
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "tollgate.v1.AdminService",
    ];
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    let methods = grpcurl(&service, &["list", "tollgate.v1.AdminService"]);
    assert_eq!(methods.lines().count(), 11, "{methods}");
    assert!(
        grpcurl(&service, &["describe", "tollgate.v1.UpdateLimitRequest"])
            .contains("optional int64 max = 4;")
    );
    // Operators' port serves no callers, and callers' port no operators.
    let mut channel =
        Endpoint::from_shared(format!("http://{}", service.admin())).unwrap().connect().await.unwrap();
    let answer = raw::call(&mut channel, raw::SHOULD_RATE_LIMIT, &[], raw::framed(b"")).await;
    assert_eq!(answer.code, Code::Unimplemented);
    let mut channel =
        Endpoint::from_shared(format!("http://{}", service.grpc())).unwrap().connect().await.unwrap();
    let answer = raw::call(&mut channel, "/tollgate.v1.AdminService/ListLimits", &[], raw::framed(b"")).await;
    assert_eq!(answer.code, Code::Unimplemented);
}
