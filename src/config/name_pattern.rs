//! Shell patterns for names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A pattern for one name, as Python's `fnmatch`: `*` (also over a leading dot), `?`, `[a-z]`, `[!a]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NamePattern(String);

impl NamePattern {
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, name: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let name: Vec<char> = name.chars().collect();
        // Where to take up again when the characters behind the last `*` do not match.
        let mut retry: Option<(usize, usize)> = None;
        let (mut p, mut n) = (0, 0);
        while n < name.len() {
            if pattern.get(p) == Some(&'*') {
                retry = Some((p + 1, n));
                p += 1;
            } else if let Some(next) = one_character(&pattern, p, name[n]) {
                p = next;
                n += 1;
            } else if let Some((after_star, from)) = retry {
                retry = Some((after_star, from + 1));
                (p, n) = (after_star, from + 1);
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|&c| c == '*')
    }
}

/// Where the pattern goes on when what stands at `at` matches `c`.
fn one_character(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => match set_at(pattern, at) {
            Some((negated, set, next)) => (set_holds(set, c) != negated).then_some(next),
            None => (c == '[').then_some(at + 1),
        },
        &literal => (literal == c).then_some(at + 1),
    }
}

/// A set such as `[a-z]` or `[!]a]`; an opening bracket without a closing one stands for itself.
fn set_at(pattern: &[char], at: usize) -> Option<(bool, &[char], usize)> {
    let negated = pattern.get(at + 1) == Some(&'!');
    let start = at + 1 + usize::from(negated);
    // A `]` right at the beginning belongs to the set.
    let end = (start + 1..pattern.len()).find(|&i| pattern[i] == ']')?;
    Some((negated, &pattern[start..end], end + 1))
}

fn set_holds(set: &[char], c: char) -> bool {
    let mut i = 0;
    while i < set.len() {
        if i + 2 < set.len() && set[i + 1] == '-' {
            if (set[i]..=set[i + 2]).contains(&c) {
                return true;
            }
            i += 3;
        } else {
            if set[i] == c {
                return true;
            }
            i += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, name, expected) in [
            (".*.swp", ".start.sh.swp", true),
            (".*.swp", "editor.txt.swp", false),
            ("*", ".hidden", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.bak", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]x", "]x", true),
            ("[", "[", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "", true),
            ("", "a", false),
            ("*ü*", "müde", true),
        ] {
            assert_eq!(NamePattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}
