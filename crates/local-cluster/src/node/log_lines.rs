//! The lines of a log file: writing one, and choosing which of them a query gets. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::kubelet::LogQuery;

/// Adds a line, or a part of one when it has no end yet.
pub fn encode(out: &mut Vec<u8>, line: &[u8], time: Timestamp) {
    let (tag, text) = match line.strip_suffix(b"\n") {
        Some(text) => ('F', text),
        None => ('P', line),
    };
    out.extend_from_slice(format!("{time:.9} stdout {tag} ").as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}

struct Line<'a> {
    time: &'a [u8],
    whole: bool,
    text: &'a [u8],
}

fn decode(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |it| *it == b' ');
    let (time, _stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(Line { time, whole: tag == b"F", text })
}

/// What is left of a query while a log is read: how many bytes, from which time.
#[derive(Debug)]
pub struct Filter {
    tail_lines: Option<usize>,
    bytes_left: Option<usize>,
    timestamps: bool,
    since: Option<Timestamp>,
    /// The last line was a part, so the next belongs to it.
    inside_line: bool,
}

impl Filter {
    pub fn new(query: &LogQuery, now: Timestamp) -> Self {
        let since = query.since_seconds.and_then(|it| i64::try_from(it).ok());
        Self {
            tail_lines: query.tail_lines,
            bytes_left: query.limit_bytes,
            timestamps: query.timestamps,
            since: since.and_then(|it| now.checked_sub(SignedDuration::from_secs(it)).ok()),
            inside_line: false,
        }
    }

    /// Whether nothing more may be given.
    pub fn full(&self) -> bool {
        self.bytes_left == Some(0)
    }

    /// The text of what was there when the reading began: the last lines only, if asked for.
    pub fn first(&mut self, file: &[u8]) -> Vec<u8> {
        let start = self.tail_lines.map_or(0, |count| tail_start(file, count));
        self.more(&file[start..])
    }

    /// The text of what came later.
    pub fn more(&mut self, file: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in file.split(|it| *it == b'\n').filter_map(decode) {
            if self.since.is_some_and(|since| older(line.time, since)) {
                continue;
            }
            if self.timestamps && !self.inside_line {
                out.extend_from_slice(line.time);
                out.push(b' ');
            }
            out.extend_from_slice(line.text);
            if line.whole {
                out.push(b'\n');
            }
            self.inside_line = !line.whole;
        }
        if let Some(left) = &mut self.bytes_left {
            out.truncate(*left);
            *left -= out.len();
        }
        out
    }
}

fn older(time: &[u8], since: Timestamp) -> bool {
    std::str::from_utf8(time).ok().and_then(|it| it.parse::<Timestamp>().ok()).is_some_and(|it| it < since)
}

/// Where the last `count` lines begin. Parts belong to the line that they are parts of.
fn tail_start(file: &[u8], count: usize) -> usize {
    let mut starts = Vec::new();
    let mut at = 0;
    let mut inside = false;
    for line in file.split_inclusive(|it| *it == b'\n') {
        if let Some(decoded) = decode(line) {
            if !inside {
                starts.push(at);
            }
            inside = !decoded.whole;
        }
        at += line.len();
    }
    match starts.len().checked_sub(count) {
        Some(index) => starts.get(index).copied().unwrap_or(file.len()),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(lines: &[(&str, i64)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (line, second) in lines {
            encode(&mut out, line.as_bytes(), Timestamp::from_second(*second).unwrap());
        }
        out
    }

    #[test]
    fn queries_choose_lines_bytes_and_times() {
        let file = file(&[("a\n", 10), ("long ", 20), ("line\n", 21), ("\n", 30), ("last", 40)]);
        let now = Timestamp::from_second(50).unwrap();
        let query = LogQuery::default();
        let table = [
            (query.clone(), "a\nlong line\n\nlast"),
            (LogQuery { tail_lines: Some(2), ..query.clone() }, "\nlast"),
            (LogQuery { tail_lines: Some(3), ..query.clone() }, "long line\n\nlast"),
            (LogQuery { tail_lines: Some(9), ..query.clone() }, "a\nlong line\n\nlast"),
            (LogQuery { limit_bytes: Some(4), ..query.clone() }, "a\nlo"),
            (LogQuery { since_seconds: Some(20), ..query.clone() }, "\nlast"),
            (
                LogQuery { timestamps: true, tail_lines: Some(3), ..query },
                "1970-01-01T00:00:20.000000000Z long line\n1970-01-01T00:00:30.000000000Z \n\
                 1970-01-01T00:00:40.000000000Z last",
            ),
        ];
        for (query, expected) in table {
            let text = Filter::new(&query, now).first(&file);
            assert_eq!(String::from_utf8(text).unwrap(), expected, "{query:?}");
        }
    }
}
