//! `/api/health/`: whether the process answers. Needs no credentials.

use http::Method;

use super::{ApiError, Call, Reply};

pub fn health(call: Call) -> Reply {
    match call.method {
        Method::GET | Method::HEAD => Reply::empty_page(),
        method => Reply::error(&ApiError::MethodNotAllowed(method), Some("GET, HEAD")),
    }
}
