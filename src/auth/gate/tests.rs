//! Who is let in, who is not, and what is told of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::token::Token;
use super::*;
use crate::audit::Role;
use crate::clock::{Micros, Timestamp};

const NOW: Timestamp = Timestamp(1_795_262_400_000_000);

struct House {
    gate: Gate,
    denials: Denials,
    clock: Clock,
    tokens: [Token; 2],
}

/// A gate for Ann, who may look, and for Bob, who may do everything for a minute.
fn house() -> House {
    let tokens = [(); 2].map(|()| Token::draw().unwrap());
    let clock = Clock::manual(NOW);
    let end = NOW.plus(Micros::from_secs(60));
    let entries = [
        TokenEntry::of(&tokens[0], "ann", Role::Viewer, None).unwrap(),
        TokenEntry::of(&tokens[1], "bob", Role::Admin, Some(end)).unwrap(),
    ];
    let (gate, denials) = Gate::new(entries, clock.clone());
    House { gate, denials, clock, tokens }
}

impl House {
    fn sent(&self, authorization: &[&str], target: &str) -> Result<Actor, Refusal> {
        let authorization: Vec<&[u8]> = authorization.iter().map(|header| header.as_bytes()).collect();
        let from = Some([192, 0, 2, 1].into());
        self.gate.admit(&Caller { authorization: &authorization, certificate: &[], target, from })
    }

    /// What was told since this was last asked.
    fn told(&mut self) -> Vec<Denial> {
        std::iter::from_fn(|| self.denials.try_recv().ok()).collect()
    }

    fn ann(&self) -> Result<Actor, Refusal> {
        self.sent(&[&format!("Bearer {}", self.tokens[0].as_str())], "/usage")
    }
}

#[test]
fn who_is_known_is_let_in_by_name() {
    let house = house();
    let [ann, bob] = house.tokens.each_ref().map(Token::as_str);
    for (header, name, role) in [
        (format!("Bearer {ann}"), "ann", Role::Viewer),
        (format!("bearer   {ann} "), "ann", Role::Viewer),
        (format!("BEARER {bob}"), "bob", Role::Admin),
    ] {
        let actor = house.sent(&[&header], "/usage?domain=shop").unwrap();
        assert_eq!((&*actor.name, actor.role), (name, role));
        assert_eq!(actor.from, Some([192, 0, 2, 1].into()));
    }
}

#[test]
fn everybody_else_is_told_why_not() {
    let house = house();
    let [ann, bob] = house.tokens.each_ref().map(Token::as_str);
    let wrong = Token::draw().unwrap();
    house.clock.advance(Micros::from_secs(60));
    let right = format!("Bearer {ann}");
    for (authorization, target, name) in [
        (vec![], "/usage", "missing"),
        (vec![""], "/usage", "malformed"),
        (vec!["Bearer"], "/usage", "malformed"),
        (vec!["Basic YTpi"], "/usage", "malformed"),
        (vec!["Bearer swordfish"], "/usage", "malformed"),
        (vec![ann], "/usage", "malformed"),
        (vec![&right, &right], "/usage", "malformed"),
        (vec![&format!("Bearer {}", wrong.as_str())], "/usage", "unknown"),
        (vec![&format!("Bearer {bob}")], "/usage", "expired"),
        (vec![&right], "/usage?token=x", "in_url"),
    ] {
        let refusal = house.sent(&authorization, target).unwrap_err();
        assert_eq!(refusal.name(), name, "{authorization:?}");
        assert!(!refusal.to_string().contains("swordfish"));
    }
}

