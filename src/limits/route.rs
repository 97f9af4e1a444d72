//! Which call is charged to which limits: named routes and path patterns.
//!
//! Patterns are compared from the left, segment by segment: a literal beats `{x}`, `{x}` beats a trailing
//! `*`; between equal paths a pattern with a method beats one without. Bytes are exact. A search visits each
//! node of the tree at most once, so no path can make it slow.

use smallvec::SmallVec;

use super::by_name::ByName;
use super::limit::LimitId;

/// Which route of its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub usize);

/// The routes of a domain.
#[derive(Debug, Default)]
pub struct Routes {
    /// The limits of `"*"`, charged once a call.
    pub every: Vec<LimitId>,
    routes: Vec<Route>,
    by_name: ByName<RouteId>,
    root: Node,
}

#[derive(Debug)]
struct Route {
    name: Box<str>,
    limits: Vec<LimitId>,
    /// The limits of `"*"` that are not among its own.
    every: Vec<LimitId>,
    captures: Vec<Box<str>>,
}

#[derive(Debug, Default)]
struct Node {
    literals: ByName<Node>,
    capture: Option<Box<Node>>,
    rest: Ends,
    here: Ends,
}

/// The routes that end at one place of the tree.
#[derive(Debug, Default)]
struct Ends {
    by_method: Vec<(Box<[u8]>, RouteId)>,
    any_method: Option<RouteId>,
}

/// A route's key as written: a name, or `[METHOD ]/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// A route that a caller names.
    Name(Box<str>),
    /// A route found by method and path.
    Path {
        /// The method it takes; any when absent.
        method: Option<Box<str>>,
        /// The segments between the slashes.
        segments: Vec<Segment>,
    },
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// These bytes.
    Literal(Box<str>),
    /// Any one segment, which becomes an entry of this name.
    Capture(Box<str>),
    /// All that follows; only at the end.
    Rest,
}

/// What the pattern of a route captured of a path: names and values, from the left.
pub type Captures<'a> = SmallVec<[(&'a [u8], &'a [u8]); 2]>;

/// What stands in the places of a pattern's captures, from the left.
type Captured<'a> = SmallVec<[&'a [u8]; 4]>;

/// Why a text is no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// The part before the space is no HTTP method.
    #[error("'{0}' is not a method; write routes as POST /path, /path, or a plain name")]
    Method(String),
    /// Something between a slash and the next that is neither literal, `{name}` nor a final `*`.
    #[error("'{0}' is not a path segment; write a literal, {{name}}, or * at the end")]
    Segment(String),
    /// Two captures of one pattern have the same name.
    #[error("'{{{0}}}' stands twice; give each capture its own name")]
    CaptureTwice(String),
    /// Another route catches exactly the same calls.
    #[error("it catches the same calls as '{0}'; keep one of them")]
    Same(String),
}

impl Pattern {
    /// Reads a route's key.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let (method, path) = match text.split_once(' ') {
            Some((method, path)) if path.starts_with('/') => (Some(method), path),
            _ if text.starts_with('/') => (None, text),
            Some((method, _)) => return Err(InvalidPattern::Method(method.to_owned())),
            None => return Ok(Self::Name(text.into())),
        };
        if let Some(method) = method.filter(|method| !is_method(method)) {
            return Err(InvalidPattern::Method(method.to_owned()));
        }
        let mut segments = Vec::new();
        let mut parts = path[1..].split('/').peekable();
        while let Some(part) = parts.next() {
            let segment = Segment::parse(part)?;
            if segment == Segment::Rest && parts.peek().is_some() {
                return Err(InvalidPattern::Segment(part.to_owned()));
            }
            if let Segment::Capture(name) = &segment
                && segments.contains(&segment)
            {
                return Err(InvalidPattern::CaptureTwice(name.to_string()));
            }
            segments.push(segment);
        }
        Ok(Self::Path { method: method.map(Into::into), segments })
    }
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

impl Segment {
    fn parse(part: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern::Segment(part.to_owned());
        if part == "*" {
            return Ok(Self::Rest);
        }
        if let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let plain = !name.is_empty() && !name.contains(['{', '}', '*']);
            return if plain { Ok(Self::Capture(name.into())) } else { Err(invalid()) };
        }
        if part.contains(['*', '{', '}', '?', ' ']) { Err(invalid()) } else { Ok(Self::Literal(part.into())) }
    }
}

