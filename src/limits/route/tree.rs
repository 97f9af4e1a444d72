//! Patterns as a tree, one node for each segment of a path.
//!
//! A search visits each node at most once, so no path can make it slow.

use smallvec::SmallVec;

use super::RouteId;
use super::pattern::Segment;
use crate::limits::by_name::ByName;

/// The patterns that go on behind the same segments.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    literals: ByName<Node>,
    capture: Option<Box<Node>>,
    rest: Ends,
    here: Ends,
}

/// The routes that end at one place of the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    by_method: Vec<(Box<[u8]>, RouteId)>,
    pub(super) any_method: Option<RouteId>,
}

/// What stands in the places of a pattern's captures, from the left.
pub(super) type Captured<'a> = SmallVec<[&'a [u8]; 4]>;

impl Node {
    /// Where `segments` end, which is made where it is not there yet; adds the names of what they capture.
    pub(super) fn walk(&mut self, segments: &[Segment], captures: &mut Vec<Box<str>>) -> &mut Ends {
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

    /// The route of `method` and a path of which `segments` are left; `None` behind its last segment.
    pub(super) fn find<'a>(
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
    pub(super) fn of_method(&mut self, method: &str, id: RouteId) -> &mut RouteId {
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
