//! The rows of a file of usage: CSV with a header, or JSON lines; the first character tells.
//!
//! A subject is written `user=u1`, or `user=u1+kit=k2`, and `all` where all share the limit; a `+` that no name and `=` follow
//! is one of the value. In JSON it may be an object as well, for values that cannot be told apart so.

use serde_json::{Map, Value, json};

use crate::admin::repeated_key;
use crate::limits::subject_parts;

/// Whose is what all share.
const ALL: &str = "all";
/// The columns.
const COLUMNS: [&str; 3] = ["subject", "limit", "used"];

/// What somebody has used of a limit.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    /// Where it stands, from 1.
    pub(super) line: usize,
    pub(super) limit: String,
    /// As the server is told.
    pub(super) json: Value,
}

/// A line, and what is wrong with it.
pub(super) type Wrong = (usize, String);

impl Row {
    /// Whose counter of which limit it is about.
    pub(super) fn counter(&self) -> (Vec<(String, String)>, String) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entries = self.json["subject"].as_object().into_iter().flatten();
        let mut entries: Vec<_> = entries.map(|(key, value)| (key.clone(), text(value))).collect();
        entries.sort();
        (entries, self.limit.clone())
    }
}

/// Each row of `text`, or what is wrong with its line.
pub(super) fn read(text: &str) -> Vec<Result<Row, Wrong>> {
    let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    if text.trim_start().starts_with('{') {
        return lines.map(|(text, line)| of_json(text, line).map_err(|problem| (line, problem))).collect();
    }
    let Some((header, at)) = lines.next() else { return Vec::new() };
    match places(header) {
        Ok(places) => {
            lines.map(|(text, line)| of_csv(text, line, places).map_err(|problem| (line, problem))).collect()
        }
        Err(problem) => vec![Err((at, problem))],
    }
}

/// Where the columns stand.
fn places(header: &str) -> Result<[usize; 3], String> {
    let names = fields(header.trim_start_matches('\u{feff}'))?;
    let names: Vec<String> = names.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let place = |column: &str| names.iter().position(|name| name == column);
    let found = COLUMNS.map(place);
    match found {
        [Some(subject), Some(limit), Some(used)] if names.len() == COLUMNS.len() => {
            Ok([subject, limit, used])
        }
        _ => Err(format!("the header is '{}'; write {}", header.trim(), COLUMNS.join(","))),
    }
}

fn of_csv(text: &str, line: usize, places: [usize; 3]) -> Result<Row, String> {
    let fields = fields(text)?;
    if fields.len() != COLUMNS.len() {
        return Err(format!("has {} fields; write {}", fields.len(), COLUMNS.join(",")));
    }
    let [subject, limit, used] = places.map(|place| fields[place].trim());
    row(line, entries(subject)?, limit, used)
}

fn of_json(text: &str, line: usize) -> Result<Row, String> {
    let mut object: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Some(key) = repeated_key(text.as_bytes()) {
        return Err(format!("{key}: stands twice in one object"));
    }
    let [subject, limit, used] = COLUMNS.map(|column| object.remove(column).unwrap_or_default());
    if let Some(name) = object.keys().next() {
        return Err(format!("{name}: is not read; there are {}", COLUMNS.join(", ")));
    }
    let subject = match subject {
        Value::String(text) => entries(&text)?,
        Value::Object(entries) if entries.values().all(Value::is_string) => entries,
        _ => return Err("subject: write \"user=u1\", or {\"user\": \"u1\"}".to_owned()),
    };
    let limit = limit.as_str().ok_or("limit: must be the name of a limit")?;
    match used {
        Value::Number(used) => row(line, subject, limit, &used.to_string()),
        Value::String(used) => row(line, subject, limit, &used),
        _ => Err("used: must be a number".to_owned()),
    }
}

fn row(line: usize, subject: Map<String, Value>, limit: &str, used: &str) -> Result<Row, String> {
    for (column, value) in [("limit", limit), ("used", used)] {
        if value.is_empty() {
            return Err(format!("{column}: must not be empty"));
        }
    }
    let json = json!({"subject": subject, "limit": limit, "used": used});
    Ok(Row { line, limit: limit.to_owned(), json })
}

