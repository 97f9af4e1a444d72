//! YAML with places: the first document of a text as a tree whose every node knows its line and column.
//!
//! Scalars keep their literal text; what it means is asked for by type (`scalar`). Anchors, aliases and merge
//! keys are resolved here, within bounds, so no text can make the tree large or deep. Nothing is known of what
//! a file is about, and no input panics.

mod build;
mod merge;
mod repair;
mod scalar;

use super::diagnostic::Position;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it begins. What an alias brings in stays where it was written.
    pub at: Position,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A single value; an absent value is plain and empty.
    Scalar {
        /// Its text, quotes and escapes resolved.
        text: Box<str>,
        /// How it was written.
        style: Style,
    },
    /// A sequence.
    List(Vec<Node>),
    /// Keys and values in file order. A key stands once: of duplicates the last is kept.
    Map(Vec<(Node, Node)>),
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: it may be a number, a truth value or null.
    Plain,
    /// In quotes, as a block, or tagged as a string: always a text.
    Quoted,
}

/// The first document of a text.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its root; `None` where the text holds no document.
    pub root: Option<Node>,
    /// How many documents the text holds; those after the first are not read.
    pub documents: usize,
    /// Keys that stand twice in one mapping.
    pub duplicates: Vec<Duplicate>,
}

/// A key that stands twice in one mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The key.
    pub key: Box<str>,
    /// Where it stands first.
    pub first: Position,
    /// Where it stands again.
    pub again: Position,
}

/// Why a text is no YAML, or none that is read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidYaml {
    /// Where.
    pub at: Position,
    /// What is wrong.
    pub message: String,
    /// What to write instead; may be empty.
    pub fix: &'static str,
}

/// Which value a mapping has for a key that stands in it and in what `<<` merges into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merging {
    /// Its own: what YAML says.
    #[default]
    OwnWins,
    /// The one that stands further down: what Go's yaml.v2 does.
    LastWins,
}

/// Reads the first document of `text`.
///
/// # Errors
///
/// The first place at which the text is not YAML, or beyond the bounds on depth and on what aliases bring in.
pub fn parse(text: &str) -> Result<Document, InvalidYaml> {
    parse_merging(text, Merging::OwnWins)
}

/// [`parse`], with a say in what `<<` does.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_merging(text: &str, merging: Merging) -> Result<Document, InvalidYaml> {
    build::document(text, merging)
}