#[test]
fn guesses_are_put_off_and_nobody_else_is() {
    let mut house = house();
    let wrong = format!("Bearer {}", Token::draw().unwrap().as_str());
    let names: Vec<&str> = (0..10_000).map(|_| house.sent(&[&wrong], "/usage").unwrap_err().name()).collect();
    assert!(names[..10].iter().all(|name| *name == "unknown"));
    assert!(names[10..].iter().all(|name| *name == "too_many"));
    assert!(house.ann().is_ok(), "who has the right token is let in from the same address");
    house.clock.advance(Micros::from_secs(60));
    house.gate.sweep();
    let told: Vec<u64> =
        std::iter::from_fn(|| house.denials.try_recv().ok()).map(|denial| denial.times).collect();
    assert_eq!(told, [1, 9_999]);
    assert_eq!(house.sent(&[&wrong], "/usage").unwrap_err().name(), "unknown", "a minute later");
}

#[test]
fn a_role_may_what_its_actions_need() {
    let mut house = house();
    let actor = |role| Actor { name: "ann".into(), role, from: None };
    for action in Action::ALL {
        for role in Role::ALL {
            let permitted = house.gate.permit(&actor(role), action);
            assert_eq!(permitted.is_ok(), role >= least_role(action), "{role} {action:?}");
        }
    }
    let refused = house.gate.permit(&actor(Role::Viewer), Action::SetBreaker).unwrap_err();
    assert_eq!(refused.to_string(), "set_breaker: needs the role operator, and ann has the role viewer");
    let refused = house.gate.permit(&actor(Role::Viewer), Action::UpdateLimit).unwrap_err();
    let text = "update_limit: needs the role admin, or operator for one subject, and ann has the role viewer";
    assert_eq!(refused.to_string(), text);
    let refused = house.gate.permit(&actor(Role::Operator), Action::ResetAll).unwrap_err();
    let text = "reset_user: needs the role admin to reset what all share, and ann has the role operator";
    assert_eq!(refused.to_string(), text);
    let told: Vec<(Option<Actor>, u64)> = (house.told().into_iter())
        .filter(|denial| denial.refused.action == Action::SetBreaker)
        .map(|denial| (denial.refused.actor, denial.times))
        .collect();
    assert_eq!(told, [(Some(actor(Role::Viewer)), 1)]);
}

#[test]
fn whose_token_it_is_that_lets_nobody_in_is_told_and_only_that() {
    let mut house = house();
    let [ann, bob] = house.tokens.each_ref().map(|token| token.as_str().to_owned());
    let escaped = ann.replace("tg_", "%74g%5f");
    house.clock.advance(Micros::from_secs(60));
    for (header, target) in [
        (Some(&bob), "/usage".to_owned()),
        (None, format!("/usage?token={ann}")),
        (Some(&ann), format!("/admin/rate-limits/usage/{escaped}")),
        (None, format!("/usage/{bob}")),
        (None, "/usage?token=x".to_owned()),
    ] {
        let header = header.map(|token| format!("Bearer {token}"));
        house.sent(&header.iter().map(String::as_str).collect::<Vec<_>>(), &target).unwrap_err();
    }
    let told = house.told();
    let shown = format!("{told:?}");
    assert!(!shown.contains(&ann[3..15]) && !shown.contains(&bob[3..15]), "{shown}");
    let told: Vec<_> = told
        .iter()
        .map(|denial| {
            (
                denial.refused.why,
                denial.refused.holder.as_ref().map(|holder| &*holder.name),
                denial.gives_away(),
            )
        })
        .collect();
    let expected = [
        ("expired", Some("bob"), None),
        ("in_url", Some("ann"), Some("ann")),
        ("in_url", Some("bob"), None),
        ("in_url", None, None),
    ];
    assert_eq!(told, expected, "the second of ann's is told a minute later");
}

#[test]
fn what_could_not_be_written_down_is_told_again() {
    let mut house = house();
    house.sent(&[], "/usage").unwrap_err();
    let [denial] = &house.told()[..] else { panic!("one") };
    house.gate.put_back(denial.clone());
    house.gate.sweep();
    assert_eq!(house.told(), []);
    house.clock.advance(Micros::from_secs(60));
    house.gate.sweep();
    assert_eq!(house.told(), std::slice::from_ref(denial));
}