/// The entries of `user=u1+kit=k2`; none of `all`.
fn entries(text: &str) -> Result<Map<String, Value>, String> {
    if text == ALL {
        return Ok(Map::new());
    }
    let mut entries = Map::new();
    for part in subject_parts(text) {
        let Some((key, value)) = part.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!("subject: '{text}' says not what it is; write it as user={text}, or all"));
        };
        if entries.insert(key.to_owned(), value.into()).is_some() {
            return Err(format!("subject: '{text}' says {key} twice; write it as an object, in JSON lines"));
        }
    }
    Ok(entries)
}

/// The fields of a line of CSV, which may stand in quotes, with two for one.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut quoted, mut rest) = (false, line.chars().peekable());
    while let Some(next) = rest.next() {
        match next {
            '"' if quoted && rest.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    if quoted {
        return Err("a quote is not closed in its line".to_owned());
    }
    fields.push(field);
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    fn read_all(text: &str) -> Vec<serde_json::Value> {
        read(text).into_iter().map(|row| row.unwrap().json).collect()
    }

    #[test]
    fn both_forms_say_the_same() {
        let csv = "subject,limit,used\nuser=u1,monthly_creations,2\n\nuser=u1+kit=k2,max_logos_per_kit,3\n\
            email=a+b@example.org,login,\"4\"\n\"user=a,\"\"b\"\"\",spend,4.20\nall,world,1\n";
        let json = r#"{"subject": "user=u1", "limit": "monthly_creations", "used": 2}
            {"subject": {"user": "u1", "kit": "k2"}, "limit": "max_logos_per_kit", "used": "3"}
            {"subject": {"email": "a+b@example.org"}, "limit": "login", "used": "4"}
            {"used": "4.20", "subject": "user=a,\"b\"", "limit": "spend"}
            {"subject": "all", "limit": "world", "used": 1}"#;
        let expected = [
            json!({"subject": {"user": "u1"}, "limit": "monthly_creations", "used": "2"}),
            json!({"subject": {"user": "u1", "kit": "k2"}, "limit": "max_logos_per_kit", "used": "3"}),
            json!({"subject": {"email": "a+b@example.org"}, "limit": "login", "used": "4"}),
            json!({"subject": {"user": "a,\"b\""}, "limit": "spend", "used": "4.20"}),
            json!({"subject": {}, "limit": "world", "used": "1"}),
        ];
        assert_eq!(read_all(csv), expected);
        assert_eq!(read_all(json), expected);
        let reordered = "used,SUBJECT , limit\r\n2,user=u1,monthly_creations\r\n";
        assert_eq!(read_all(reordered), expected[..1]);
        assert_eq!(read_all("subject,limit,used\n"), Vec::<serde_json::Value>::new());
        assert_eq!(read_all("\n"), Vec::<serde_json::Value>::new());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, at, words) in [
            ("user,limit,used\n", 1, "write subject,limit,used"),
            ("subject,limit,used,more\n", 1, "write subject,limit,used"),
            ("\nsubject,limit,used\nu1,login,2\n", 3, "user=u1"),
            ("subject,limit,used\nuser=u1,login\n", 2, "has 2 fields"),
            ("subject,limit,used\nuser=u1,login,\n", 2, "used: must not be empty"),
            ("subject,limit,used\nuser=u1,,3\n", 2, "limit: must not be empty"),
            ("subject,limit,used\nuser=u1+user=u2,login,3\n", 2, "says user twice"),
            ("subject,limit,used\n\"user=u1,login,3\n", 2, "not closed"),
            ("{\"subject\": \"user=u1\", \"limit\": \"login\"}\n", 1, "used: must be a number"),
            ("{\"subject\": \"user=u1\"\n", 1, "EOF"),
            (
                r#"{"subject": "user=a", "subject": "user=b", "limit": "l", "used": 1}"#,
                1,
                "subject: stands twice",
            ),
            (r#"{"subject": {"user": "a", "user": "b"}, "limit": "l", "used": 1}"#, 1, "user: stands twice"),
            ("{\"subject\": 1, \"limit\": \"login\", \"used\": 1}\n", 1, "subject: write"),
            ("{\"subject\": \"user=u\", \"limit\": \"l\", \"used\": 1, \"x\": 1}\n", 1, "x: is not read"),
        ] {
            let wrong: Vec<_> = read(text).into_iter().filter_map(Result::err).collect();
            let [(line, problem)] = wrong.as_slice() else { panic!("{text}: {wrong:?}") };
            assert_eq!(*line, at, "{text}: {problem}");
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }
}
