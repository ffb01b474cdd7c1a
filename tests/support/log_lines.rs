//! Log lines without what differs from run to run: time, place, and the folder of the test.

use serde_json::Value;

use super::wait::eventually;

/// `asctime`, file, line and function are `*`.
pub fn comparable(line: &str) -> String {
    if let Ok(Value::Object(_)) = serde_json::from_str(line) {
        return comparable_json(line);
    }
    let (time, rest) = line.split_at(23.min(line.len()));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00 00:00:00,000", "{line}");
    let (head, place) = rest.split_once(" file=").unwrap_or_else(|| panic!("no place: {line}"));
    let (place, message) = place.split_once(" : ").unwrap_or_else(|| panic!("no message: {line}"));
    assert!(place.contains(" line=") && place.contains(" function="), "{line}");
    format!("*{head} file=* : {message}")
}

/// The text stays as it is, but for the values that differ.
fn comparable_json(line: &str) -> String {
    let mut text = line.to_owned();
    for key in ["asctime", "file", "function"] {
        let begin = text.find(&format!("\"{key}\": \"")).unwrap_or_else(|| panic!("no {key}: {line}")) + key.len() + 5;
        let end = begin + text[begin..].find('"').unwrap();
        text.replace_range(begin..end, "*");
    }
    let begin = text.find("\"line\": ").unwrap() + 8;
    let end = begin + text[begin..].find(',').unwrap();
    text.replace_range(begin..end, "0");
    text
}

/// The lines of a file once there are `count` of them.
pub async fn lines_of(path: &std::path::Path, count: usize) -> Vec<String> {
    eventually(&format!("{count} lines in {}", path.display()), async || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count && text.ends_with('\n')).then_some(lines)
    })
    .await
}
