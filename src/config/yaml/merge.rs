//! The end of a mapping: keys that stand twice are found, merge keys (`<<`) are resolved.

use std::collections::{HashMap, HashSet};

use super::{Duplicate, InvalidYaml, Kind, Merging, Node, Style};

type Entries = Vec<(Node, Node)>;

/// The entries of a mapping that has ended: of keys that stand twice the last, and what `<<` brings in for
/// keys that the mapping has not itself. The earlier of several merged mappings wins.
///
/// [`Merging::LastWins`] lets what `<<` brings in win over what the mapping says before it.
pub(super) fn close_map(
    entries: Entries,
    merging: Merging,
    duplicates: &mut Vec<Duplicate>,
) -> Result<Entries, InvalidYaml> {
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return Ok(without_duplicates(entries, duplicates));
    }
    match merging {
        Merging::OwnWins => own_wins(without_duplicates(entries, duplicates)),
        Merging::LastWins => last_wins(entries, duplicates),
    }
}

fn own_wins(entries: Entries) -> Result<Entries, InvalidYaml> {
    let mut taken: HashSet<Box<str>> =
        entries.iter().filter(|(key, _)| !is_merge(key)).filter_map(|(key, _)| owned(key)).collect();
    let mut merged = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if !is_merge(&key) {
            merged.push((key, value));
            continue;
        }
        for source in sources(value)? {
            merged
                .extend(source.into_iter().filter(|(key, _)| owned(key).is_none_or(|key| taken.insert(key))));
        }
    }
    Ok(merged)
}

fn last_wins(entries: Entries, duplicates: &mut Vec<Duplicate>) -> Result<Entries, InvalidYaml> {
    let mut spread = Vec::with_capacity(entries.len());
    let mut own = Vec::new();
    for (key, value) in entries {
        if is_merge(&key) {
            spread.extend(sources(value)?.into_iter().rev().flatten());
        } else {
            own.push((key.clone(), value.clone()));
            spread.push((key, value));
        }
    }
    without_duplicates(own, duplicates);
    Ok(without_duplicates(spread, &mut Vec::new()))
}

fn without_duplicates(entries: Entries, duplicates: &mut Vec<Duplicate>) -> Entries {
    let mut places: HashMap<Box<str>, usize> = HashMap::with_capacity(entries.len());
    let mut kept: Entries = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Some(text) = owned(&key) else {
            kept.push((key, value));
            continue;
        };
        match places.get(&text) {
            Some(place) => {
                duplicates.push(Duplicate { key: text, first: kept[*place].0.at, again: key.at });
                kept[*place].1 = value;
            }
            None => {
                places.insert(text, kept.len());
                kept.push((key, value));
            }
        }
    }
    kept
}

fn owned(key: &Node) -> Option<Box<str>> {
    key.literal().map(Into::into)
}

fn is_merge(key: &Node) -> bool {
    matches!(&key.kind, Kind::Scalar { text, style: Style::Plain } if **text == *"<<")
}

/// The mappings that a merge key names: one, or a list of them.
fn sources(value: Node) -> Result<Vec<Entries>, InvalidYaml> {
    let wrong = |at| InvalidYaml {
        at,
        message: "'<<' merges mappings, and this is none".to_owned(),
        fix: "give it an alias of a mapping, or a list of such aliases",
    };
    let at = value.at;
    match value.kind {
        Kind::Map(entries) => Ok(vec![entries]),
        Kind::List(items) => items
            .into_iter()
            .map(|item| match item.kind {
                Kind::Map(entries) => Ok(entries),
                _ => Err(wrong(item.at)),
            })
            .collect(),
        Kind::Scalar { .. } => Err(wrong(at)),
    }
}
