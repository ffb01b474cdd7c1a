//! What use cases fail with, as this door tells it: in words for the user, as text that is safe where a hub shows it as HTML.

use super::OutpostError;
use super::error::Invalid;
use crate::domain::record::Details;
use crate::outpost::RequestError;
use crate::services::{PollError, StartError, StopError, UpError};

impl From<PollError> for OutpostError {
    fn from(error: PollError) -> Self {
        match error {
            PollError::NotFound => OutpostError::NoSuchService,
        }
    }
}

impl From<StopError> for OutpostError {
    fn from(error: StopError) -> Self {
        match error {
            StopError::NotFound => OutpostError::NoSuchService,
        }
    }
}

impl From<RequestError> for OutpostError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Choice(_) | RequestError::Template(_) => {
                OutpostError::failed("ValueError", &error.to_string())
            }
            RequestError::Authentication(error) => error.into(),
            RequestError::Environment(error) => {
                OutpostError::Invalid(vec![Invalid::new("value_error", &["env"], format!("Value error, {error}"))])
            }
        }
    }
}

impl From<StartError> for OutpostError {
    fn from(error: StartError) -> Self {
        tracing::warn!(%error, "start failed");
        if let StartError::Refused(refusal) = &error {
            return OutpostError::refused(&refusal.to_string());
        }
        let class = match &error {
            StartError::Description(_) | StartError::NoAddress { .. } => "ValueError",
            StartError::TooSlow => "TimeoutError",
            _ => "RuntimeError",
        };
        OutpostError::failed(class, &error.to_string())
    }
}

impl From<UpError> for OutpostError {
    fn from(error: UpError) -> Self {
        match error {
            UpError::Start(error) => error.into(),
            UpError::Failed(details) => OutpostError::failed("RuntimeError", &explanation(&details)),
            UpError::TooSlow { details, .. } => OutpostError::failed("TimeoutError", &explanation(&details)),
            UpError::Stopped => OutpostError::failed("RuntimeError", &error.to_string()),
        }
    }
}

/// Headline, exit code, then what was told of logs and events, as plain text.
fn explanation(details: &Details) -> String {
    let exit_code = details.exit_code.map(|it| format!(" (exit code {it})")).unwrap_or_default();
    let further = plain_text(&details.detailed_error);
    let separator = if further.is_empty() { "" } else { ": " };
    format!("{}{exit_code}{separator}{further}", details.error)
}

/// HTML without its tags; what stood between them is separated.
fn plain_text(html: &str) -> String {
    let mut parts = Vec::new();
    for piece in html.split('<') {
        let text = piece.split_once('>').map_or(piece, |(_, text)| text).replace("&nbsp;", " ").replace("&nbsp", " ");
        let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&amp;", "&")];
        let text = entities.iter().fold(text, |text, (entity, plain)| text.replace(entity, plain));
        if !text.trim().is_empty() {
            parts.push(text.trim().to_owned());
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_is_plain_text() {
        let html = "<details><summary>&nbsp&nbspContainer Logs</summary>a &lt;b&gt;<br>c &amp; &#x27;d&#x27;</details>";
        let details = Details { exit_code: Some(3), ..Details::new("Service status is Failed", html) };
        assert_eq!(explanation(&details), "Service status is Failed (exit code 3): Container Logs; a <b>; c & 'd'");
        assert_eq!(explanation(&Details::new("Gone", "")), "Gone");
    }
}
