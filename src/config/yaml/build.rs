//! From the parser's events to the tree, without recursion: what is open stands on a stack of bounded height.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::merge::close_map;
use super::repair::Repaired;
use super::{Document, Duplicate, InvalidYaml, Kind, Merging, Node, Style};
use crate::config::diagnostic::Position;

/// The most mappings and lists inside each other.
const MAX_DEPTH: usize = 64;
/// The most nodes that aliases may bring in, all together.
const MAX_ALIASED: usize = 100_000;

/// Reads the first document of `text`.
pub(super) fn document(text: &str, merging: Merging) -> Result<Document, InvalidYaml> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    refuse_control_characters(text)?;
    let mut repaired = Repaired::new(text);
    loop {
        match first_document(&repaired, merging) {
            Err(Refused::Syntax(error)) if repaired.repair(&error) => {}
            Err(Refused::Syntax(error)) => {
                return Err(syntax(text, repaired.position(*error.marker()), error.info()));
            }
            Err(Refused::Bounds(error)) => return Err(error),
            Ok(document) => return Ok(document),
        }
    }
}

/// Why there is no document.
enum Refused {
    Syntax(ScanError),
    Bounds(InvalidYaml),
}

fn first_document(text: &Repaired<'_>, merging: Merging) -> Result<Document, Refused> {
    let mut parser = Parser::new_from_str(text.text());
    let mut builder = Builder { merging, ..Builder::default() };
    let mut read = Document { root: None, documents: 0, duplicates: Vec::new() };
    let mut has_ended = false;
    while let Some(next) = parser.next_event() {
        let (event, span) = match next {
            Ok(next) => next,
            // What follows the first document is not read, so it cannot be wrong; but it is there.
            Err(_) if has_ended => {
                read.documents = read.documents.max(2);
                break;
            }
            Err(error) => return Err(Refused::Syntax(error)),
        };
        match event {
            Event::DocumentStart(_) => read.documents += 1,
            Event::DocumentEnd => has_ended = true,
            Event::StreamEnd => break,
            _ if read.documents > 1 => {}
            event => {
                let at = text.position(span.start);
                if let Some(root) = builder.take(event, at).map_err(Refused::Bounds)? {
                    read.root = Some(root);
                }
            }
        }
    }
    read.duplicates = builder.duplicates;
    Ok(read)
}

#[derive(Default)]
struct Builder {
    merging: Merging,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    duplicates: Vec<Duplicate>,
}

/// A list or mapping whose end has not come.
struct Open {
    at: Position,
    anchor: usize,
    kind: OpenKind,
    /// The height and number of the nodes in it so far.
    extent: Extent,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<(Node, Node)>, key: Option<Node> },
}

/// How large a tree is.
#[derive(Clone, Copy, Default)]
struct Extent {
    height: usize,
    nodes: usize,
}

struct Anchored {
    node: Node,
    extent: Extent,
}