impl Routes {
    /// Adds the route written `text`, charged to `limits`. `"*"` sets the limits of every call.
    pub fn insert(&mut self, text: &str, limits: Vec<LimitId>) -> Result<(), InvalidPattern> {
        if text == "*" {
            self.every = limits;
            let every = &self.every;
            self.routes.iter_mut().for_each(|route| route.every = beside(&route.limits, every));
            return Ok(());
        }
        let pattern = Pattern::parse(text)?;
        let id = RouteId(self.routes.len());
        let mut captures = Vec::new();
        if let Pattern::Path { method, segments } = pattern {
            let ends = self.root.walk(&segments, &mut captures);
            let slot = match method {
                Some(method) => ends.of_method(&method, id),
                None => ends.any_method.get_or_insert(id),
            };
            if *slot != id {
                return Err(InvalidPattern::Same(self.routes[slot.0].name.to_string()));
            }
        }
        self.by_name.insert(text.as_bytes().into(), id);
        let every = beside(&limits, &self.every);
        self.routes.push(Route { name: text.into(), limits, every, captures });
        Ok(())
    }

    /// The limits charged by the route `id`, in the order written.
    pub fn limits(&self, id: RouteId) -> &[LimitId] {
        &self.routes[id.0].limits
    }

    /// The limits of `"*"` that the route `id` does not list itself; all of them where no route was found.
    pub fn every_beside(&self, id: Option<RouteId>) -> &[LimitId] {
        id.map_or(&self.every, |id| &self.routes[id.0].every)
    }

    /// The route's key as written.
    pub fn name(&self, id: RouteId) -> &str {
        &self.routes[id.0].name
    }

    /// The route that a caller names: a named route, or a pattern by its own text.
    pub fn named(&self, name: &[u8]) -> Option<RouteId> {
        self.by_name.get(name).copied()
    }

    /// The one route that a call with this method and path takes, and what its pattern captured.
    pub fn find<'a>(&'a self, method: &[u8], path: &'a [u8]) -> Option<(RouteId, Captures<'a>)> {
        let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
        let segments = path[..end].strip_prefix(b"/")?;
        let mut captured = Captured::new();
        let id = self.root.find(method, Some(segments), &mut captured)?;
        let names = self.routes[id.0].captures.iter().map(|name| name.as_bytes());
        Some((id, names.zip(captured).collect()))
    }
}

fn beside(limits: &[LimitId], every: &[LimitId]) -> Vec<LimitId> {
    every.iter().filter(|id| !limits.contains(id)).copied().collect()
}

impl Node {
    fn walk(&mut self, segments: &[Segment], captures: &mut Vec<Box<str>>) -> &mut Ends {
        match segments.split_first() {
            None => &mut self.here,
            Some((Segment::Rest, _)) => &mut self.rest,
            Some((Segment::Literal(text), rest)) => {
                self.literals.entry(text.as_bytes().into()).or_default().walk(rest, captures)
            }
            Some((Segment::Capture(name), rest)) => {
                captures.push(name.clone());
                self.capture.get_or_insert_default().walk(rest, captures)
            }
        }
    }

    /// `segments` is what is left of the path; `None` behind its last segment.
    fn find<'a>(
        &self,
        method: &[u8],
        segments: Option<&'a [u8]>,
        captured: &mut Captured<'a>,
    ) -> Option<RouteId> {
        let Some(segments) = segments else {
            return self.here.pick(method);
        };
        let (first, rest) = split(segments);
        if let Some(id) = self.literals.get(first).and_then(|node| node.find(method, rest, captured)) {
            return Some(id);
        }
        if let Some(node) = &self.capture {
            captured.push(first);
            if let Some(id) = node.find(method, rest, captured) {
                return Some(id);
            }
            captured.pop();
        }
        self.rest.pick(method)
    }
}

/// The first segment, and those behind its slash.
fn split(segments: &[u8]) -> (&[u8], Option<&[u8]>) {
    match segments.iter().position(|byte| *byte == b'/') {
        Some(slash) => (&segments[..slash], Some(&segments[slash + 1..])),
        None => (segments, None),
    }
}

impl Ends {
    /// The place of the route for `method`, taken by `id` if it is free.
    fn of_method(&mut self, method: &str, id: RouteId) -> &mut RouteId {
        let index = self.index_of(method.as_bytes()).unwrap_or_else(|| {
            self.by_method.push((method.as_bytes().into(), id));
            self.by_method.len() - 1
        });
        &mut self.by_method[index].1
    }

    fn index_of(&self, method: &[u8]) -> Option<usize> {
        self.by_method.iter().position(|(known, _)| **known == *method)
    }

    fn pick(&self, method: &[u8]) -> Option<RouteId> {
        self.index_of(method).map(|index| self.by_method[index].1).or(self.any_method)
    }
}

#[cfg(test)]
mod tests {
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
}
