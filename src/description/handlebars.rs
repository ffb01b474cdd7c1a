//! service.yaml.hbs: a Handlebars template that cannot break the YAML it stands in.
//!
//! `{{x}}` gives a complete YAML scalar (or list or object), quoted where needed; `{{text x}}` gives bare text for use
//! inside a string and refuses what would break the line. What is not known is an error. Templates read no other
//! files, and no secret is within their reach.

use std::fmt;
use std::io::{self, Write};

use handlebars::{
    Context, Handlebars, Helper, HelperDef, JsonValue, Output, RenderContext, RenderError, RenderErrorReason,
    ScopedJson, Template, no_escape,
};
use serde_json::{Map, Value, json};

use super::DescriptionRequest;
use super::names::{certs_secret_name, secret_name};
use super::render::{Replacements, own_keywords};
use super::template_guard::{self, Refused};
use super::yaml_scalar::to_yaml;
use crate::domain::Json;
use crate::domain::outpost::OutpostStart;

/// A rendered file is at most this large: loops over what a client sends must end somewhere.
const MOST_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("{file}: {reason}")]
    Syntax { file: String, place: Place, reason: String },
    #[error("{file}: {refused}")]
    Refused { file: String, refused: Refused },
    #[error("{file}{place}: {reason}")]
    Render {
        file: String,
        place: Place,
        reason: String,
        /// The path of the value that is not known, where that is the reason.
        missing: Option<String>,
    },
}

/// Where in a template (line and column), as far as it is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Place(pub Option<(usize, usize)>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((line, column)) => write!(f, ", line {line} column {column}"),
            None => Ok(()),
        }
    }
}

/// The request less its secrets, and the operator's keywords.
pub fn context(request: &DescriptionRequest<'_>, replacements: &Replacements<'_>, input: &str) -> Value {
    let mut context = Map::new();
    let own = own_keywords(&request.config.services.replace, request.stage, request.credential.as_str());
    for (keyword, value) in own {
        // The first of a name wins, as with keywords, and a value may hold a keyword here too.
        context.entry(keyword).or_insert_with(|| Value::String(replacements.apply(value)));
    }
    let known = json!({
        "user_options": request.user_options.to_value(),
        "env": request.env_names,
        "stage": request.stage,
        "credential": request.credential.as_str(),
        "id": request.id.as_str(),
        "server_name": request.outpost.map_or(request.server_name.as_str(), |it| it.name.as_str()),
        "start_id": request.start_id.as_str(),
        "service": request.service.as_str(),
        "user_id": request.user_id,
        "unique_user_id": format!("{}_{}", request.credential, request.user_id),
        "secret_name": secret_name(request.id, request.deployment_name),
        "secret_certs_name": certs_secret_name(request.id, request.deployment_name),
        "namespace": request.namespace,
        "input": input,
    });
    if let Value::Object(known) = known {
        context.extend(known);
    }
    let outposts = json!({
        "flavor": request.flavor,
        "resources": request.resources.map_or_else(|| json!({}), Json::to_value),
        "misc": request.outpost.map_or_else(|| json!({}), |it| it.misc.to_value()),
        "outpost": request.outpost.map(|it| outpost(it, request.namespace)),
    });
    if let Value::Object(outposts) = outposts {
        // Operators may have had keywords of these names before.
        for (name, value) in outposts {
            context.entry(name).or_insert(value);
        }
    }
    Value::Object(context)
}

/// What a hub of Outpost's protocol expects of the server.
fn outpost(start: &OutpostStart, namespace: &str) -> Value {
    json!({
        "name": start.name.as_str(),
        "name_label": start.name_label,
        "username": start.username,
        "username_label": start.username_label,
        "pod_name": start.pod_name,
        "dns_name": start.host(&start.pod_name, namespace),
        "port": start.port,
        "ip": start.ip,
        "internal_ssl": start.internal_ssl,
        "has_certificates": start.has_certificates,
        "services_enabled": start.services_enabled,
        "labels": start.labels,
    })
}

