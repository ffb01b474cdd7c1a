//! What a plain YAML scalar means, as PyYAML's safe loader has it (YAML 1.1), and how a value is written as a scalar
//! that every loader reads back as that value.

use serde_json::{Number, Value};

/// The value of a plain scalar without a tag.
pub fn resolve(text: &str) -> Result<Value, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(Value::Bool(true)),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(Value::Bool(false)),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Ok(Value::String(text.to_owned()));
    }
    match integer(text).or_else(|| float(text)) {
        Some(Ok(number)) => Ok(Value::Number(number)),
        Some(Err(reason)) => Err(reason),
        None => Ok(Value::String(text.to_owned())),
    }
}

const TOO_LARGE: &str = "this number is too large";

/// `0644` is octal, `1_000` a thousand, `1:30` ninety.
fn integer(text: &str) -> Option<Result<Number, &'static str>> {
    let (negative, digits) = signed(text);
    let plain = digits.replace('_', "");
    let only = |allowed: fn(char) -> bool, text: &str| !text.is_empty() && text.chars().all(allowed);
    let value = if digits == "0" {
        Some(0)
    } else if let Some(binary) = digits.strip_prefix("0b").filter(|it| only(|c| "01_".contains(c), it)) {
        u64::from_str_radix(&binary.replace('_', ""), 2).ok()
    } else if let Some(hex) = digits.strip_prefix("0x").filter(|it| only(|c| c.is_ascii_hexdigit() || c == '_', it)) {
        u64::from_str_radix(&hex.replace('_', ""), 16).ok()
    } else if let Some(octal) = digits.strip_prefix('0').filter(|it| only(|c| ('0'..='7').contains(&c) || c == '_', it))
    {
        u64::from_str_radix(&format!("0{}", octal.replace('_', "")), 8).ok()
    } else if !digits.starts_with(|c: char| ('1'..='9').contains(&c)) {
        return None;
    } else if only(|c| c.is_ascii_digit() || c == '_', digits) {
        plain.parse().ok()
    } else {
        let (first, rest) = digits.split_once(':')?;
        sexagesimal(&first.replace('_', ""), rest)?
    };
    let signed = match (value, negative) {
        (Some(value), true) if value <= 1 << 63 => Some(Number::from((value as i64).wrapping_neg())),
        (Some(value), false) => Some(Number::from(value)),
        _ => None,
    };
    Some(signed.ok_or(TOO_LARGE))
}

/// Base 60: `12:30:00`. `None` where it is none, `Some(None)` where it is too large.
fn sexagesimal(first: &str, rest: &str) -> Option<Option<u64>> {
    if !first.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let mut value = first.parse::<u64>().ok();
    for part in rest.split(':') {
        let digit: u64 = part.parse().ok().filter(|digit| *digit < 60)?;
        if part.len() > 2 || !part.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        value = value.and_then(|value| value.checked_mul(60)?.checked_add(digit));
    }
    Some(value)
}

/// A float needs a point, and its exponent a sign: `1e3` is a text.
fn float(text: &str) -> Option<Result<Number, &'static str>> {
    let (negative, digits) = signed(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err("infinity and NaN have no place in a manifest"));
    }
    let (whole, rest) = digits.split_once('.')?;
    let base_60 = whole.contains(':');
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) if !base_60 => (&rest[..at], Some(&rest[at + 1..])),
        _ => (rest, None),
    };
    let digits_only = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let exponent_is_well = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or_default();
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
    });
    // Without a whole part there is no sign and the fraction begins with a digit.
    let shape_is_well = match whole {
        "" => text.starts_with('.') && fraction.starts_with(|c: char| c.is_ascii_digit()),
        _ => whole.starts_with(|c: char| c.is_ascii_digit()),
    };
    if !exponent_is_well || !shape_is_well || !digits_only(fraction) {
        return None;
    }
    let fraction = fraction.replace('_', "");
    let value = if base_60 {
        let (first, rest) = whole.split_once(':')?;
        let whole = sexagesimal(&first.replace('_', ""), rest)??;
        whole as f64 + format!("0.{fraction}").parse::<f64>().unwrap_or_default()
    } else if digits_only(whole) {
        let exponent = exponent.map(|it| format!("e{it}")).unwrap_or_default();
        format!("0{}.{fraction}0{exponent}", whole.replace('_', "")).parse().ok()?
    } else {
        return None;
    };
    Some(Number::from_f64(if negative { -value } else { value }).ok_or(TOO_LARGE))
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A value as YAML on one line: bare where every loader agrees on what that means, else quoted; lists and objects
/// in brackets.
pub fn to_yaml(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number_to_yaml(number),
        Value::String(text) if is_bare(text) => text.clone(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(in_brackets).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{}: {}", quoted(key), in_brackets(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn in_brackets(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => to_yaml(other),
    }
}

