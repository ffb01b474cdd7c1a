//! When a log file is put aside, under which name, and which old ones go: as Python's TimedRotatingFileHandler.
//!
//! Log shippers know those names and times. Pure: seconds since 1970 and a time zone come in.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const DAY: i64 = 24 * 60 * 60;
const WEEK: i64 = 7 * DAY;

/// How often a file is put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Second,
    Minute,
    Hour,
    Day,
    Midnight,
    /// At the end of this day; 0 is Monday.
    Weekday(u8),
}

impl When {
    /// `s m h d w0-w6 midnight`, in small letters or capitals.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_lowercase().as_str() {
            "s" => When::Second,
            "m" => When::Minute,
            "h" => When::Hour,
            "d" => When::Day,
            "midnight" => When::Midnight,
            other => match other.as_bytes() {
                [b'w', day @ b'0'..=b'6'] => When::Weekday(day - b'0'),
                _ => return None,
            },
        })
    }

    fn interval(self) -> i64 {
        match self {
            When::Second => 1,
            When::Minute => 60,
            When::Hour => 60 * 60,
            When::Day | When::Midnight => DAY,
            When::Weekday(_) => WEEK,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            When::Second => "%Y-%m-%d_%H-%M-%S",
            When::Minute => "%Y-%m-%d_%H-%M",
            When::Hour => "%Y-%m-%d_%H",
            When::Day | When::Midnight | When::Weekday(_) => "%Y-%m-%d",
        }
    }

    fn is_at_midnight(self) -> bool {
        matches!(self, When::Midnight | When::Weekday(_))
    }
}

#[derive(Clone, Debug)]
pub struct Rotation {
    when: When,
    zone: TimeZone,
    due_at: i64,
}

impl Rotation {
    /// `begin`: when the file was written last, or now where it is new.
    pub fn new(when: When, zone: TimeZone, begin: i64) -> Self {
        let mut rotation = Self { when, zone, due_at: 0 };
        rotation.due_at = rotation.next(begin);
        rotation
    }

    pub fn is_due(&self, now: i64) -> bool {
        now >= self.due_at
    }

    /// What is appended to the name of the file that is put aside now: the begin of its time.
    pub fn suffix(&self, now: i64) -> String {
        let begin = self.due_at - self.when.interval();
        let shift = i64::from(self.is_dst(now)) - i64::from(self.is_dst(begin));
        self.local(begin + 3600 * shift).strftime(self.when.suffix()).to_string()
    }

    pub fn advance(&mut self, now: i64) {
        let mut next = self.next(now);
        while next <= now {
            next += self.when.interval();
        }
        if self.when.is_at_midnight() {
            next += self.dst_shift(now, next);
        }
        self.due_at = next;
    }

    fn next(&self, now: i64) -> i64 {
        if !self.when.is_at_midnight() {
            return now + self.when.interval();
        }
        let local = self.local(now);
        let (hour, minute, second) = (i64::from(local.hour()), i64::from(local.minute()), i64::from(local.second()));
        let midnight = now + DAY - ((hour * 60 + minute) * 60 + second);
        let When::Weekday(wanted) = self.when else { return midnight };
        let today = i64::from(local.weekday().to_monday_zero_offset());
        let days = (i64::from(wanted) - today).rem_euclid(7);
        if days == 0 {
            return midnight;
        }
        let next = midnight + days * DAY;
        next + self.dst_shift(now, next)
    }

    /// A night on which the clocks change is shorter or longer.
    fn dst_shift(&self, now: i64, then: i64) -> i64 {
        3600 * (i64::from(self.is_dst(now)) - i64::from(self.is_dst(then)))
    }

    fn is_dst(&self, at: i64) -> bool {
        self.zone.to_offset_info(timestamp(at)).dst().is_dst()
    }

    fn local(&self, at: i64) -> jiff::Zoned {
        timestamp(at).to_zoned(self.zone.clone())
    }
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Which files beside `live` go when `keep` old ones may stay; none where `keep` is zero.
pub fn names_to_remove(live: &str, when: When, names: impl IntoIterator<Item = String>, keep: usize) -> Vec<String> {
    if keep == 0 {
        return Vec::new();
    }
    let prefix = format!("{}.", stem(live));
    let is_old = |name: &String| {
        name.starts_with(live)
            && name.strip_prefix(&prefix).is_some_and(|rest| rest.split('.').any(|part| is_suffix(part, when)))
    };
    let mut old: Vec<_> = names.into_iter().filter(is_old).collect();
    old.sort();
    old.truncate(old.len().saturating_sub(keep));
    old
}

/// As `os.path.splitext`: dots at the begin are part of the stem.
fn stem(name: &str) -> &str {
    let leading = name.len() - name.trim_start_matches('.').len();
    name[leading..].rfind('.').map_or(name, |dot| &name[..leading + dot])
}

fn is_suffix(part: &str, when: When) -> bool {
    let shape: String = part.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let pattern = when.suffix().replace("%Y", "0000");
    let pattern = ["%m", "%d", "%H", "%M", "%S"].iter().fold(pattern, |it, field| it.replace(field, "00"));
    shape == pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_this_log_and_period_are_removed() {
        let names = [
            "k.log",
            "k.log.2026-11-18",
            "k.log.2026-11-17",
            "k.log.2026-11-19",
            "k.log.2026-11-01_10",
            "k.log.old",
            "k.2026-11-01",
            "k.2026-11-01.log",
            "k.log.2026-11-16.gz",
            "other.log.2026-11-01",
            "k.log.2026-11-1x",
        ];
        let names = || names.iter().map(|it| (*it).to_owned());
        assert_eq!(names_to_remove("k.log", When::Midnight, names(), 3), ["k.log.2026-11-16.gz"]);
        assert_eq!(names_to_remove("k.log", When::Hour, names(), 1), Vec::<String>::new());
        assert_eq!(names_to_remove("k.log", When::Day, names(), 0), Vec::<String>::new());
        assert_eq!(names_to_remove("k.log", When::Day, names(), 9), Vec::<String>::new());
        assert_eq!(stem(".hidden"), ".hidden");
        assert_eq!(stem("a.b.c"), "a.b");
    }

    #[test]
    fn periods_are_read_in_any_case() {
        assert_eq!(When::parse("MIDNIGHT"), Some(When::Midnight));
        assert_eq!(When::parse("W6"), Some(When::Weekday(6)));
        for text in ["", "y", "w", "w7", "w00", "hour"] {
            assert_eq!(When::parse(text), None, "{text}");
        }
    }
}
