//! JSON as it was written: the order of keys and the digits of numbers count. Independent of what is tested.

use std::fmt::Write;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// The digits as they were written.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Panics with the place on anything that is not one JSON value.
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value();
        reader.blanks();
        assert_eq!(reader.at, text.len(), "more than one JSON value in {text:?}");
        value
    }

    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn member(&self, key: &str) -> &Json {
        self.get(key).unwrap_or_else(|| panic!("no {key} in {}", self.to_text()))
    }

    pub fn set(&mut self, key: &str, new: Json) {
        if let Json::Object(members) = self
            && let Some((_, value)) = members.iter_mut().find(|(name, _)| name == key)
        {
            *value = new;
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            other => panic!("no text: {}", other.to_text()),
        }
    }

    pub fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            other => panic!("no list: {}", other.to_text()),
        }
    }

    pub fn members(&self) -> &[(String, Json)] {
        match self {
            Json::Object(members) => members,
            other => panic!("no object: {}", other.to_text()),
        }
    }

    /// Compact, UTF-8 unescaped, as the service writes it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        let separated = |out: &mut String, index: usize| {
            if index > 0 {
                out.push(',');
            }
        };
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => write!(out, "{value}").unwrap(),
            Json::Number(digits) => out.push_str(digits),
            Json::Text(text) => out.push_str(&serde_json::to_string(text).unwrap()),
            Json::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    separated(out, index);
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    separated(out, index);
                    out.push_str(&serde_json::to_string(name).unwrap());
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.to_text()).unwrap()
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    fn expect(&mut self, expected: &str) {
        assert!(self.take(expected), "{expected} expected at byte {} of {:?}", self.at, self.text);
    }

    fn value(&mut self) -> Json {
        self.blanks();
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
            if self.take(word) {
                return value;
            }
        }
        match self.rest().chars().next() {
            Some('"') => Json::Text(self.string()),
            Some('[') => Json::List(self.list()),
            Some('{') => Json::Object(self.object()),
            _ => self.number(),
        }
    }

    fn list(&mut self) -> Vec<Json> {
        self.expect("[");
        let mut items = Vec::new();
        self.blanks();
        if self.take("]") {
            return items;
        }
        loop {
            items.push(self.value());
            self.blanks();
            if self.take("]") {
                return items;
            }
            self.expect(",");
        }
    }

    fn object(&mut self) -> Vec<(String, Json)> {
        self.expect("{");
        let mut members = Vec::new();
        self.blanks();
        if self.take("}") {
            return members;
        }
        loop {
            self.blanks();
            let name = self.string();
            self.blanks();
            self.expect(":");
            members.push((name, self.value()));
            self.blanks();
            if self.take("}") {
                return members;
            }
            self.expect(",");
        }
    }

    fn string(&mut self) -> String {
        let bytes = self.rest().as_bytes();
        assert_eq!(bytes.first(), Some(&b'"'), "a text expected at byte {} of {:?}", self.at, self.text);
        let mut end = 1;
        while bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let text = serde_json::from_str(&self.rest()[..=end]).unwrap();
        self.at += end + 1;
        text
    }

    fn number(&mut self) -> Json {
        let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let digits: String = self.rest().chars().take_while(|c| is_part(*c)).collect();
        assert!(!digits.is_empty(), "a value expected at byte {} of {:?}", self.at, self.text);
        self.at += digits.len();
        Json::Number(digits)
    }
}