#[test]
fn a_certificate_says_who_it_is_and_a_token_beside_it_what_is_meant() {
    let token = Token::draw().unwrap();
    let ann = TokenEntry::of(&token, "ann", Role::Viewer, None).unwrap();
    let entry = |text| CertificateEntry::read(text).unwrap();
    let certificates =
        vec![entry("bob:operator:bob.example.org"), entry("cid:admin:spiffe://example.org/cid")];
    let (gate, _denials) = Gate::knowing([ann], certificates, Clock::manual(NOW));
    let [bob, cid, dan] = [
        SubjectName::dns("bob.example.org"),
        SubjectName::uri("spiffe://example.org/cid"),
        SubjectName::dns("dan.example.org"),
    ];
    let (right, wrong) = (format!("Bearer {}", token.as_str()), "Bearer swordfish".to_owned());
    let who = |certificate: &[SubjectName], header: Option<&String>| {
        let sent: Vec<&[u8]> = header.map(|header| header.as_bytes()).into_iter().collect();
        let caller = Caller { authorization: &sent, certificate, target: "/usage", from: None };
        gate.admit(&caller).map(|actor| actor.name.into_string()).map_err(|refusal| refusal.name())
    };
    assert_eq!(who(std::slice::from_ref(&bob), None), Ok("bob".to_owned()));
    assert_eq!(
        who(&[dan.clone(), cid.clone(), bob], None),
        Ok("bob".to_owned()),
        "the first that is configured"
    );
    assert_eq!(who(&[dan], None), Err("unknown"));
    assert_eq!(who(&[], None), Err("missing"));
    assert_eq!(who(std::slice::from_ref(&cid), Some(&right)), Ok("ann".to_owned()));
    assert_eq!(who(&[cid], Some(&wrong)), Err("malformed"));
}

#[test]
fn tokens_are_exchanged_at_once() {
    let house = house();
    assert!(house.ann().is_ok());
    house.gate.exchange([]);
    assert_eq!(house.ann(), Err(Refusal::Unknown));
}

#[test]
fn nothing_of_a_token_is_shown_by_accident() {
    let house = house();
    assert_eq!(format!("{:?}", house.gate), "Gate(Tokens(2))");
}

#[test]
fn all_domains_are_gone_through_for_a_record_and_not_for_each_call() {
    let token = Token::draw().unwrap();
    let till = TokenEntry::of(&token, "till", Domains::read("shop").unwrap(), None).unwrap();
    let (gate, mut denials) = Gate::new([till], Clock::manual(NOW));
    let walks = Arc::new(AtomicUsize::new(0));
    let counted = walks.clone();
    gate.find_domains(move |meant| match meant {
        Meant::Named(name) => (name == b"blog").then(|| "blog".into()),
        Meant::Such(is_it) => {
            counted.fetch_add(1, Ordering::Relaxed);
            is_it(b"wiki").then(|| "wiki".into())
        }
    });
    let header = format!("Bearer {}", token.as_str());
    let caller = Caller { authorization: &[header.as_bytes()], ..Caller::default() };
    let pass = gate.enter(&caller).unwrap();
    assert_eq!((pass.permit(b"shop"), pass.permit_where(|name| name == b"shop")), (Ok(()), Ok(())));
    for _ in 0..5 {
        pass.permit_where(|name| name == b"wiki").unwrap_err();
        for domain in [&b"blog"[..], b"somebody"] {
            pass.permit(domain).unwrap_err();
        }
    }
    let told = std::iter::from_fn(|| denials.try_recv().ok());
    let told: Vec<_> = told.map(|denial| denial.refused.attempt.domain).collect();
    assert_eq!(told, [Some("wiki".into()), Some("blog".into())]);
    assert_eq!(walks.load(Ordering::Relaxed), 1);
}