/// `file` is what messages call the template.
pub fn render(file: &str, text: &str, context: &Value) -> Result<String, TemplateError> {
    let mut template = Template::compile(text).map_err(|error| TemplateError::Syntax {
        file: file.to_owned(),
        place: Place(error.pos()),
        reason: one_line(&error.to_string()),
    })?;
    template_guard::guard(&mut template)
        .map_err(|refused| TemplateError::Refused { file: file.to_owned(), refused })?;
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(no_escape);
    registry.unregister_helper("log");
    registry.register_helper("yaml", Box::new(Yaml));
    registry.register_helper("text", Box::new(Text));
    registry.register_helper("default", Box::new(Default));
    registry.register_helper(template_guard::REFUSE, Box::new(Refuse));
    registry.register_template(file, template);
    let mut rendered = Bounded(Vec::new());
    registry.render_to_write(file, context, &mut rendered).map_err(|error| TemplateError::Render {
        file: file.to_owned(),
        place: Place(error.line_no.zip(error.column_no)),
        reason: plain_reason(error.reason()),
        missing: match error.reason() {
            RenderErrorReason::MissingVariable(name) => name.clone(),
            _ => None,
        },
    })?;
    String::from_utf8(rendered.0).map_err(|error| TemplateError::Syntax {
        file: file.to_owned(),
        place: Place(None),
        reason: error.to_string(),
    })
}

fn plain_reason(reason: &RenderErrorReason) -> String {
    match reason {
        RenderErrorReason::MissingVariable(Some(name)) => format!("`{name}` is not known here"),
        RenderErrorReason::MissingVariable(None) => "a value is not known here".to_owned(),
        RenderErrorReason::HelperNotFound(name) => format!("there is no helper `{name}`"),
        other => other.to_string(),
    }
}

/// The parser draws the place with several lines; the first two say it.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn first<'a>(helper: &'a Helper<'_>) -> Result<&'a JsonValue, RenderError> {
    let param = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("yaml", 0))?;
    if param.is_value_missing() {
        return Err(RenderError::strict_error(param.relative_path()));
    }
    Ok(param.value())
}

struct Yaml;

impl HelperDef for Yaml {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> Result<(), RenderError> {
        Ok(out.write(&to_yaml(first(helper)?))?)
    }
}

struct Text;

impl HelperDef for Text {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> Result<(), RenderError> {
        let text = match first(helper)? {
            Value::String(text) => text.clone(),
            value @ (Value::Number(_) | Value::Bool(_)) => to_yaml(value),
            _ => return Err(refuse("null, lists and objects have no bare text")),
        };
        match what_breaks(&text) {
            Some(what) => {
                Err(refuse(&format!("a value holds {what}, which cannot stand inside a text; use {{{{x}}}}")))
            }
            None => Ok(out.write(&text)?),
        }
    }
}

fn refuse(reason: &str) -> RenderError {
    RenderErrorReason::Other(reason.to_owned()).into()
}

/// What would end the text, begin another value or change how the text is read, whether it stands in quotes or not.
fn what_breaks(text: &str) -> Option<&'static str> {
    let line_break =
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if text.contains(line_break) {
        Some("a line break or control character")
    } else if text.contains(['"', '\'', '\\', '`']) {
        Some("a quote or backslash")
    } else if text.contains('#') {
        Some("`#`")
    } else if text.contains(": ") || text.starts_with(':') || text.ends_with(':') {
        Some("a colon that begins a value")
    } else if text.contains(['[', ']', '{', '}', ',']) {
        Some("a bracket or comma")
    } else if text.starts_with(['&', '*', '!', '|', '>', '%', '@', '?', '-', '<', '=']) && !is_number(text) {
        Some("a sign of YAML at its beginning")
    } else if text.starts_with(' ') || text.ends_with(' ') {
        Some("a space at its beginning or end")
    } else {
        None
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

/// `{{default x "fallback"}}`: the fallback where the value is missing or null.
struct Default;

impl HelperDef for Default {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let fallback = helper.param(1).ok_or(RenderErrorReason::ParamNotFoundForIndex("default", 1))?;
        let given = helper.param(0).filter(|it| !it.is_value_missing() && !it.value().is_null());
        let chosen = given.unwrap_or(fallback);
        if chosen.is_value_missing() {
            return Err(RenderError::strict_error(chosen.relative_path()));
        }
        Ok(ScopedJson::Derived(chosen.value().clone()))
    }
}

/// `{{refuse "size is small or large"}}`: the start fails with this text.
struct Refuse;

impl HelperDef for Refuse {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn Output,
    ) -> Result<(), RenderError> {
        Err(refuse(first(helper)?.as_str().unwrap_or_default()))
    }
}

