//! The page at `/docs`: Swagger UI out of the binary. Nothing is loaded from elsewhere, and the headers forbid it.

use std::io::Read;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, HeaderValue, VARY};
use http::{HeaderName, StatusCode};

use super::readable;
use crate::http::{ApiError, Call, Reply};

/// A file that the page loads.
pub struct Asset {
    pub name: &'static str,
    media_type: &'static str,
    content: Content,
}

enum Content {
    Plain(&'static str),
    /// Kept and, where the client takes it, sent by gzip.
    Gzip(&'static [u8]),
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// `scripts/swagger-ui` says where the packed ones come from.
pub const ASSETS: [Asset; 4] = [
    Asset {
        name: "swagger-ui-bundle.js",
        media_type: SCRIPT,
        content: Content::Gzip(include_bytes!("assets/swagger-ui-bundle.js.gz")),
    },
    Asset {
        name: "swagger-ui.css",
        media_type: STYLE,
        content: Content::Gzip(include_bytes!("assets/swagger-ui.css.gz")),
    },
    Asset { name: "page.js", media_type: SCRIPT, content: Content::Plain(include_str!("assets/page.js")) },
    Asset { name: "page.css", media_type: STYLE, content: Content::Plain(include_str!("assets/page.css")) },
];

/// Requests go to this server only, and no other page can show this one in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PROTECTION: [(&str, &str); 4] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// `/docs`.
pub fn page(call: Call) -> Reply {
    readable(call, || {
        protected(Reply::page(StatusCode::OK, HTML, Bytes::from_static(include_bytes!("assets/page.html"))))
    })
}

/// `/docs/<file>`.
pub fn asset(name: String, call: Call) -> Reply {
    let Some(asset) = ASSETS.iter().find(|it| it.name == name) else {
        return Reply::error(&ApiError::NotFound, None);
    };
    let accepted = call.header_text(ACCEPT_ENCODING.as_str()).unwrap_or_default();
    readable(call, || {
        let reply = match asset.content {
            Content::Plain(text) => Reply::page(StatusCode::OK, asset.media_type, Bytes::from_static(text.as_bytes())),
            Content::Gzip(packed) if takes_gzip(&accepted) => {
                Reply::page(StatusCode::OK, asset.media_type, Bytes::from_static(packed))
                    .with(CONTENT_ENCODING, HeaderValue::from_static("gzip"))
            }
            Content::Gzip(packed) => match unpacked(packed) {
                Ok(text) => Reply::page(StatusCode::OK, asset.media_type, text),
                Err(error) => {
                    tracing::error!(%error, "failed to unpack a file of the page");
                    return Reply::error(&ApiError::Internal, None);
                }
            },
        };
        // Asked for again at each visit: a newer version has the same names.
        protected(reply.with(VARY, HeaderValue::from_static("accept-encoding")))
            .with(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
    })
}

fn protected(reply: Reply) -> Reply {
    PROTECTION
        .into_iter()
        .fold(reply, |reply, (name, value)| reply.with(HeaderName::from_static(name), HeaderValue::from_static(value)))
}

fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|it| {
        let (coding, weight) = it.split_once(';').unwrap_or((it, ""));
        coding.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0")
    })
}

fn unpacked(packed: &[u8]) -> std::io::Result<Bytes> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut text)?;
    Ok(text.into())
}
