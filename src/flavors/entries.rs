//! What a flavor and a credit hold. Keys that mean nothing to us go to the hub as they are.

use jiff::SignedDuration;

use crate::domain::{Json, Limits};

/// The longest runtime: it has to be a date.
const MOST_DAYS: i64 = 36_500;
/// The keyword arguments of Python's `timedelta`, in microseconds.
const UNITS: [(&str, i64); 7] = [
    ("weeks", 7 * 24 * 3_600_000_000),
    ("days", 24 * 3_600_000_000),
    ("hours", 3_600_000_000),
    ("minutes", 60_000_000),
    ("seconds", 1_000_000),
    ("milliseconds", 1000),
    ("microseconds", 1),
];

/// One entry of a file.
pub trait Entry: Sized {
    /// What the file calls all of them, and the key with other values for some of them.
    const KEY: &'static str;
    const OVERRIDES: &'static str;
    /// The first key that is wrong (empty: the entry itself) and why.
    fn read(value: &Json) -> Result<Self, (String, String)>;
}

/// One flavor, as it holds for somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Flavor {
    /// The whole mapping.
    pub members: Vec<(String, Json)>,
    /// Without the one for all flavors, which is the configuration's.
    pub limits: Limits,
    pub runtime: Option<SignedDuration>,
    /// How long before the end a user is told of it.
    pub warning: Option<SignedDuration>,
    /// An object, empty where the flavor says nothing.
    pub resources: Json,
}

/// One credit: a mapping, or a plain value in the flat form. We only hand it on.
#[derive(Clone, Debug, PartialEq)]
pub struct Credit(pub Json);

impl Entry for Credit {
    const KEY: &'static str = "credits";
    const OVERRIDES: &'static str = "creditsOverride";

    fn read(value: &Json) -> Result<Self, (String, String)> {
        Ok(Self(value.clone()))
    }
}

impl Entry for Flavor {
    const KEY: &'static str = "flavors";
    const OVERRIDES: &'static str = "flavorsOverride";

    fn read(value: &Json) -> Result<Self, (String, String)> {
        let Json::Object(members) = value else { return Err((String::new(), "must be a mapping".to_owned())) };
        let at = |key: &str, read: Result<Option<i64>, &str>| read.map_err(|it| (key.to_owned(), it.to_owned()));
        let runtime = runtime(value.get("runtime")).map_err(|(key, reason)| (format!("runtime{key}"), reason))?;
        let warning = at("warn_minutes", whole(value.get("warn_minutes"), 1, "must be a whole number, 1 or more"))?;
        let resources = match value.get("resources") {
            None | Some(Json::Null) => Json::empty_object(),
            Some(object @ Json::Object(_)) => object.clone(),
            Some(_) => return Err(("resources".to_owned(), "must be a mapping".to_owned())),
        };
        Ok(Self {
            members: members.clone(),
            limits: Limits {
                max: at("max", max(value.get("max")))?,
                per_user: at("maxPerUser", per_user(value.get("maxPerUser")))?,
                global_per_user: None,
            },
            runtime,
            warning: warning.map(|it| SignedDuration::from_mins(it.min(MOST_DAYS * 24 * 60))),
            resources,
        })
    }
}

/// -1 is none.
fn max(value: Option<&Json>) -> Result<Option<i64>, &'static str> {
    const WANTED: &str = "must be a whole number: -1 (no limit), 0 (nobody) or more";
    let Some(value) = value else { return Ok(None) };
    let number = whole(Some(value), -1, WANTED)?.ok_or(WANTED)?;
    Ok((number >= 0).then_some(number))
}

/// 0 is none.
fn per_user(value: Option<&Json>) -> Result<Option<i64>, &'static str> {
    Ok(whole(value, 0, "must be a whole number: 0 (no limit) or more")?.filter(|it| *it > 0))
}

fn whole(value: Option<&Json>, least: i64, wanted: &'static str) -> Result<Option<i64>, &'static str> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Integer(digits)) => match digits.parse() {
            Ok(number) if number >= least => Ok(Some(number)),
            _ => Err(wanted),
        },
        Some(_) => Err(wanted),
    }
}

