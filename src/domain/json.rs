//! JSON as the reference reads, echoes and prints it: keys in order, integers of any size, Python's `str()`.

use std::fmt::Write;

use jiter::JsonValue;

/// A JSON value. Integers keep all their digits and objects the order of their keys (a repeated key: the last value).
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// The digits as they were sent, with a sign where negative.
    Integer(String),
    Float(f64),
    String(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

#[derive(Debug, thiserror::Error)]
#[error("{reason} at line {line} column {column}")]
pub struct JsonError {
    reason: String,
    line: usize,
    column: usize,
}

impl Json {
    /// Reads one value. Depth is bounded (200), NaN, Infinity and lone surrogates are refused.
    pub fn parse(text: &[u8]) -> Result<Self, JsonError> {
        JsonValue::parse(text, false).map(|value| Self::from(&value)).map_err(|error| {
            let position = error.get_position(text);
            JsonError { reason: error.error_type.to_string(), line: position.line, column: position.column }
        })
    }

    pub fn empty_object() -> Self {
        Json::Object(Vec::new())
    }

    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// A number too large for a float became infinite: nothing could write it down again.
    pub fn has_infinity(&self) -> bool {
        match self {
            Json::Float(number) => number.is_infinite(),
            Json::List(items) => items.iter().any(Json::has_infinity),
            Json::Object(members) => members.iter().any(|(_, value)| value.has_infinity()),
            _ => false,
        }
    }

    /// JSON text with compact separators and UTF-8 as it is.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Integer(digits) => out.push_str(digits),
            Json::Float(number) => out.push_str(&float_repr(*number)),
            Json::String(text) => write_json_string(out, text),
            Json::List(items) => {
                separated(out, '[', ']', ",", items, |out, item| item.write_json(out));
            }
            Json::Object(members) => separated(out, '{', '}', ",", members, |out, (key, value)| {
                write_json_string(out, key);
                out.push(':');
                value.write_json(out);
            }),
        }
    }

    /// What Python's `str()` gives for the value: the text itself, `True`, `None`, `1.0`, `[1, 'a', None]`.
    pub fn python_str(&self) -> String {
        match self {
            Json::String(text) => text.clone(),
            _ => {
                let mut text = String::new();
                self.write_repr(&mut text);
                text
            }
        }
    }

    fn write_repr(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("None"),
            Json::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Json::Integer(digits) => out.push_str(digits),
            Json::Float(number) => out.push_str(&float_repr(*number)),
            Json::String(text) => write_python_string(out, text),
            Json::List(items) => separated(out, '[', ']', ", ", items, |out, item| item.write_repr(out)),
            Json::Object(members) => separated(out, '{', '}', ", ", members, |out, (key, value)| {
                write_python_string(out, key);
                out.push_str(": ");
                value.write_repr(out);
            }),
        }
    }

    /// For templates, where an integer beyond 64 bits is a text.
    pub fn to_value(&self) -> serde_json::Value {
        self.clone().into_value()
    }

    /// The same without a copy.
    pub fn into_value(self) -> serde_json::Value {
        use serde_json::{Number, Value};
        match self {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Integer(digits) => match (digits.parse::<i64>(), digits.parse::<u64>()) {
                (Ok(number), _) => Value::Number(number.into()),
                (_, Ok(number)) => Value::Number(number.into()),
                _ => Value::String(digits),
            },
            Json::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
            Json::String(text) => Value::String(text),
            Json::List(items) => Value::Array(items.into_iter().map(Json::into_value).collect()),
            Json::Object(members) => {
                Value::Object(members.into_iter().map(|(key, value)| (key, value.into_value())).collect())
            }
        }
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Number(number) if number.is_f64() => Json::Float(number.as_f64().unwrap_or_default()),
            Value::Number(number) => Json::Integer(number.to_string()),
            Value::String(text) => Json::String(text),
            Value::Array(items) => Json::List(items.into_iter().map(Json::from).collect()),
            Value::Object(members) => Json::Object(members.into_iter().map(|(key, it)| (key, it.into())).collect()),
        }
    }
}

