//! YAML documents as JSON values, read as PyYAML's safe loader reads them: YAML 1.1 scalars, merge keys, the last of
//! repeated keys. What aliases expand to is bounded.

use std::collections::HashMap;

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::yaml_scalar::resolve;
use crate::domain::Json;

/// More values than any manifest has, aliases expanded.
const MOST_VALUES: usize = 200_000;
/// Bytes of text, aliases expanded.
const MOST_BYTES: usize = 64 * 1024 * 1024;
const DEEPEST: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} column {column}: {reason}")]
pub struct YamlError {
    pub line: usize,
    pub column: usize,
    pub reason: String,
}

/// The documents of a stream; `None` for an empty one.
pub fn documents(text: &str) -> Result<Vec<Option<Value>>, YamlError> {
    let documents = ordered_documents(text)?;
    Ok(documents.into_iter().map(|it| it.map(Json::into_value)).collect())
}

/// The same with the keys in their order.
pub fn ordered_documents(text: &str) -> Result<Vec<Option<Json>>, YamlError> {
    let mut composer = Composer { parser: Parser::new_from_str(text), anchors: HashMap::new(), values: 0, bytes: 0 };
    let mut documents = Vec::new();
    loop {
        let (event, span) = composer.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentEnd | Event::StreamStart => {}
            Event::DocumentStart(..) => {
                composer.anchors.clear();
                let (event, span) = composer.next()?;
                let node = composer.node(event, span, 0)?;
                documents.push((node.value != Json::Null).then_some(node.value));
            }
            _ => return Err(at(&span.start, "a document was expected")),
        }
    }
}

#[derive(Clone)]
struct Node {
    value: Json,
    /// How many values and bytes it holds and how deep it is, itself included.
    values: usize,
    bytes: usize,
    height: usize,
    /// A plain `<<`.
    is_merge_key: bool,
}

struct Composer<'a> {
    parser: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    values: usize,
    bytes: usize,
}

impl<'a> Composer<'a> {
    /// The next event that is not a comment.
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => return Err(at(error.marker(), &error.kind().to_string())),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let anchor = event.anchor_id();
        let node = match event {
            Event::Alias(id) => {
                // An anchor is known once its value is complete: a value cannot hold itself.
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or_else(|| at(&span.start, "this alias stands within what it stands for"))?;
                self.spend(node.values, node.bytes, &span)?;
                node
            }
            Event::Scalar(text, style, _, tag) => {
                self.spend(1, text.len(), &span)?;
                let is_merge_key = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                let start = span.tag_start().unwrap_or(span.start);
                let value = scalar(&text, style, tag.as_deref()).map_err(|reason| at(&start, &reason))?;
                let value = Json::from(value);
                Node { value, values: 1, bytes: text.len(), height: 1, is_merge_key }
            }
            Event::SequenceStart(_, _, tag) => {
                check_collection(tag.as_deref(), "seq", &span)?;
                self.sequence(&span, depth)?
            }
            Event::MappingStart(_, _, tag) => {
                check_collection(tag.as_deref(), "map", &span)?;
                self.mapping(&span, depth)?
            }
            _ => return Err(at(&span.start, "a value was expected")),
        };
        if depth + node.height > DEEPEST {
            return Err(at(&span.start, &format!("values are nested more than {DEEPEST} deep")));
        }
        if let Some(id) = anchor {
            self.anchors.insert(id, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, span: &Span, depth: usize) -> Result<Node, YamlError> {
        self.spend(1, 0, span)?;
        let mut items = Vec::new();
        let mut whole = Node { value: Json::Null, values: 1, bytes: 0, height: 1, is_merge_key: false };
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => break,
                (event, span) => {
                    let item = self.child(event, span, depth)?;
                    whole.count(&item);
                    items.push(item.value);
                }
            }
        }
        Ok(Node { value: Json::List(items), ..whole })
    }

    fn mapping(&mut self, span: &Span, depth: usize) -> Result<Node, YamlError> {
        self.spend(1, 0, span)?;
        let mut members = Members::default();
        let mut merged: Vec<Json> = Vec::new();
        let mut whole = Node { value: Json::Null, values: 1, bytes: 0, height: 1, is_merge_key: false };
        loop {
            let (event, key_span) = match self.next()? {
                (Event::MappingEnd, _) => break,
                next => next,
            };
            let key = self.child(event, key_span, depth)?;
            let (event, value_span) = self.next()?;
            let value = self.child(event, value_span, depth)?;
            whole.count(&key);
            whole.count(&value);
            if key.is_merge_key {
                merged.push(value.value);
            } else {
                let key = key_text(key.value).ok_or_else(|| at(&key_span.start, "a key must be a plain value"))?;
                members.insert(key, value.value);
            }
        }
        if !merged.is_empty() {
            let own = std::mem::take(&mut members);
            for value in merged.into_iter().rev() {
                merge(&mut members, value)
                    .ok_or_else(|| at(&span.start, "`<<` needs a mapping or a list of mappings"))?;
            }
            own.list.into_iter().for_each(|(key, value)| members.insert(key, value));
        }
        Ok(Node { value: Json::Object(members.list), ..whole })
    }

    /// One level deeper, checked before it is entered: this is what bounds the recursion.
    fn child(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, YamlError> {
        if depth >= DEEPEST {
            return Err(at(&span.start, &format!("values are nested more than {DEEPEST} deep")));
        }
        self.node(event, span, depth + 1)
    }

    fn spend(&mut self, values: usize, bytes: usize, span: &Span) -> Result<(), YamlError> {
        self.values = self.values.saturating_add(values);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.values > MOST_VALUES || self.bytes > MOST_BYTES {
            return Err(at(&span.start, "the file is too large once its aliases are expanded"));
        }
        Ok(())
    }
}

