//! On which line a value of a YAML or JSON text stands, by its path.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser};

/// Deeper values have no line of their own.
const DEEPEST: usize = 100;

/// The lines of each document of a text, counted from 1. Where a text cannot be read, what comes before is known.
#[derive(Clone, Debug, Default)]
pub struct Lines(Vec<DocumentLines>);

#[derive(Clone, Debug, Default)]
struct DocumentLines {
    first: usize,
    /// By JSON pointer: where the key stands, or the item of a list begins.
    values: HashMap<String, usize>,
}

enum Frame {
    /// With the pointer to it, and the key whose value comes next.
    Mapping(String, Option<String>),
    Sequence(String, usize),
}

impl Lines {
    pub fn of(text: &str) -> Self {
        let mut documents = Vec::new();
        let mut frames: Vec<Frame> = Vec::new();
        let mut parser = Parser::new_from_str(text);
        while let Some(Ok((event, span))) = parser.next_event() {
            let line = span.start.line();
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) => {
                    frames.clear();
                    documents.push(DocumentLines { first: line, values: HashMap::new() });
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    frames.pop();
                }
                Event::Scalar(text, ..) => {
                    if let Some(Frame::Mapping(path, key @ None)) = frames.last_mut() {
                        note(&mut documents, &below(path, &text), line);
                        *key = Some(text.into_owned());
                    } else {
                        place(&mut frames, &mut documents, line);
                    }
                }
                Event::Alias(_) => {
                    place(&mut frames, &mut documents, line);
                }
                Event::MappingStart(..) => {
                    let path = place(&mut frames, &mut documents, line);
                    frames.push(Frame::Mapping(path, None));
                }
                Event::SequenceStart(..) => {
                    let path = place(&mut frames, &mut documents, line);
                    frames.push(Frame::Sequence(path, 0));
                }
                _ => {}
            }
            if frames.len() > DEEPEST {
                break;
            }
        }
        Self(documents)
    }

    /// The line of a value, or of what it would stand in.
    pub fn line(&self, document: usize, pointer: &str) -> Option<usize> {
        let document = self.0.get(document)?;
        let mut path = pointer;
        loop {
            if let Some(line) = document.values.get(path) {
                return Some(*line);
            }
            let Some((parent, _)) = path.rsplit_once('/') else { return Some(document.first) };
            path = parent;
        }
    }

    /// Of the whole text, where it has one document.
    pub fn of_value(&self, pointer: &str) -> Option<usize> {
        self.line(0, pointer)
    }
}

/// The path of the value that begins here; a mapping's next text is a key again.
fn place(frames: &mut [Frame], documents: &mut [DocumentLines], line: usize) -> String {
    match frames.last_mut() {
        None => {
            note(documents, "", line);
            String::new()
        }
        // Its line is that of the key. A key that is no text has none.
        Some(Frame::Mapping(path, key)) => key.take().map_or_else(|| path.clone(), |key| below(path, &key)),
        Some(Frame::Sequence(path, index)) => {
            let path = format!("{path}/{index}");
            *index += 1;
            note(documents, &path, line);
            path
        }
    }
}

fn note(documents: &mut [DocumentLines], path: &str, line: usize) {
    if let Some(document) = documents.last_mut() {
        // The last of repeated keys wins, as it does for the value.
        document.values.insert(path.to_owned(), line);
    }
}

fn below(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// `tunnel[0].stage.x` as a JSON pointer.
pub fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    for part in path.split('.') {
        let (name, indices) = part.split_once('[').unwrap_or((part, ""));
        pointer = below(&pointer, name);
        for index in indices.split(['[', ']']).filter(|it| !it.is_empty()) {
            pointer = below(&pointer, index);
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_where_their_keys_stand() {
        let text = "# first\na: 1\nb:\n  - x\n  - c: |\n      long\n      text\n    d/e: 2\n---\n---\nf: [1,\n 2]\n";
        let lines = Lines::of(text);
        let line = |document, path: &str| lines.line(document, path).unwrap();
        assert_eq!([line(0, "/a"), line(0, "/b"), line(0, "/b/0"), line(0, "/b/1")], [2, 3, 4, 5]);
        assert_eq!([line(0, "/b/1/c"), line(0, "/b/1/d~1e"), line(0, "/b/1/nothing/here")], [5, 8, 5]);
        assert_eq!([line(2, "/f"), line(2, "/f/1")], [11, 12]);
        assert_eq!(lines.line(3, ""), None);
    }

    #[test]
    fn a_json_file_has_lines_too() {
        let lines = Lines::of("{\n\t\"tunnel\": [\n\t\t{\"a\": {\n\"b\": 1}}]\n}");
        assert_eq!(lines.of_value(&pointer("tunnel[0].a.b")), Some(4));
        assert_eq!(lines.of_value(&pointer("tunnel[0].a")), Some(3));
    }
}
