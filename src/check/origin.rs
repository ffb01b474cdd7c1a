//! From a line of a rendered file back to the line of the file that it was made from.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::codes::Code;
use super::finding::Finding;
use super::lines::Lines;
use crate::description::{RenderedFile, documents};

/// A rendered file with where its values come from.
pub struct Origin {
    pub path: PathBuf,
    pub file: RenderedFile,
    pub lines: Lines,
    /// Of each line of the rendered text, counted from 0, the line of the source, counted from 1.
    sources: Vec<Option<usize>>,
}

/// Where an object stands in a file: its document, and its path there where it is in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub document: usize,
    pub path: String,
}

impl Origin {
    pub fn new(folder: &Path, file: RenderedFile) -> Self {
        let source: Vec<&str> = file.source.lines().collect();
        let rendered: Vec<&str> = file.text.lines().collect();
        // Keywords change lines and add none, as a rule.
        let is_line_by_line = source.len() == rendered.len() && !file.name.ends_with(".hbs");
        let unchanged = |line: &str| {
            let mut same = source.iter().enumerate().filter(|(_, it)| **it == line);
            let first = same.next();
            first.filter(|_| same.next().is_none()).map(|(index, _)| index + 1)
        };
        let sources = rendered.iter().enumerate();
        let sources =
            sources.map(|(index, line)| if is_line_by_line { Some(index + 1) } else { unchanged(line) }).collect();
        Self { path: folder.join(&file.name), lines: Lines::of(&file.text), file, sources }
    }

    /// The line of the source for a line of the rendered text.
    pub fn line(&self, rendered: usize) -> Option<usize> {
        self.sources.get(rendered.checked_sub(1)?).copied().flatten()
    }

    pub fn value_line(&self, place: &Place, pointer: &str) -> Option<usize> {
        self.line(self.lines.line(place.document, &format!("{}{pointer}", place.path))?)
    }

    pub fn finding(&self, code: Code, place: &Place, pointer: &str, message: impl Into<String>) -> Finding {
        Finding::new(code, message).at(&self.path, self.value_line(place, pointer))
    }

    /// Where the objects stand, in the order in which the file is read: lists are taken apart.
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (document, value) in documents(&self.file.text).unwrap_or_default().into_iter().enumerate() {
            add(value.as_ref().unwrap_or(&Value::Null), Place { document, path: String::new() }, &mut places);
        }
        places
    }
}

fn add(value: &Value, place: Place, places: &mut Vec<Place>) {
    if value.is_null() {
        return;
    }
    match value["items"].as_array() {
        Some(items) if value["kind"].as_str().is_some_and(|it| it.ends_with("List")) => {
            for (index, item) in items.iter().enumerate() {
                add(item, Place { path: format!("{}/items/{index}", place.path), ..place }, places);
            }
        }
        _ => places.push(place),
    }
}