impl Node {
    fn count(&mut self, child: &Node) {
        self.values = self.values.saturating_add(child.values);
        self.bytes = self.bytes.saturating_add(child.bytes);
        self.height = self.height.max(child.height + 1);
    }
}

fn at(marker: &Marker, reason: &str) -> YamlError {
    YamlError { line: marker.line(), column: marker.col() + 1, reason: reason.to_owned() }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let string = || Ok(Value::String(text.to_owned()));
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { resolve(text).map_err(str::to_owned) } else { string() };
    };
    match tag.core_suffix() {
        Some("str") => string(),
        Some("null") => Ok(Value::Null),
        Some(kind @ ("int" | "float" | "bool")) => match (kind, resolve(text)?) {
            ("bool", value @ Value::Bool(_)) => Ok(value),
            ("int", Value::Number(number)) if !number.is_f64() => Ok(Value::Number(number)),
            ("float", Value::Number(number)) => {
                Ok(number.as_f64().and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number))
            }
            _ => Err(format!("`{}` is no {kind}", text.escape_debug())),
        },
        // A lone `!` says that the text is a text.
        _ if tag.handle().is_empty() && (tag.suffix() == "!" || tag.suffix().is_empty()) => string(),
        _ => Err(unknown_tag(tag)),
    }
}

fn check_collection(tag: Option<&Tag>, expected: &str, span: &Span) -> Result<(), YamlError> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(expected) => {
            Err(at(&span.tag_start().unwrap_or(span.start), &unknown_tag(tag)))
        }
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag) -> String {
    format!("the tag `{}` is not known", tag.original())
}

/// A key as it is written as JSON.
fn key_text(key: Json) -> Option<String> {
    match key {
        Json::String(text) => Some(text),
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Float(_) => Some(key.to_text()),
        Json::List(_) | Json::Object(_) => None,
    }
}

/// The members of a mapping, in the order in which their keys came first.
#[derive(Default)]
struct Members {
    list: Vec<(String, Json)>,
    /// Of those behind the first few, which are looked through.
    places: HashMap<String, usize>,
}

impl Members {
    /// Up to so many are compared one by one.
    const FEW: usize = 16;

    fn place(&self, key: &str) -> Option<usize> {
        let few = self.list.iter().take(Self::FEW).position(|(known, _)| known == key);
        few.or_else(|| self.places.get(key).copied())
    }

    /// The last of repeated keys wins.
    fn insert(&mut self, key: String, value: Json) {
        match self.place(&key) {
            Some(place) => self.list[place].1 = value,
            None => {
                if self.list.len() >= Self::FEW {
                    self.places.insert(key.clone(), self.list.len());
                }
                self.list.push((key, value));
            }
        }
    }
}

