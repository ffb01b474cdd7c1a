//! Secrets become `***`: what is called one, and what looks like one inside a text.

use crate::domain::Json;

const MASK: &str = "***";
/// Parts of names whose values are secret. Names that end in `_name` only say which secret.
const SECRET_NAMES: [&str; 8] =
    ["token", "password", "passwd", "secret", "authorization", "auth_state", "certs", "private_key"];
/// The parts of `certs`.
const SECRET_FILES: [&str; 3] = ["keyfile", "certfile", "cafile"];
/// Words before a secret in a text: headers, and `name=value` of what the names above say.
const SCHEMES: [&str; 3] = ["basic ", "bearer ", "token "];
/// A shorter word after a scheme is prose.
const SHORTEST_CREDENTIAL: usize = 12;

/// The value of `name`, without what is secret in it.
pub fn redacted(name: &str, value: Json) -> Json {
    match value {
        Json::Null => Json::Null,
        Json::Object(members) if is_auth_state(name) => {
            Json::Object(members.into_iter().map(redacted_member).collect())
        }
        _ if is_secret(name) => Json::String(MASK.to_owned()),
        Json::String(text) => Json::String(redacted_text(text)),
        Json::List(items) => Json::List(items.into_iter().map(|item| redacted("", item)).collect()),
        Json::Object(members) => Json::Object(members.into_iter().map(redacted_member).collect()),
        plain => plain,
    }
}

fn redacted_member((key, value): (String, Json)) -> (String, Json) {
    let value = redacted(&key, value);
    (key, value)
}

/// Holds harmless members too, which the reference shows.
fn is_auth_state(name: &str) -> bool {
    name == "auth_state"
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let is_named = SECRET_NAMES.iter().any(|it| name.contains(it)) && !name.ends_with("_name");
    is_named || SECRET_FILES.contains(&name.as_str())
}

fn redacted_text(text: String) -> String {
    let mut text = text;
    let lower = text.to_ascii_lowercase();
    let mut secrets: Vec<std::ops::Range<usize>> = Vec::new();
    for scheme in SCHEMES {
        for (at, _) in lower.match_indices(scheme) {
            let begin = at + scheme.len();
            let end = end_of(&text, begin, is_credential_character);
            let is_word_start = at == 0 || !lower.as_bytes()[at - 1].is_ascii_alphanumeric();
            if is_word_start && end - begin >= SHORTEST_CREDENTIAL {
                secrets.push(begin..end);
            }
        }
    }
    for name in SECRET_NAMES {
        for (at, _) in lower.match_indices(name) {
            secrets.extend(assigned_value(&text, at + name.len()));
        }
    }
    for (at, _) in lower.match_indices("://") {
        let end = end_of(&text, at + 3, |c| !c.is_whitespace() && !"/?#\"'<>".contains(c));
        if let Some(host) = text[at + 3..end].rfind('@')
            && let Some(colon) = text[at + 3..at + 3 + host].find(':')
        {
            secrets.push(at + 3 + colon + 1..at + 3 + host);
        }
    }
    // From behind, so that what comes before keeps its place; what overlaps is part of one secret.
    secrets.sort_by_key(|it| std::cmp::Reverse((it.start, it.end)));
    let mut begin_of_last = usize::MAX;
    for secret in secrets {
        if secret.end <= begin_of_last && !secret.is_empty() {
            begin_of_last = secret.start;
            text.replace_range(secret, MASK);
        }
    }
    text
}

/// The value in `token=value`, `"token": "value"`, `TOKEN: value`.
fn assigned_value(text: &str, after_name: usize) -> Option<std::ops::Range<usize>> {
    let rest = &text[after_name..];
    let name_end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
    if rest[..name_end].to_ascii_lowercase().ends_with("_name") {
        return None;
    }
    let mut at = after_name + name_end;
    at += usize::from(text[at..].starts_with(['"', '\'']));
    at += text[at..].starts_with(['=', ':']).then_some(1)?;
    at += text[at..].len() - text[at..].trim_start_matches(' ').len();
    let quote = text[at..].chars().next().filter(|c| "\"'".contains(*c));
    at += usize::from(quote.is_some());
    // The scheme in `Authorization: Basic ...` stays; what follows it is masked as a credential.
    let lower = text[at..].to_ascii_lowercase();
    if let Some(scheme) = SCHEMES.iter().find(|it| lower.starts_with(**it)) {
        at += scheme.len();
    }
    let end = match quote {
        Some(quote) => end_of(text, at, |c| c != quote),
        None => end_of(text, at, |c| !c.is_whitespace() && !",;)}]&".contains(c)),
    };
    (end > at && text[at..end] != *MASK).then_some(at..end)
}

fn is_credential_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/=:".contains(c)
}

fn end_of(text: &str, begin: usize, belongs: impl Fn(char) -> bool) -> usize {
    text[begin..].find(|c| !belongs(c)).map_or(text.len(), |length| begin + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_called_a_secret_is_masked_at_any_depth() {
        let body = r#"{"env":{"JUPYTERHUB_API_TOKEN":"tok","JUPYTERHUB_USER_ID":7,"n":null},"certs":{"keyfile":"k"},
            "auth_state":{"access_token":"s3cret","x":1},"access-token":"t","list":[{"password":"p"}],
            "Authorization":"Basic x","secret_name":"secret-a-1-k8smgr","credential":"jupyterhub"}"#;
        assert_eq!(
            redacted("", json(body)).to_text(),
            r#"{"env":{"JUPYTERHUB_API_TOKEN":"***","JUPYTERHUB_USER_ID":7,"n":null},"certs":"***","#.to_owned()
                + r#""auth_state":{"access_token":"***","x":1},"access-token":"***","list":[{"password":"***"}],"#
                + r#""Authorization":"***","secret_name":"secret-a-1-k8smgr","credential":"jupyterhub"}"#
        );
    }

    #[test]
    fn what_looks_like_a_secret_inside_a_text_is_masked() {
        for (text, masked) in [
            ("Authorization: Basic anVweXRlcmh1YjpqaHVicHc=", "Authorization: Basic ***"),
            ("sent token b1a3d3b531cdde047d01ec8a27b92c267005b8b5 twice", "sent token *** twice"),
            ("GET /x?token=abc&y=1", "GET /x?token=***&y=1"),
            (r#"{"JUPYTERHUB_API_TOKEN": "a b", "x": 1}"#, r#"{"JUPYTERHUB_API_TOKEN": "***", "x": 1}"#),
            ("{'access_token': 's3', 'x': 1}", "{'access_token': '***', 'x': 1}"),
            ("postgres://me:p@ss:x@db:5432/k8s failed", "postgres://me:***@db:5432/k8s failed"),
            ("https://hub:8000/hub/api ü", "https://hub:8000/hub/api ü"),
            ("the token is not known", "the token is not known"),
            ("secret_name: secret-a-1, Invalid token.", "secret_name: secret-a-1, Invalid token."),
            ("password=", "password="),
            ("tokenü=ä password=ö", "tokenü=ä password=***"),
        ] {
            assert_eq!(redacted("", Json::String(text.to_owned())), Json::String(masked.to_owned()), "{text}");
        }
    }
}
