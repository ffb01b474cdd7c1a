//! How grave a record is, in the numbers and names of Python's logging and of the reference.

use crate::domain::Json;

/// A level's number. A handler takes records of its own level and graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);

impl Level {
    pub const NOTSET: Level = Level(0);
    pub const TRACE: Level = Level(5);
    pub const DEBUG: Level = Level(10);
    pub const INFO: Level = Level(20);
    pub const WARNING: Level = Level(30);
    pub const ERROR: Level = Level(40);
    pub const CRITICAL: Level = Level(50);
    /// Above all records: a handler of this level takes none.
    pub const DEACTIVATE: Level = Level(99);

    pub fn name(self) -> &'static str {
        match self {
            Level::NOTSET => "NOTSET",
            Level::TRACE => "TRACE",
            Level::DEBUG => "DEBUG",
            Level::INFO => "INFO",
            Level::WARNING => "WARNING",
            Level::ERROR => "ERROR",
            Level::CRITICAL => "CRITICAL",
            _ => "DEACTIVATE",
        }
    }

    /// The severity of syslog. What it has no name for is a warning there, as in Python.
    pub fn syslog_severity(self) -> u8 {
        match self {
            Level::DEBUG => 7,
            Level::INFO => 6,
            Level::ERROR => 3,
            Level::CRITICAL => 2,
            _ => 4,
        }
    }

    /// A number, a number as text, or a name. `None`: nothing that a level may be.
    pub fn parse(value: &Json) -> Option<Self> {
        match value {
            Json::Integer(digits) => Self::numbered(digits),
            Json::Float(number) if number.fract() == 0.0 => Self::numbered(&format!("{number:.0}")),
            Json::String(text) => Self::numbered(text).or_else(|| Self::named(text)),
            _ => None,
        }
    }

    fn numbered(digits: &str) -> Option<Self> {
        let is_known = matches!(digits, "0" | "5" | "10" | "20" | "30" | "40" | "50" | "99");
        is_known.then(|| digits.parse().ok().map(Level)).flatten()
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "NOTSET" => Level::NOTSET,
            "TRACE" => Level::TRACE,
            "DEBUG" => Level::DEBUG,
            "INFO" => Level::INFO,
            "WARN" | "WARNING" => Level::WARNING,
            "ERROR" => Level::ERROR,
            "FATAL" | "CRITICAL" => Level::CRITICAL,
            "DEACTIVATE" => Level::DEACTIVATE,
            _ => return None,
        })
    }
}

impl From<&tracing::Level> for Level {
    fn from(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::TRACE => Level::TRACE,
            tracing::Level::DEBUG => Level::DEBUG,
            tracing::Level::INFO => Level::INFO,
            tracing::Level::WARN => Level::WARNING,
            tracing::Level::ERROR => Level::ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_numbers_numbers_as_text_and_names() {
        for (json, level) in [
            ("0", 0),
            ("5", 5),
            ("10.0", 10),
            ("99", 99),
            (r#""50""#, 50),
            (r#""0""#, 0),
            (r#""WARN""#, 30),
            (r#""WARNING""#, 30),
            (r#""FATAL""#, 50),
            (r#""CRITICAL""#, 50),
            (r#""DEACTIVATE""#, 99),
            (r#""NOTSET""#, 0),
        ] {
            assert_eq!(Level::parse(&Json::parse(json.as_bytes()).unwrap()), Some(Level(level)), "{json}");
        }
        for json in ["1", "-10", "10.5", "true", "false", "null", "[]", r#""info""#, r#""10.0""#, r#""""#, "010"] {
            let Ok(value) = Json::parse(json.as_bytes()) else { continue };
            assert_eq!(Level::parse(&value), None, "{json}");
        }
    }
}