impl Node {
    /// What it is, for messages: `a list`, `the number 5`, `the text 'x'`.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
            Kind::Scalar { .. } if self.is_null() => "empty".to_owned(),
            Kind::Scalar { text, .. } => format!("'{}'", super::diagnostic::shorten(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Document, InvalidYaml, Kind, Merging, Node, parse, parse_merging};
    use crate::config::diagnostic::Position;

    fn read(text: &str) -> Document {
        parse(text).unwrap_or_else(|error| panic!("{text:?}: {} at {}", error, error.at))
    }

    fn refused(text: &str) -> InvalidYaml {
        parse(text).expect_err(text)
    }

    /// A tree in one line, for comparing.
    fn flat(node: &Node) -> String {
        match &node.kind {
            Kind::Scalar { text, .. } => text.to_string(),
            Kind::List(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(" ")),
            Kind::Map(entries) => {
                let entries: Vec<_> =
                    entries.iter().map(|(key, value)| format!("{}={}", flat(key), flat(value))).collect();
                format!("{{{}}}", entries.join(" "))
            }
        }
    }

    #[test]
    fn merges_own_or_last() {
        for (text, own, last) in [
            ("{a: 1, <<: {a: 2, b: 3}}", "{a=1 b=3}", "{a=2 b=3}"),
            ("{<<: {a: 2, b: 3}, a: 1}", "{b=3 a=1}", "{a=1 b=3}"),
            ("{<<: [{a: 1}, {a: 2, b: 3}]}", "{a=1 b=3}", "{a=1 b=3}"),
            ("{<<: {a: 1}, a: 2, <<: {a: 3}}", "{a=2}", "{a=3}"),
        ] {
            for (merging, expected) in [(Merging::OwnWins, own), (Merging::LastWins, last)] {
                let root = parse_merging(text, merging).unwrap_or_else(|error| panic!("{error}")).root;
                assert_eq!(flat(&root.unwrap()), expected, "{text} {merging:?}");
            }
        }
        let twice = parse_merging("{a: 1, <<: {a: 2}, a: 3}", Merging::LastWins).unwrap();
        assert_eq!(twice.duplicates.len(), 1);
    }

    #[test]
    fn reads_trees() {
        for (text, expected) in [
            ("a: 1\nb: [x, 'y z']\nc:\n- d: e\n", "{a=1 b=[x y z] c=[{d=e}]}"),
            ("\u{feff}a: 1\r\nb: 2\r\n", "{a=1 b=2}"),
            ("a: &x {k: v}\nb: *x\n", "{a={k=v} b={k=v}}"),
            ("base: &b {k: v, l: w}\nown: {<<: *b, k: mine}\n", "{base={k=v l=w} own={l=w k=mine}}"),
            ("x: &x {k: 1}\ny: &y {k: 2, m: 3}\nz: {<<: [*x, *y]}\n", "{x={k=1} y={k=2 m=3} z={k=1 m=3}}"),
            ("'<<': 1\n", "{<<=1}"),
            ("a:\nb: ~\n", "{a= b=~}"),
            ("first\n---\nsecond\n", "first"),
            ("a: 1\n---\n\tb: [\n", "{a=1}"),
            ("a:\n  b: [\nx,\n{c: d\n}\n]\n  e: f\n", "{a={b=[x {c=d}] e=f}}"),
            ("a:\n- - - - b: {\nc: d}\n", "{a=[[[[{b={c=d}}]]]]}"),
            ("a:\tb\nc:\t\td\n", "{a=b c=d}"),
        ] {
            let document = read(text);
            assert_eq!(flat(&document.root.unwrap()), expected, "{text:?}");
        }
    }

    #[test]
    fn counts_documents() {
        for (text, documents) in
            [("", 0), ("# nothing\n", 0), ("a", 1), ("---\na\n---\nb\n...\n", 2), ("a: 1\n...\n]\n", 2)]
        {
            let document = read(text);
            assert_eq!((document.documents, document.root.is_some()), (documents, documents > 0), "{text:?}");
        }
    }

    #[test]
    fn knows_places() {
        let root = read("# é\nouter:\n  inner: [1,  two]\n").root.unwrap();
        let inner = &root.as_map().unwrap()[0].1.as_map().unwrap()[0];
        assert_eq!(inner.0.at, Position { line: 3, column: 3 });
        assert_eq!(inner.1.as_list().unwrap()[1].at, Position { line: 3, column: 15 });
    }

    #[test]
    fn finds_keys_that_stand_twice() {
        let document = read("a: 1\nb: {c: 1, c: 2}\na: 3\n");
        let found: Vec<_> = document
            .duplicates
            .iter()
            .map(|double| (&*double.key, double.first.line, double.again.line))
            .collect();
        assert_eq!(found, [("c", 2, 2), ("a", 1, 3)]);
        assert_eq!(flat(&document.root.unwrap()), "{a=3 b={c=2}}");
    }

    #[test]
    fn refuses_with_a_place() {
        for (text, line, column) in [
            ("a: 1\n\tb: 2\n", 2, 1),
            ("a:\n  b: 1\n c: 2\n", 3, 2),
            ("a: [1, 2\n", 2, 1),
            ("a: \"open\n", 1, 4),
            ("a: *nobody\n", 1, 4),
            ("a: &a [*a]\n", 1, 8),
            ("a: {<<: 5}\n", 1, 9),
            ("ok: 1\nbad: \u{0}\n", 2, 6),
            ("a: b: c\n", 1, 5),
            ("one\ntwo: three\n", 2, 4),
        ] {
            let error = refused(text);
            assert_eq!((error.at.line, error.at.column), (line, column), "{text:?}: {error}");
        }
    }

    #[test]
    fn bounds_hold() {
        let bomb: String = (1..20)
            .map(|level| {
                let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
                format!("a{level}: &a{level} [{aliases}]\n")
            })
            .collect();
        assert!(refused(&format!("a0: &a0 x\n{bomb}")).message.contains("aliases bring in"));
        assert!(refused(&"[".repeat(100_000)).message.contains("inside each other"));
        assert!(refused(&"- ".repeat(100_000)).message.contains("inside each other"));
        assert!(read(&format!("{}{}", "[".repeat(64), "]".repeat(64))).root.is_some());
        let ladder: String = (1..100).map(|level| format!("- &a{level} [*a{}]\n", level - 1)).collect();
        assert!(refused(&format!("- &a0 x\n{ladder}")).message.contains("inside each other"));
    }
}
