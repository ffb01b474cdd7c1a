//! Where a template's text stands inside a quoted YAML scalar: a value written there would end the quotes.

/// Follows a template's text from its begin.
pub(super) struct Quotes {
    state: State,
    /// The last character that is no space; a quote opens a scalar only behind some of them.
    last: char,
    is_spaced: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Comment,
    Single,
    Double,
    /// Behind a backslash in double quotes.
    Escaped,
}

impl Quotes {
    pub fn new() -> Self {
        Self { state: State::Plain, last: '\n', is_spaced: true }
    }

    pub fn is_inside(&self) -> bool {
        matches!(self.state, State::Single | State::Double | State::Escaped)
    }

    pub fn follow(&mut self, text: &str) {
        text.chars().for_each(|c| self.step(c));
    }

    /// A value was written here.
    pub fn pass_value(&mut self) {
        (self.last, self.is_spaced) = ('x', false);
    }

    fn step(&mut self, c: char) {
        self.state = match (self.state, c) {
            (State::Comment, '\n') => State::Plain,
            (State::Plain, '#') if self.is_spaced => State::Comment,
            (State::Plain, '\'') if self.opens() => State::Single,
            (State::Plain, '"') if self.opens() => State::Double,
            // `''` within single quotes closes and opens again: the same in the end.
            (State::Single, '\'') | (State::Double, '"') => State::Plain,
            (State::Double, '\\') => State::Escaped,
            (State::Escaped, _) => State::Double,
            (state, _) => state,
        };
        let is_space = c == ' ' || c == '\t';
        self.is_spaced = is_space || c == '\n';
        if !is_space {
            self.last = c;
        }
    }

    /// Whether a quote here begins a scalar; elsewhere it is a character like any other. Behind another quote it may be
    /// the second half of `''`.
    fn opens(&self) -> bool {
        match self.last {
            '\n' | '[' | '{' | ',' | '\'' | '"' => true,
            ':' | '-' | '?' | '!' | '&' => self.is_spaced || self.last == ':',
            // Behind a tag or an anchor.
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Quotes;

    #[test]
    fn quotes_are_followed_as_yaml_reads_them() {
        for (text, is_inside) in [
            ("a: 'x", true),
            ("a: 'x'", false),
            ("a: 'it''s [", true),
            ("a: \"x\\\" [", true),
            ("a: \"x\" # don't\nb: ", false),
            ("a: it's\nb: ", false),
            ("args: ['--hosts=[", true),
            ("args: [\"a\", ", false),
            ("- '{\"profile\": ", true),
            ("# 'a comment\nb: ", false),
        ] {
            let mut quotes = Quotes::new();
            quotes.follow(text);
            assert_eq!(quotes.is_inside(), is_inside, "{text}");
        }
    }
}