/// Members that come before the mapping's own, which win; of a list of mappings the earlier one does.
fn merge(members: &mut Members, value: Json) -> Option<()> {
    match value {
        Json::Object(merged) => {
            merged.into_iter().for_each(|(key, value)| members.insert(key, value));
            Some(())
        }
        Json::List(items) if items.iter().all(|it| matches!(it, Json::Object(_))) => {
            items.into_iter().rev().try_for_each(|item| merge(members, item))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(text: &str) -> Value {
        documents(text).unwrap().remove(0).unwrap()
    }

    fn error(text: &str) -> String {
        documents(text).unwrap_err().to_string()
    }

    #[test]
    fn a_stream_is_split_into_documents_and_empty_ones_are_told() {
        let found = documents("# top\n---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n").unwrap();
        assert_eq!(found, [Some(json!({"a": 1})), None, None, Some(json!({"b": 2}))]);
        assert_eq!(documents("").unwrap(), []);
        assert_eq!(documents("a: 1\n---\n").unwrap(), [Some(json!({"a": 1})), None]);
    }

    #[test]
    fn the_last_of_repeated_keys_wins_and_keys_become_text() {
        assert_eq!(one("a: 1\na: 2"), json!({"a": 2}));
        assert_eq!(one("8080: x\ntrue: y\nnull: z\non: w"), json!({"8080": "x", "true": "w", "null": "z"}));
        assert_eq!(error("? [a]\n: b"), "line 1 column 3: a key must be a plain value");
    }

    #[test]
    fn keys_keep_the_order_in_which_they_came_first() {
        let text = "z: 1\na: {y: 1.0, b: [x, 2]}\nm: ~\nz: 3";
        let read = ordered_documents(text).unwrap().remove(0).unwrap();
        assert_eq!(read.to_text(), r#"{"z":3,"a":{"y":1.0,"b":["x",2]},"m":null}"#);
        let merged = "x: &x {a: 1, b: 2}\nz: {c: 0, b: 9, <<: *x}";
        let read = ordered_documents(merged).unwrap().remove(0).unwrap();
        assert_eq!(read.get("z").unwrap().to_text(), r#"{"a":1,"b":9,"c":0}"#, "as PyYAML has them");
        let many: String = (0..100).rev().map(|it| format!("k{it}: {it}\n")).collect();
        let read = ordered_documents(&format!("{many}k99: last\nk0: last")).unwrap().remove(0).unwrap();
        let Json::Object(members) = read else { panic!() };
        assert_eq!(members.len(), 100);
        let last = Json::String("last".to_owned());
        assert_eq!((&members[0], &members[99]), (&("k99".to_owned(), last.clone()), &("k0".to_owned(), last)));
    }

    #[test]
    fn merge_keys_do_not_replace_what_is_there() {
        let base = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\n";
        assert_eq!(one(&format!("{base}z:\n  <<: *x\n  a: 9"))["z"], json!({"a": 9, "b": 2}));
        assert_eq!(one(&format!("{base}z:\n  a: 9\n  <<: [*y, *x]"))["z"], json!({"a": 9, "b": 3, "c": 4}));
        assert_eq!(one("'<<': 1"), json!({"<<": 1}));
        assert!(error("<<: 5").contains("`<<` needs a mapping"));
    }

    #[test]
    fn quoted_and_block_scalars_are_text() {
        let text = "a: '1'\nb: \"yes\"\nc: |\n  5\nd: >-\n  x\n  y\ne: !!str 5\nf: !!int '7'\ng: !!float 1";
        assert_eq!(one(text), json!({"a": "1", "b": "yes", "c": "5\n", "d": "x y", "e": "5", "g": 1.0, "f": 7}));
    }

    #[test]
    fn unknown_tags_and_aliases_are_refused() {
        assert_eq!(error("a: !thing 5"), "line 1 column 4: the tag `!thing` is not known");
        assert!(error("a: !!python/object:os.system x").contains("is not known"));
        assert!(error("a: !!set {b}").contains("is not known"));
        assert!(documents("a: *nobody").is_err());
        assert!(documents("a: &a [*a]").is_err());
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(error(&text).contains("too large once its aliases are expanded"));
        let mut text = String::from("a0: &a0 [x]\n");
        for level in 1..500 {
            text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert!(error(&text).contains("nested more than"));
    }

    #[test]
    fn deep_nesting_is_refused() {
        for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
            assert!(documents(&text).is_err());
        }
    }

    #[test]
    fn a_syntax_error_says_where() {
        let text = error("a: 1\nb: [1\n");
        assert!(text.starts_with("line ") && text.len() > 20, "{text}");
    }
}