impl Builder {
    /// Takes the next event; the root, when it is complete.
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<Option<Node>, InvalidYaml> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = style_of(style, tag.as_deref());
                let node = Node { at, kind: Kind::Scalar { text: text.into(), style } };
                Ok(self.place(node, anchor, Extent { height: 0, nodes: 1 }))
            }
            Event::Alias(anchor) => {
                let (node, extent) = self.alias(anchor, at)?;
                Ok(self.place(node, 0, extent))
            }
            Event::SequenceStart(anchor, _) => self.push(at, anchor, OpenKind::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.push(at, anchor, OpenKind::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(None),
        }
    }

    fn push(&mut self, at: Position, anchor: usize, kind: OpenKind) -> Result<Option<Node>, InvalidYaml> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, kind, extent: Extent::default() });
        Ok(None)
    }

    fn close(&mut self) -> Result<Option<Node>, InvalidYaml> {
        let Some(Open { at, anchor, kind, extent }) = self.open.pop() else { return Ok(None) };
        let kind = match kind {
            OpenKind::List(items) => Kind::List(items),
            OpenKind::Map { entries, .. } => {
                Kind::Map(close_map(entries, self.merging, &mut self.duplicates)?)
            }
        };
        let extent = Extent { height: extent.height + 1, nodes: extent.nodes + 1 };
        Ok(self.place(Node { at, kind }, anchor, extent))
    }

    /// Puts a complete node where it belongs; hands it back when it is the root.
    fn place(&mut self, node: Node, anchor: usize, extent: Extent) -> Option<Node> {
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), extent });
        }
        let Some(parent) = self.open.last_mut() else { return Some(node) };
        parent.extent.height = parent.extent.height.max(extent.height);
        parent.extent.nodes = parent.extent.nodes.saturating_add(extent.nodes);
        match &mut parent.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, key } => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(node),
            },
        }
        None
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(Node, Extent), InvalidYaml> {
        let anchored = self.anchors.get(&anchor).ok_or_else(|| InvalidYaml {
            at,
            message: "the alias stands inside what it refers to".to_owned(),
            fix: "write the value out",
        })?;
        self.aliased = self.aliased.saturating_add(anchored.extent.nodes);
        if self.aliased > MAX_ALIASED {
            return Err(InvalidYaml {
                at,
                message: format!("aliases bring in more than {MAX_ALIASED} nodes"),
                fix: "write fewer aliases of aliases",
            });
        }
        if self.open.len() + anchored.extent.height > MAX_DEPTH {
            return Err(too_deep(at));
        }
        Ok((anchored.node.clone(), anchored.extent))
    }
}

fn too_deep(at: Position) -> InvalidYaml {
    let message = format!("more than {MAX_DEPTH} mappings and lists stand inside each other");
    InvalidYaml { at, message, fix: "nest less" }
}

/// A tag of the core schema decides over the quotes; other tags mean nothing here.
fn style_of(style: ScalarStyle, tag: Option<&Tag>) -> Style {
    match tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix.as_str())) {
        Some((true, "str" | "binary")) => Style::Quoted,
        Some((true, "int" | "float" | "bool" | "null")) => Style::Plain,
        _ if style == ScalarStyle::Plain => Style::Plain,
        _ => Style::Quoted,
    }
}

/// The parser takes a NUL for the end of the text, and what follows would be lost.
fn refuse_control_characters(text: &str) -> Result<(), InvalidYaml> {
    for (index, line) in text.split('\n').enumerate() {
        let control = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\r');
        if let Some((column, found)) = line.chars().enumerate().find(|(_, c)| control(*c)) {
            let code = u32::from(found);
            return Err(InvalidYaml {
                at: Position { line: index + 1, column: column + 1 },
                message: format!("the control character U+{code:04X} does not belong in a text file"),
                fix: "remove it, or write it as an escape in double quotes",
            });
        }
    }
    Ok(())
}

fn syntax(text: &str, at: Position, info: &str) -> InvalidYaml {
    if info.contains("recursion limit") {
        return too_deep(at);
    }
    if let Some(at) = info.contains("tab").then(|| indenting_tab(text, at.line)).flatten() {
        let message = "a tab stands where YAML indents".to_owned();
        return InvalidYaml { at, message, fix: "indent with spaces" };
    }
    InvalidYaml { at, message: format!("this is not YAML: {info}"), fix: "correct it here or just above" }
}

/// The parser names the start of what the tab broke; this is the tab itself, on `line` or below.
fn indenting_tab(text: &str, line: usize) -> Option<Position> {
    text.lines().enumerate().skip(line.saturating_sub(1)).find_map(|(index, line)| {
        let indentation = line.chars().take_while(|c| matches!(c, ' ' | '\t'));
        let column = indentation.enumerate().find(|(_, c)| *c == '\t')?.0;
        Some(Position { line: index + 1, column: column + 1 })
    })
}
