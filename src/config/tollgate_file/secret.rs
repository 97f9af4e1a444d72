//! `${NAME}` in secrets and addresses, replaced from the environment.

use crate::config::source::Environment;

/// Why a text has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoValue {
    /// The variable is not set, or empty.
    Unset(String),
    /// A `${` without a name and a `}`.
    Malformed,
}

/// `text` with every `${NAME}` replaced.
pub(super) fn expand(text: &str, environment: Environment<'_>) -> Result<String, NoValue> {
    let mut parts = text.split("${");
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').ok_or(NoValue::Malformed)?;
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            return Err(NoValue::Malformed);
        }
        let value = environment(name).filter(|value| !value.is_empty());
        expanded.push_str(&value.ok_or_else(|| NoValue::Unset(name.to_owned()))?);
        expanded.push_str(rest);
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::{NoValue, expand};

    #[test]
    fn replaces_names() {
        let environment = |name: &str| match name {
            "HOST" => Some("example.org".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("", Ok("")),
            ("plain $5", Ok("plain $5")),
            ("https://${HOST}/${HOST}", Ok("https://example.org/example.org")),
            ("${EMPTY}", Err(NoValue::Unset("EMPTY".to_owned()))),
            ("${ABSENT}", Err(NoValue::Unset("ABSENT".to_owned()))),
            ("${HOST", Err(NoValue::Malformed)),
            ("${}", Err(NoValue::Malformed)),
            ("${A B}", Err(NoValue::Malformed)),
        ] {
            assert_eq!(expand(text, &environment), expected.map(str::to_owned), "{text}");
        }
    }
}