/// A float keeps its point, and its exponent a sign: YAML 1.1 reads `1e22` as a text.
fn number_to_yaml(number: &Number) -> String {
    let text = number.to_string();
    let Some((digits, exponent)) = text.split_once(['e', 'E']) else { return text };
    let digits = if digits.contains('.') { digits.to_owned() } else { format!("{digits}.0") };
    let exponent = if exponent.starts_with(['+', '-']) { exponent.to_owned() } else { format!("+{exponent}") };
    format!("{digits}e{exponent}")
}

/// Letters, digits and `._/-` that no loader takes for anything but a text.
fn is_bare(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let short_bool = matches!(text, "y" | "Y" | "n" | "N");
    let number_like = text.starts_with(|c: char| c.is_ascii_digit() || ".-".contains(c));
    // `aa01-s1` is a text everywhere; `1e3`, `0o7`, `2001-01-01` are not.
    let surely_text =
        !number_like || (!text.starts_with(['.', '-']) && text.contains(|c: char| ('g'..='n').contains(&c)));
    text.chars().all(plain) && !short_bool && surely_text && matches!(resolve(text), Ok(Value::String(_)))
}

/// Double quotes, with everything escaped that is not printable or breaks a line.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::yaml;
    use super::*;

    #[test]
    fn scalars_mean_what_pyyaml_makes_of_them() {
        for (text, value) in [
            ("0644", json!(420)),
            ("0o644", json!("0o644")),
            ("089", json!("089")),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("-12", json!(-12)),
            ("+12", json!(12)),
            ("0", json!(0)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("18446744073709551615", json!(u64::MAX)),
            ("12:30", json!(750)),
            ("22:22:10", json!(80530)),
            ("8080:80", json!("8080:80")),
            ("1:2:60", json!("1:2:60")),
            ("1_0:30", json!(630)),
            ("1:_3", json!("1:_3")),
            ("1:30.5", json!(90.5)),
            ("1.5", json!(1.5)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-.5", json!("-.5")),
            ("1e3", json!("1e3")),
            ("1.0e3", json!("1.0e3")),
            ("1.0e+3", json!(1000.0)),
            ("1.5E-2", json!(0.015)),
            ("._5", json!("._5")),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("n", json!("n")),
            ("tRUE", json!("tRUE")),
            ("~", json!(null)),
            ("", json!(null)),
            ("null", json!(null)),
            ("nULL", json!("nULL")),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            (".", json!(".")),
            ("...", json!("...")),
            ("2001-01-01", json!("2001-01-01")),
            ("100m", json!("100m")),
            ("1Gi", json!("1Gi")),
            ("=", json!("=")),
        ] {
            assert_eq!(resolve(text), Ok(value), "{text}");
        }
        for text in [".inf", "-.INF", ".nan", "18446744073709551616", "-9223372036854775809"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_bare_where_that_is_safe() {
        for (value, text) in [
            (json!("aa01-s0000001"), "aa01-s0000001"),
            (json!("123-lab"), "123-lab"),
            (json!("1e3"), "\"1e3\""),
            (json!("12345-6"), "\"12345-6\""),
            (json!("JupyterLab/Run"), "JupyterLab/Run"),
            (json!("yes"), "\"yes\""),
            (json!("n"), "\"n\""),
            (json!(""), "\"\""),
            (json!("My Lab"), "\"My Lab\""),
            (json!("a\nb: c"), "\"a\\nb: c\""),
            (json!(5), "5"),
            (json!(1.5), "1.5"),
            (json!(1e22), "1.0e+22"),
            (json!([1, "a", null]), "[1, \"a\", null]"),
            (json!({"k": {"q": "\""}}), "{\"k\": {\"q\": \"\\\"\"}}"),
        ] {
            assert_eq!(to_yaml(&value), text);
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[-+.0-9eExXoObB_:yYnN~]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back_the_same(value in any_value()) {
            let text = format!("before: 1\nvalue: {}\nafter: 2\n", to_yaml(&value));
            let documents = yaml::documents(&text).map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
            prop_assert_eq!(&documents[0], &Some(json!({"before": 1, "value": value, "after": 2})), "{}", text);
            let listed = yaml::documents(&format!("[{}, x]", to_yaml(&value))).unwrap();
            prop_assert_eq!(&listed[0], &Some(json!([value, "x"])));
        }
    }
}
