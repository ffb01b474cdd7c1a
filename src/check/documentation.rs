//! `docs/check.md`: how to use it, and the table of all codes.

use std::fmt::Write;

use super::codes::Code;

pub fn markdown() -> String {
    let mut text = include_str!("documentation.md").to_owned();
    text.push_str("\n| Code | Severity | Meaning | What to do |\n| --- | --- | --- | --- |\n");
    for code in Code::ALL {
        let cells = [code.meaning(), code.remedy()].map(|it| it.replace('|', "\\|"));
        let [meaning, remedy] = cells;
        let _ = writeln!(text, "| `{}` | {} | {meaning} | {remedy} |", code.as_str(), code.severity().as_str());
    }
    text
}
