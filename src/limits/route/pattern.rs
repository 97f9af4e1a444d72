//! A route's key, as it is read: a name, or a method and the segments of a path.
//!
//! Text to values; which of several patterns a call takes is decided by the tree of them.

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