impl From<&JsonValue<'_>> for Json {
    fn from(value: &JsonValue<'_>) -> Self {
        match value {
            JsonValue::Null => Json::Null,
            JsonValue::Bool(value) => Json::Bool(*value),
            JsonValue::Int(number) => Json::Integer(number.to_string()),
            JsonValue::BigInt(number) => Json::Integer(number.to_string()),
            JsonValue::Float(number) => Json::Float(*number),
            JsonValue::Str(text) => Json::String(text.to_string()),
            JsonValue::Array(items) => Json::List(items.iter().map(Json::from).collect()),
            JsonValue::Object(members) => {
                let mut object: Vec<(String, Json)> = Vec::with_capacity(members.len());
                let mut places = std::collections::HashMap::with_capacity(members.len());
                for (key, value) in members.iter() {
                    match places.get(key.as_ref()) {
                        Some(&place) => {
                            let (_, old): &mut (String, Json) = &mut object[place];
                            *old = Json::from(value);
                        }
                        None => {
                            places.insert(key.to_string(), object.len());
                            object.push((key.to_string(), Json::from(value)));
                        }
                    }
                }
                Json::Object(object)
            }
        }
    }
}

fn separated<T>(
    out: &mut String,
    open: char,
    close: char,
    separator: &str,
    items: &[T],
    mut write: impl FnMut(&mut String, &T),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        write(out, item);
    }
    out.push(close);
}

fn write_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A float as Python's `repr()`: the shortest digits that read back the same, an exponent below 1e-4 and from 1e16.
fn float_repr(number: f64) -> String {
    if number == 0.0 {
        return if number.is_sign_negative() { "-0.0" } else { "0.0" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// A text as Python's `repr()`: single quotes unless it holds one and no double one.
fn write_python_string(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c < ' ' || c == '\u{7f}' || ('\u{80}'..='\u{a0}').contains(&c) || c == '\u{ad}' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// An integer as a hub may write it: `7`, `"7"`, `" 7 "`, `7.0`.
impl Json {
    pub fn lenient_integer(&self) -> Option<i64> {
        let text = match self {
            Json::Integer(digits) => digits.clone(),
            Json::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => format!("{number:.0}"),
            Json::String(text) => text.trim().to_owned(),
            _ => return None,
        };
        // "7.0" and "7." are taken too: the reference cuts zeros behind the point.
        let whole = text.split_once('.').filter(|(_, zeros)| zeros.chars().all(|c| c == '0')).map(|(whole, _)| whole);
        whole.unwrap_or(&text).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn values_print_as_python_prints_them() {
        for (json, python) in [
            ("true", "True"),
            ("null", "None"),
            ("5", "5"),
            ("1.5", "1.5"),
            ("1.0", "1.0"),
            ("1e22", "1e+22"),
            ("1e-7", "1e-07"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("0.0001", "0.0001"),
            ("-0.0", "-0.0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            (r#"[1, "a", null, true, {"k": "v"}]"#, "[1, 'a', None, True, {'k': 'v'}]"),
            (r#"{"k": [1, "it's"], "q": "\""}"#, r#"{'k': [1, "it's"], 'q': '"'}"#),
            (r#"["ü€\n\\", "\u007f"]"#, r"['ü€\n\\', '\x7f']"),
            (r#""text""#, "text"),
        ] {
            assert_eq!(parse(json).python_str(), python, "{json}");
        }
    }

    #[test]
    fn what_is_echoed_keeps_order_digits_and_utf_8() {
        let text = r#"{"z":1,"a":[1.0,null,"ü\n\u0001"],"big":123456789012345678901234567890}"#;
        assert_eq!(parse(text).to_text(), text);
        assert_eq!(parse(r#"{"a":1,"b":2,"a":3}"#).to_text(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        for text in ["", "{", "NaN", "Infinity", r#""\ud800""#, "{} x", "\u{feff}{}", &"[".repeat(100_000)] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text:.20}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        assert!(parse(r#"{"x":[1e400]}"#).has_infinity());
    }

    #[test]
    fn integers_are_read_as_hubs_write_them() {
        for (json, number) in [("7", 7), (r#""8""#, 8), (r#"" 7 ""#, 7), ("7.0", 7), (r#""7.00""#, 7), ("-3", -3)] {
            assert_eq!(parse(json).lenient_integer(), Some(number), "{json}");
        }
        for json in ["true", "null", "7.5", r#""x""#, r#""""#, "[]", "123456789012345678901234567890"] {
            assert_eq!(parse(json).lenient_integer(), None, "{json}");
        }
    }
}