/// Takes no more than a bound.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            return Err(io::Error::other("the rendered file is too large"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::yaml;
    use super::*;

    fn context() -> Value {
        json!({
            "id": "aa01-s1", "name": "My \"Lab\"\nx: 1", "number": 5, "yes": "yes", "null": null,
            "user_options": {"profile": "big", "gpus": [0, 1], "flag": false, "deep": {"a": "b c"}},
        })
    }

    fn rendered(text: &str) -> String {
        render("service.yaml.hbs", text, &context()).unwrap()
    }

    fn refused(text: &str) -> String {
        render("service.yaml.hbs", text, &context()).unwrap_err().to_string()
    }

    #[test]
    fn values_are_scalars_quoted_where_needed() {
        for (template, text) in [
            ("a: {{id}}", "a: aa01-s1"),
            ("a: {{name}}", "a: \"My \\\"Lab\\\"\\nx: 1\""),
            ("a: {{number}}", "a: 5"),
            ("a: {{yes}}", "a: \"yes\""),
            ("a: {{user_options.gpus}}", "a: [0, 1]"),
            ("a: {{user_options.deep}}", "a: {\"a\": \"b c\"}"),
            ("a: {{null}}", "a: null"),
            ("a: [{{id}}, {{number}}]", "a: [aa01-s1, 5]"),
            ("a: depl-{{text id}}", "a: depl-aa01-s1"),
            ("a: \"x {{text user_options.deep.a}}\"", "a: \"x b c\""),
            ("a: n{{text number}}", "a: n5"),
            ("a: {{default user_options.nothing \"fall back\"}}", "a: \"fall back\""),
            ("a: {{default null 3}}", "a: 3"),
            ("a: x{{text (default user_options.nothing.at.all \"b\")}}", "a: xb"),
            ("{{#if (eq user_options.profile \"big\")}}\na: 1\n{{else}}\na: 2\n{{/if}}\n", "a: 1\n"),
            ("{{#if (and user_options.flag user_options.profile)}}1{{else}}2{{/if}}", "2"),
            ("{{#if (or user_options.flag (ne user_options.profile \"x\"))}}1{{else}}2{{/if}}", "1"),
            ("a: {{lookup user_options \"profile\"}}", "a: big"),
            ("{{#each user_options.gpus}}\n- {{this}}\n{{/each}}\n", "- 0\n- 1\n"),
            ("{{#each user_options.deep}}\n{{@key}}: {{this}}\n{{/each}}\n", "a: \"b c\"\n"),
            ("{{#with user_options.deep}}a: {{a}}{{/with}}", "a: \"b c\""),
            ("a: [{{#each user_options.gpus}}{{this}}, {{/each}}]", "a: [0, 1, ]"),
            ("a: {{#if id}}{{id}}{{else}}{{number}}{{/if}}\n", "a: aa01-s1\n"),
            ("- {{id}} # why\n", "- aa01-s1 # why\n"),
            ("{{! a comment }}a: <id>", "a: <id>"),
        ] {
            assert_eq!(rendered(template), text, "{template}");
        }
    }

    #[test]
    fn what_is_not_known_is_an_error_with_its_place() {
        assert_eq!(refused("a: 1\nb: {{nothing}}\n"), "service.yaml.hbs, line 2 column 4: `nothing` is not known here");
        assert!(refused("b: {{user_options.nothing}}").contains("is not known here"));
        assert!(refused("b: {{lookup user_options \"x\"}}").contains("is not known here"));
        assert!(refused("b: {{shout id}}").contains("there is no helper `shout`"));
        assert!(refused("b: {{#if}").starts_with("service.yaml.hbs: "));
    }

    #[test]
    fn a_template_refuses_what_it_does_not_know_with_its_own_words() {
        let sized =
            "{{#if (eq user_options.profile \"small\")}}a: 1\n{{else}}\n{{refuse \"profile is small\"}}\n{{/if}}\n";
        assert_eq!(refused(sized), "service.yaml.hbs, line 3 column 1: profile is small");
        assert_eq!(rendered("{{#unless id}}\n{{refuse \"no\"}}\n{{/unless}}a: 1"), "a: 1");
        for echo in ["{{refuse user_options.profile}}", "{{refuse (lookup user_options \"profile\")}}", "{{refuse 5}}"]
        {
            assert!(refused(echo).contains("one text in quotes"), "{echo}");
        }
        assert!(refused("{{text (refuse user_options.profile)}}").contains("no helper"));
    }

    #[test]
    fn nothing_else_writes_and_no_other_file_is_read() {
        for template in
            ["{{{id}}}", "{{&id}}", "{{> other}}", "{{#*inline \"x\"}}{{/inline}}", "{{#if id}}{{{id}}}{{/if}}"]
        {
            assert!(refused(template).contains("cannot be used"), "{template}");
        }
        assert!(refused("{{log id}}").contains("no helper"));
        for template in [
            "depl-{{id}}",
            "{{id}}-x",
            "a{{default id 1}}",
            "{{id}}{{id}}",
            "x{{#if id}}{{id}}{{/if}}",
            "a: {{#if id}}x{{/if}}{{id}}",
            "a: {{#if id}}{{else}}x{{/if}}{{id}}",
            "a: {{id}}{{#if id}}x{{/if}}",
            "a: {{#if id}}{{id}}{{/if}}x",
            "a: x{{! no }}{{id}}",
            "image: {{id}}:5000/x",
            "- hello {{id}}",
            "- {{id}} hello",
            "a:{{id}}",
            "- x - {{id}} ",
            "a: [{{#each user_options.gpus}}{{this}}{{/each}}]",
        ] {
            assert!(refused(template).contains("inside a text"), "{template}");
        }
    }

    #[test]
    fn a_value_cannot_end_the_quotes_that_it_stands_in() {
        for template in [
            "\"{{id}}\"",
            "args: ['--hosts=[{{user_options.p}}]']",
            "value: '{\"profile\": {{user_options.p}}}'",
            "value: \"a: {{user_options.p}}\"",
            "value: '{{#if id}}[{{id}}]{{/if}}'",
            "a: 'it''s [{{id}}]'",
        ] {
            assert!(refused(template).contains("inside quotes"), "{template}");
        }
        assert_eq!(rendered("a: 'x' # don't\nb: {{id}}\n"), "a: 'x' # don't\nb: aa01-s1\n");
    }

    #[test]
    fn bare_text_that_breaks_a_line_is_refused() {
        for bad in [
            "a\nb", "\u{85}", "\u{2028}", "\"", "'", "\\", "a #b", "a: b", "a:", ":a", "a,b", "]", "{", "*x", "&x",
            "!x", " a", "a ", "- a", "<<",
        ] {
            let text = render("t", "a: x {{text v}} y", &json!({"v": bad}));
            assert!(text.is_err(), "{bad:?} {text:?}");
        }
        for value in [json!(null), json!([1]), json!({})] {
            assert!(render("t", "{{text v}}", &json!({"v": value})).is_err());
        }
    }

    #[test]
    fn a_loop_over_what_a_client_sends_ends() {
        let many = vec!["x".repeat(10_000); 100];
        let template = "{{#each v}}{{#each ../v}}a: {{this}}\n{{/each}}{{/each}}";
        let error = render("t", template, &json!({"v": many})).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
    }

    proptest! {
        #[test]
        fn a_value_reads_back_as_it_was(value in any::<String>()) {
            let text = render("t", "a: {{v}}\nb: 1\n", &json!({"v": value})).unwrap();
            prop_assert_eq!(&yaml::documents(&text).unwrap()[0], &Some(json!({"a": value, "b": 1})));
        }

        #[test]
        fn bare_text_stays_within_its_text(value in "\\PC*|[-a-c :#,&*!|>%@?\"'{}\\[\\]\\\\]{0,6}") {
            let quoted = "a: 'x {{text v}} y'\nb: \"x {{text v}} y\"\nc: x {{text v}} y\nd: [x {{text v}} y]\n";
            let Ok(text) = render("t", quoted, &json!({"v": value})) else { return Ok(()) };
            let whole = format!("x {value} y");
            let read = yaml::documents(&text).map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
            prop_assert_eq!(&read[0], &Some(json!({"a": whole, "b": whole, "c": whole, "d": [whole]})), "{}", text);
        }

        #[test]
        fn bare_text_never_adds_a_value(value in "\\PC*|[-a-c :#,&*!|>%@?\"'{}\\[\\]\\\\]{0,6}") {
            let Ok(text) = render("t", "a: {{text v}}\nb: 1\n", &json!({"v": value})) else { return Ok(()) };
            let read = yaml::documents(&text).map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
            let Some(Value::Object(members)) = &read[0] else { return Err(TestCaseError::fail(text)) };
            prop_assert!(members.len() == 2 && members["b"] == 1 && !members["a"].is_array() && !members["a"].is_object(), "{}", text);
        }
    }
}
