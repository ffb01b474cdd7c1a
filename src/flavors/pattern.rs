//! Patterns as the reference matches them: a regular expression of Python's, else a shell pattern.

use fancy_regex::{Regex, RegexBuilder};

use crate::config::NamePattern;

/// A pattern that needs more steps for one name cannot be decided.
const MOST_STEPS: usize = 100_000;
const LONGEST: usize = 4096;
/// What no shell pattern has a use for: it was meant as a regular expression.
const OF_EXPRESSIONS: &str = "\\(){}|+^$";

/// One pattern, read.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// Anchored at both ends. `None`: it is no regular expression.
    regex: Option<Regex>,
}

/// Matching took too many steps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern `{0}` takes too long to match; write it without repeats within repeats")]
pub struct Undecided(String);

impl Pattern {
    /// Says why it is neither: a text that Python would read another way than we do must not silently mean another thing.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is a pattern of more than {LONGEST} bytes"));
        }
        let regex = match repeats_a_repeat(text) {
            true => None,
            // Alone first: in brackets a stray `)` might look sound.
            false => Regex::new(text)
                .and_then(|_| RegexBuilder::new(&format!(r"\A(?:{text})\z")).backtrack_limit(MOST_STEPS).build())
                .ok(),
        };
        if regex.is_none() && text.chars().any(|c| OF_EXPRESSIONS.contains(c)) {
            return Err(format!(
                "is neither a regular expression that is understood nor a shell pattern: `{}`",
                text.escape_debug()
            ));
        }
        Ok(Self { text: text.to_owned(), regex })
    }

    /// As hubs are matched: a shell pattern is tried only where it is no regular expression.
    pub fn matches_hub(&self, name: &str) -> Result<bool, Undecided> {
        match self.matches_regex(name)? {
            Some(matches) => Ok(matches),
            None => Ok(self.matches_glob(name)),
        }
    }

    /// As users are matched: by the regular expression, else as a shell pattern, else literally.
    pub fn matches_user(&self, value: &str) -> Result<bool, Undecided> {
        Ok(self.matches_regex(value)?.unwrap_or(false) || self.matches_glob(value) || self.text == value)
    }

    fn matches_regex(&self, text: &str) -> Result<Option<bool>, Undecided> {
        let Some(regex) = &self.regex else { return Ok(None) };
        regex.is_match(text).map(Some).map_err(|_| Undecided(self.text.clone()))
    }

    fn matches_glob(&self, text: &str) -> bool {
        NamePattern::new(self.text.as_str()).matches(text)
    }
}

/// `a**` is a mistake in Python, and `a*` repeated elsewhere.
fn repeats_a_repeat(text: &str) -> bool {
    let (mut is_escaped, mut set) = (false, false);
    let mut repeats = 0;
    for c in text.chars() {
        match c {
            _ if is_escaped => (is_escaped, repeats) = (false, 0),
            '\\' => (is_escaped, repeats) = (true, 0),
            ']' => (set, repeats) = (false, 0),
            _ if set => {}
            '[' => (set, repeats) = (true, 0),
            '*' | '+' | '?' => {
                repeats += 1;
                // The second may make it lazy or possessive.
                if repeats > 2 || (repeats == 2 && c == '*') {
                    return true;
                }
            }
            _ => repeats = 0,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches_hub(name).unwrap()
    }

    fn user(pattern: &str, value: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches_user(value).unwrap()
    }

    #[test]
    fn a_regular_expression_has_to_match_all_of_a_hubs_name() {
        assert!(hub("hub[2-9]", "hub2") && !hub("hub[2-9]", "hub1") && !hub("hub[2-9]", "hub22"));
        assert!(hub("a|ab", "ab") && hub("a|ab", "a") && !hub("a|ab", "abc"));
        assert!(hub("(?i)HUB", "hub") && hub("(?!evil).*", "good") && !hub("(?!evil).*", "evil1"));
        assert!(!hub("hub?", "hub2") && hub("hub?", "hu"), "it is a regular expression");
        assert!(!hub("hub", "hub\n"));
    }

    #[test]
    fn what_is_no_regular_expression_is_a_shell_pattern() {
        assert!(hub("*b1", "hub1") && !hub("*b1", "hub2"));
        assert!(hub("hub**", "hub-of-all") && hub("?ub1", "hub1") && hub("*[!1]", "hub2") && !hub("*[!1]", "hub1"));
    }

    #[test]
    fn a_user_is_matched_either_way() {
        assert!(user(".*@mycompany.org", "a@mycompany.org") && !user(".*@mycompany.org", "a@mycompany.org.evil"));
        assert!(user("*@globbed.org", "a@globbed.org") && user("a?", "ab") && user("a?", "a") && user("a?", ""));
        assert!(user("c++", "c++") && user("c++", "ccc"), "literally, too");
        assert!(!user("mallory", "mallory2"));
    }

    #[test]
    fn what_might_mean_another_thing_is_refused() {
        for text in ["(", "a)", r"\", "(a", "*(b)", "a|*"] {
            let reason = Pattern::parse(text).map(|_| ()).unwrap_err();
            assert!(reason.starts_with("is neither a regular expression"), "{text}: {reason}");
        }
        assert!(Pattern::parse(&"a".repeat(LONGEST + 1)).is_err());
    }

    #[test]
    fn a_pattern_that_takes_for_ever_is_not_decided() {
        let pattern = Pattern::parse(r"(a|b|ab)*\1c").unwrap();
        assert!(pattern.matches_user(&"ab".repeat(60)).is_err());
    }
}
