//! Which call is charged to which limits: named routes and path patterns.
//!
//! Patterns are compared from the left, segment by segment: a literal beats `{x}`, `{x}` beats a trailing
//! `*`; between equal paths a pattern with a method beats one without. Bytes are exact.

mod pattern;
mod tree;

use smallvec::SmallVec;

use super::by_name::ByName;
use super::limit::LimitId;

pub use pattern::{InvalidPattern, Pattern, Segment};
use tree::{Captured, Node};

/// Which route of its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub usize);

/// The routes of a domain.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// The limits of `"*"`, charged once a call.
    pub every: Vec<LimitId>,
    routes: Vec<Route>,
    by_name: ByName<RouteId>,
    root: Node,
}

#[derive(Clone, Debug)]
struct Route {
    name: Box<str>,
    limits: Vec<LimitId>,
    /// The limits of `"*"` that are not among its own.
    every: Vec<LimitId>,
    captures: Vec<Box<str>>,
}

/// What the pattern of a route captured of a path: names and values, from the left.
pub type Captures<'a> = SmallVec<[(&'a [u8], &'a [u8]); 2]>;

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

    /// Every route's key as written, but for that of the limits of every call.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| &*route.name)
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

#[cfg(test)]
mod tests;
