//! What a Handlebars template may hold, and that each value it writes is a YAML scalar of its own.

use super::quotes::Quotes;
use handlebars::template::{HelperTemplate, Parameter, Subexpression, TemplateElement};
use handlebars::{Path, Template};

/// Helpers that write their text themselves.
const WRITERS: [&str; 2] = ["yaml", "text"];

/// What `{{refuse "..."}}` is called once it was looked at; no template can write a name with a space.
pub(super) const REFUSE: &str = "refuse with";

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be used: {instead}")]
pub struct Refused {
    pub what: String,
    instead: &'static str,
}

/// Whether what stands on either side of a piece of template leaves room for a scalar.
#[derive(Clone, Copy)]
struct Room {
    before: bool,
    after: bool,
}

/// Makes every `{{x}}` write a YAML scalar and refuses what could write anything else.
pub(super) fn guard(template: &mut Template) -> Result<(), Refused> {
    guard_within(template, Room { before: true, after: true }, &mut Quotes::new())
}

fn guard_within(template: &mut Template, outside: Room, quotes: &mut Quotes) -> Result<(), Refused> {
    let refused = |what: &str, instead| Err(Refused { what: what.to_owned(), instead });
    for index in 0..template.elements.len() {
        let room = Room {
            before: ends_with_room(&template.elements[..index], outside.before),
            after: begins_with_room(&template.elements[index + 1..], outside.after),
        };
        match &mut template.elements[index] {
            TemplateElement::RawString(text) => quotes.follow(text),
            TemplateElement::Comment(_) => {}
            TemplateElement::Expression(expression) => {
                let name = shown(&expression.name);
                if !expression.params.is_empty() && WRITERS.contains(&name.as_str()) {
                    quotes.pass_value();
                    continue;
                }
                if name == "refuse" {
                    // Hubs show the reason as HTML: what a user chose must not come back in it.
                    if !matches!(expression.params.as_slice(), [Parameter::Literal(reason)] if reason.is_string()) {
                        return refused("`{{refuse ...}}`", "it takes the reason, one text in quotes");
                    }
                    expression.name = Parameter::Name(REFUSE.to_owned());
                    continue;
                }
                if quotes.is_inside() {
                    let what = format!("`{{{{{name}}}}}` inside quotes");
                    return refused(&what, "write {{text ...}} there, or let the value stand alone");
                }
                quotes.pass_value();
                if !(room.before && room.after) {
                    let what = format!("`{{{{{name}}}}}` inside a text");
                    return refused(&what, "write {{text ...}} there, or let the value stand alone");
                }
                write_as_yaml(expression);
            }
            TemplateElement::HelperBlock(block) => {
                // A loop's body may follow itself.
                let repeats = |body: &Template| Room {
                    before: room.before && ends_with_room(&body.elements, room.before),
                    after: room.after && begins_with_room(&body.elements, room.after),
                };
                let is_loop = shown(&block.name) == "each";
                for body in [&mut block.template, &mut block.inverse].into_iter().flatten() {
                    let room = if is_loop { repeats(body) } else { room };
                    guard_within(body, room, quotes)?;
                }
            }
            TemplateElement::HtmlExpression(_) => {
                return refused("`{{{...}}}`", "it writes unchecked text; use {{x}} or {{text x}}");
            }
            _ => return refused("`{{>...}}` or `{{*...}}`", "a template reads no other files and defines no partials"),
        }
    }
    Ok(())
}

/// Whether a scalar may follow, whichever way the blocks among the elements go.
fn ends_with_room(elements: &[TemplateElement], before: bool) -> bool {
    let Some((last, rest)) = elements.split_last() else { return before };
    let before = || ends_with_room(rest, before);
    match last {
        TemplateElement::RawString(text) => opens_a_value(text).unwrap_or_else(before),
        TemplateElement::Comment(_) => before(),
        TemplateElement::HelperBlock(block) => {
            let before = before();
            before && bodies(block).all(|body| ends_with_room(&body.elements, before))
        }
        _ => false,
    }
}

/// Whether a scalar may stand before them.
fn begins_with_room(elements: &[TemplateElement], after: bool) -> bool {
    let Some((first, rest)) = elements.split_first() else { return after };
    let after = || begins_with_room(rest, after);
    match first {
        TemplateElement::RawString(text) => closes_a_value(text).unwrap_or_else(after),
        TemplateElement::Comment(_) => after(),
        TemplateElement::HelperBlock(block) => {
            let after = after();
            after && bodies(block).all(|body| begins_with_room(&body.elements, after))
        }
        _ => false,
    }
}

/// `key: `, `- `, a bracket, a comma or the begin of a line; `None` where there are but spaces.
fn opens_a_value(text: &str) -> Option<bool> {
    let trimmed = text.trim_end_matches([' ', '\t']);
    let has_space = trimmed.len() < text.len();
    let line = trimmed.rsplit('\n').next().unwrap_or(trimmed);
    Some(match trimmed.chars().next_back()? {
        '\n' | '[' | '{' | ',' => true,
        ':' => has_space,
        '-' | '?' => has_space && line.split(' ').all(|word| matches!(word, "" | "-" | "?")),
        _ => false,
    })
}

/// The end of a line, a bracket, a comma or the colon behind a key; `None` where there are but spaces.
fn closes_a_value(text: &str) -> Option<bool> {
    let trimmed = text.trim_start_matches([' ', '\t']);
    let has_space = trimmed.len() < text.len();
    let mut characters = trimmed.chars();
    let (first, second) = (characters.next()?, characters.next());
    Some(match first {
        '\n' | '\r' | ']' | '}' | ',' => true,
        ':' => second.is_none_or(char::is_whitespace),
        '#' => has_space,
        _ => false,
    })
}

fn bodies(block: &HelperTemplate) -> impl Iterator<Item = &Template> {
    block.template.iter().chain(&block.inverse)
}

/// `{{x}}` becomes `{{yaml x}}`, `{{helper a b}}` becomes `{{yaml (helper a b)}}`.
fn write_as_yaml(expression: &mut HelperTemplate) {
    let name = std::mem::replace(&mut expression.name, Parameter::Name("yaml".to_owned()));
    let params = std::mem::take(&mut expression.params);
    let hash = std::mem::take(&mut expression.hash);
    let value = if params.is_empty() && hash.is_empty() {
        name
    } else {
        Parameter::Subexpression(Subexpression::new(name, params, hash))
    };
    expression.params = vec![value];
}

fn shown(name: &Parameter) -> String {
    match name {
        Parameter::Name(name) => name.clone(),
        Parameter::Path(Path::Relative((_, raw)) | Path::Local((_, _, raw))) => raw.clone(),
        _ => "...".to_owned(),
    }
}
