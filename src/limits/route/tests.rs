//! Which route a call takes, and which texts are none.

use super::{InvalidPattern, Routes};
use crate::limits::LimitId;

fn routes(patterns: &[&str]) -> Routes {
    let mut routes = Routes::default();
    for (index, pattern) in patterns.iter().enumerate() {
        routes.insert(pattern, vec![LimitId(index)]).unwrap();
    }
    routes
}

fn found<'r>(routes: &'r Routes, method: &str, path: &str) -> Option<(&'r str, Vec<String>)> {
    let (id, captures) = routes.find(method.as_bytes(), path.as_bytes())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let captures = captures.iter().map(|(name, value)| format!("{}={}", text(name), text(value)));
    Some((routes.name(id), captures.collect()))
}

#[test]
fn the_most_specific_pattern_from_the_left_wins() {
    let routes = routes(&[
        "/agent/*",
        "POST /agent/chat",
        "/agent/{id}",
        "/{any}/chat",
        "GET /a/{x}/c",
        "/a/*",
        "/a/b",
        "/",
        "PUT /a/b",
        "POST /kits/{kit}/logos/{logo}",
    ]);
    type Found = Option<(&'static str, &'static [&'static str])>;
    let cases: [(&str, &str, Found); 17] = [
        ("POST", "/agent/chat", Some(("POST /agent/chat", &[]))),
        ("GET", "/agent/chat", Some(("/agent/{id}", &["id=chat"]))),
        ("GET", "/agent/x/y", Some(("/agent/*", &[]))),
        ("GET", "/agent/", Some(("/agent/{id}", &["id="]))),
        ("GET", "/agent", None),
        ("GET", "/other/chat", Some(("/{any}/chat", &["any=other"]))),
        ("GET", "/a/b/c", Some(("GET /a/{x}/c", &["x=b"]))),
        ("POST", "/a/b/c", Some(("/a/*", &[]))),
        ("PUT", "/a/b", Some(("PUT /a/b", &[]))),
        ("GET", "/a/b", Some(("/a/b", &[]))),
        ("GET", "/a/b?c=/d", Some(("/a/b", &[]))),
        ("GET", "/A/b", None),
        ("GET", "/", Some(("/", &[]))),
        ("GET", "/?x", Some(("/", &[]))),
        ("GET", "", None),
        ("OPTIONS", "*", None),
        (
            "POST",
            "/kits/a%2Fb/logos/\u{e9}",
            Some(("POST /kits/{kit}/logos/{logo}", &["kit=a%2Fb", "logo=é"])),
        ),
    ];
    for (method, path, expected) in cases {
        let expected =
            expected.map(|(name, captures)| (name, captures.iter().map(ToString::to_string).collect()));
        assert_eq!(found(&routes, method, path), expected, "{method} {path}");
    }
}

#[test]
fn a_search_that_fails_deep_down_comes_back_up() {
    let routes = routes(&["/a/b/c", "/a/{x}/d", "/{y}/*"]);
    assert_eq!(found(&routes, "GET", "/a/b/d"), Some(("/a/{x}/d", vec!["x=b".to_owned()])));
    assert_eq!(found(&routes, "GET", "/a/b/e"), Some(("/{y}/*", vec!["y=a".to_owned()])));
}

#[test]
fn a_route_lists_no_limit_of_every_call_twice() {
    let ids = |ids: &[usize]| ids.iter().copied().map(LimitId).collect::<Vec<_>>();
    for star_at in [0, 1, 2] {
        let mut written = vec![("/a", ids(&[1, 0])), ("b", ids(&[]))];
        written.insert(star_at, ("*", ids(&[0, 2])));
        let mut routes = Routes::default();
        written.into_iter().for_each(|(text, limits)| routes.insert(text, limits).unwrap());
        let beside = |route| routes.every_beside(route).to_vec();
        let found = routes.find(b"GET", b"/a").map(|(id, _)| id);
        assert_eq!((beside(found), beside(routes.named(b"b"))), (ids(&[2]), ids(&[0, 2])), "{star_at}");
        assert_eq!(beside(None), ids(&[0, 2]));
    }
}

#[test]
fn a_route_is_found_by_its_own_text() {
    let routes = routes(&["llm", "POST /generate"]);
    assert_eq!(routes.named(b"llm").map(|id| routes.name(id)), Some("llm"));
    assert_eq!(routes.named(b"POST /generate").map(|id| routes.name(id)), Some("POST /generate"));
    assert_eq!(routes.named(b"*"), None);
}

#[test]
fn refuses_what_is_no_route() {
    let insert = |patterns: &[&str]| {
        let mut routes = Routes::default();
        patterns.iter().try_for_each(|pattern| routes.insert(pattern, vec![])).unwrap_err()
    };
    for segment in ["*a", "{", "{}", "a*", "{a}b", "{a*}"] {
        assert_eq!(insert(&[&format!("/x/{segment}")]), InvalidPattern::Segment(segment.to_owned()));
    }
    assert_eq!(insert(&["/x/*/y"]), InvalidPattern::Segment("*".to_owned()));
    assert_eq!(insert(&["post /x"]), InvalidPattern::Method("post".to_owned()));
    assert_eq!(insert(&["two words"]), InvalidPattern::Method("two".to_owned()));
    assert_eq!(insert(&["/{a}/{a}"]), InvalidPattern::CaptureTwice("a".to_owned()));
    assert_eq!(insert(&["/x/{a}", "/x/{b}"]), InvalidPattern::Same("/x/{a}".to_owned()));
    assert_eq!(insert(&["GET /x", "GET /x"]), InvalidPattern::Same("GET /x".to_owned()));
}
