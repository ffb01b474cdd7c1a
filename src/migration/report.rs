//! What came of each thing, as a table for people.

use std::fmt::Write as _;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With what the admin should know.
    Taken(String),
    /// As it is here.
    ThereAlready,
    /// With the reason.
    NotTaken(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub kind: &'static str,
    pub name: String,
    pub outcome: Outcome,
}

/// Everything that was looked at, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub lines: Vec<Line>,
}

impl Report {
    pub(super) fn add(&mut self, kind: &'static str, name: impl Into<String>, outcome: Outcome) {
        self.lines.push(Line { kind, name: name.into(), outcome });
    }

    pub fn taken(&self) -> usize {
        self.count(|it| matches!(it, Outcome::Taken(_)))
    }

    pub fn not_taken(&self) -> usize {
        self.count(|it| matches!(it, Outcome::NotTaken(_)))
    }

    fn count(&self, is_one: impl Fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|it| is_one(&it.outcome)).count()
    }

    /// A table, and how many there were of each. `is_dry`: nothing was done yet.
    pub fn table(&self, is_dry: bool) -> String {
        let taken = if is_dry { "would be taken" } else { "taken" };
        let row = |line: &Line| {
            let (outcome, note) = match &line.outcome {
                Outcome::Taken(note) => (taken, note.as_str()),
                Outcome::ThereAlready => ("there already", ""),
                Outcome::NotTaken(reason) => ("NOT TAKEN", reason.as_str()),
            };
            [line.kind.to_owned(), line.name.clone(), outcome.to_owned(), note.to_owned()]
        };
        let head = ["KIND", "NAME", "OUTCOME", "NOTE"].map(str::to_owned);
        let mut text = table(std::iter::once(head).chain(self.lines.iter().map(row)));
        let there = self.count(|it| *it == Outcome::ThereAlready);
        let (count, not_taken) = (self.taken(), self.not_taken());
        let _ = writeln!(text, "\n{count} {taken}, {there} there already, {not_taken} not taken");
        text
    }
}

/// Columns of the same width, but for the last one.
fn table<const COLUMNS: usize>(rows: impl Iterator<Item = [String; COLUMNS]>) -> String {
    let rows: Vec<_> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Names come from outside: a line is a line.
            let cell = cell.replace(char::is_control, " ");
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_table_with_a_sum() {
        let mut report = Report::default();
        report.add("user", "jupyterhub", Outcome::Taken(String::new()));
        report.add("user", "admin", Outcome::ThereAlready);
        report.add("service", "a\nb", Outcome::NotTaken("nothing of it is left".to_owned()));
        insta::assert_snapshot!(report.table(true), @r"
        KIND     NAME        OUTCOME         NOTE
        user     jupyterhub  would be taken
        user     admin       there already
        service  a b         NOT TAKEN       nothing of it is left

        1 would be taken, 1 there already, 1 not taken
        ");
        assert!(report.table(false).ends_with("\n1 taken, 1 there already, 1 not taken\n"));
    }
}