/// Empty and null are none, as in Python.
fn runtime(value: Option<&Json>) -> Result<Option<SignedDuration>, (String, String)> {
    let refused = |key: &str, reason: &str| (key.to_owned(), reason.to_owned());
    let parts = match value {
        None | Some(Json::Null | Json::Bool(false)) => return Ok(None),
        Some(Json::Object(parts)) if parts.is_empty() => return Ok(None),
        Some(Json::Object(parts)) => parts,
        Some(_) => return Err(refused("", "must be a mapping such as {hours: 2}")),
    };
    let mut microseconds = 0.0;
    for (key, value) in parts {
        let Some((_, unit)) = UNITS.iter().find(|(name, _)| name == key) else {
            let names = UNITS.map(|(name, _)| name).join(", ");
            return Err(refused(&format!(".{key}"), &format!("is no unit of time; there are {names}")));
        };
        let number = match value {
            Json::Integer(digits) => digits.parse::<f64>().unwrap_or(f64::INFINITY),
            Json::Float(number) => *number,
            _ => return Err(refused(&format!(".{key}"), "must be a number")),
        };
        microseconds += number * *unit as f64;
    }
    if microseconds.is_nan() || microseconds < 1.0 {
        return Err(refused("", "must be some time; leave it out where services have no end"));
    }
    if microseconds > (MOST_DAYS * 24 * 3_600_000_000) as f64 {
        return Err(refused("", &format!("must be at most {MOST_DAYS} days; leave it out where services have no end")));
    }
    Ok(Some(SignedDuration::from_micros(microseconds.round() as i64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Flavor, String> {
        Flavor::read(&Json::parse(text.as_bytes()).unwrap()).map_err(|(key, reason)| format!("{key}: {reason}"))
    }

    #[test]
    fn limits_that_are_none_are_none() {
        let limits = |text: &str| read(text).unwrap().limits;
        assert_eq!(limits("{}"), Limits::default());
        assert_eq!(limits(r#"{"max": -1, "maxPerUser": 0}"#), Limits::default());
        assert_eq!(limits(r#"{"maxPerUser": null}"#), Limits::default());
        let both = Limits { max: Some(0), per_user: Some(3), global_per_user: None };
        assert_eq!(limits(r#"{"max": 0, "maxPerUser": 3}"#), both);
    }

    #[test]
    fn a_runtime_is_a_timedelta() {
        let runtime = |text: &str| read(&format!("{{\"runtime\": {text}}}")).map(|it| it.runtime);
        let seconds = |it| Ok(Some(SignedDuration::from_secs(it)));
        assert_eq!(runtime(r#"{"hours": 120}"#), seconds(432_000));
        assert_eq!(runtime(r#"{"weeks": 1, "days": 1, "minutes": 1.5, "seconds": 3}"#), seconds(691_293));
        let small = Ok(Some(SignedDuration::from_micros(1002)));
        assert_eq!(runtime(r#"{"milliseconds": 1, "microseconds": 2}"#), small);
        assert_eq!(runtime(r#"{"days": 1, "hours": -23}"#), seconds(3600));
        for none in ["null", "{}", "false"] {
            assert_eq!(runtime(none), Ok(None));
        }
        for wrong in [r#"{"lightyears": 1}"#, r#"{"hours": "2"}"#, "5", r#"{"hours": 0}"#, r#"{"hours": 1e99}"#] {
            assert!(runtime(wrong).is_err(), "{wrong}");
        }
        let error = runtime(r#"{"lightyears": 1}"#).unwrap_err();
        assert!(error.starts_with("runtime.lightyears: is no unit of time; there are weeks, days, "), "{error}");
    }

    #[test]
    fn what_is_of_another_type_is_refused() {
        for (text, message) in [
            ("null", ": must be a mapping"),
            (r#"{"max": null}"#, "max: must be a whole number: -1 (no limit), 0 (nobody) or more"),
            (r#"{"max": "3"}"#, "max: must be a whole number: -1 (no limit), 0 (nobody) or more"),
            (r#"{"max": 1.5}"#, "max: must be a whole number: -1 (no limit), 0 (nobody) or more"),
            (r#"{"max": -2}"#, "max: must be a whole number: -1 (no limit), 0 (nobody) or more"),
            (r#"{"maxPerUser": -1}"#, "maxPerUser: must be a whole number: 0 (no limit) or more"),
            (r#"{"warn_minutes": 0}"#, "warn_minutes: must be a whole number, 1 or more"),
            (r#"{"resources": [1]}"#, "resources: must be a mapping"),
        ] {
            assert_eq!(read(text), Err(message.to_owned()), "{text}");
        }
    }
}
