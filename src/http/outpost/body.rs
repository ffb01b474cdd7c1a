//! What a POST of a start holds, checked before anything is done with it: several mistakes are told together.

use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::error::Invalid;
use super::{Call, NO_START_ID, OutpostError};
use crate::domain::{Json, OutpostName, StartId};
use crate::outpost::{Certificates, StartBody};

/// They are stored.
const LONGEST_USER_OPTIONS: usize = 256 * 1024;
/// A body up to this is read where it is.
const SMALL_BODY: usize = 64 * 1024;

/// Reads a JSON object. `start` bodies and others of this door alike.
pub(super) async fn read_object(call: &mut Call, limit: u64) -> Result<Json, OutpostError> {
    let is_json = is_json(&call.header_text(CONTENT_TYPE.as_str()).unwrap_or_default());
    let no_object = "Input should be a valid dictionary or object to extract fields from";
    let invalid = |kind, text: String| OutpostError::Invalid(vec![Invalid::new(kind, &[], text)]);
    match read(call, limit, is_json).await? {
        Some(object @ Json::Object(_)) => Ok(object),
        Some(_) => Err(invalid("model_attributes_type", no_object.to_owned())),
        None => {
            let text = format!("{no_object}; the Content-Type must be application/json");
            Err(invalid("model_attributes_type", text))
        }
    }
}

/// Reads any JSON, whatever its type is said to be.
pub(super) async fn read_any(call: &mut Call, limit: u64) -> Result<Json, OutpostError> {
    Ok(read(call, limit, true).await?.unwrap_or(Json::Null))
}

/// `None` where the body is not looked at, because it is said to be something else.
async fn read(call: &mut Call, limit: u64, is_json: bool) -> Result<Option<Json>, OutpostError> {
    let body = call.read_body(usize::try_from(limit).unwrap_or(usize::MAX)).await?;
    let invalid = |kind, text: String| OutpostError::Invalid(vec![Invalid::new(kind, &[], text)]);
    if body.is_empty() {
        return Err(invalid("missing", "Field required".to_owned()));
    }
    if !is_json {
        return Ok(None);
    }
    let parsed = match body.len() {
        ..=SMALL_BODY => Json::parse(&body),
        _ => tokio::task::spawn_blocking(move || Json::parse(&body)).await.map_err(|_| OutpostError::Internal)?,
    };
    parsed.map(Some).map_err(|error| invalid("json_invalid", format!("JSON decode error: {error}")))
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || media_type.starts_with("application/") && media_type.ends_with("+json")
}

/// The members of a start, or all that is wrong with them.
pub(super) fn start(body: &Json) -> Result<StartBody, OutpostError> {
    let mut it = Checked { body, wrong: Vec::new() };
    let name = it.name();
    let env = it.object("env");
    let mut user_options = it.object("user_options");
    let start_id = it.start_id(&mut user_options);
    let flavor = it.flavor(&user_options);
    let misc = it.object("misc");
    let certificates = it.certificates();
    let user_id = it.user_id(&env);
    it.kept_for_itself();
    if user_options.to_text().len() > LONGEST_USER_OPTIONS {
        let text = format!("Value should have at most {LONGEST_USER_OPTIONS} bytes");
        it.wrong.push(Invalid::new("too_long", &["user_options"], text));
    }
    if user_options.has_infinity() || env.has_infinity() || misc.has_infinity() {
        it.wrong.push(Invalid::new("finite_number", &[], "Input should be a finite number"));
    }
    match (name, start_id, user_id) {
        (Some(name), Some(start_id), Some(user_id)) if it.wrong.is_empty() => Ok(StartBody {
            name,
            start_id,
            user_id,
            env,
            user_options,
            flavor,
            misc,
            certificates,
            authentication: body.get("authentication").cloned(),
        }),
        _ => Err(OutpostError::Invalid(it.wrong)),
    }
}

struct Checked<'a> {
    body: &'a Json,
    wrong: Vec<Invalid>,
}

impl Checked<'_> {
    fn is_wrong<T>(&mut self, kind: &'static str, place: &[&'static str], text: &str) -> Option<T> {
        self.wrong.push(Invalid::new(kind, place, text));
        None
    }

    fn text(&mut self, value: &Json, place: &'static str) -> Option<String> {
        match value.as_str() {
            Some(text) => Some(text.to_owned()),
            None => self.is_wrong("string_type", &[place], "Input should be a valid string"),
        }
    }

    fn name(&mut self) -> Option<OutpostName> {
        let Some(value) = self.body.get("name") else { return self.is_wrong("missing", &["name"], "Field required") };
        let text = self.text(value, "name")?;
        match OutpostName::parse(&text) {
            Ok(name) => Some(name),
            Err(error) => self.is_wrong("value_error", &["name"], &format!("Value error, {error}")),
        }
    }

    fn object(&mut self, key: &'static str) -> Json {
        match self.body.get(key) {
            None => {}
            Some(object @ Json::Object(_)) => return object.clone(),
            Some(_) => {
                self.is_wrong::<()>("dict_type", &[key], "Input should be a valid dictionary");
            }
        }
        Json::empty_object()
    }

    /// Taken out of the user's options: it is the hub's.
    fn start_id(&mut self, user_options: &mut Json) -> Option<StartId> {
        let mut given = Json::String(NO_START_ID.to_owned());
        if let Json::Object(members) = user_options
            && let Some(place) = members.iter().position(|(key, _)| key == "start_id")
        {
            given = members.remove(place).1;
        }
        let text = self.text(&given, "start_id")?;
        match StartId::parse(&text) {
            Ok(start_id) => Some(start_id),
            Err(error) => self.is_wrong("value_error", &["start_id"], &format!("Value error, {error}")),
        }
    }

    fn flavor(&mut self, user_options: &Json) -> Option<String> {
        match user_options.get("flavor").or_else(|| self.body.get("flavor")) {
            None | Some(Json::Null) => None,
            Some(value) => self.text(value, "flavor"),
        }
    }

    fn user_id(&mut self, env: &Json) -> Option<i64> {
        let Some(value) = env.get("JUPYTERHUB_USER_ID") else { return Some(0) };
        match value.lenient_integer() {
            Some(user_id) => Some(user_id),
            None => self.is_wrong("value_error", &[], "Value error, JUPYTERHUB_USER_ID must be a whole number"),
        }
    }

    fn certificates(&mut self) -> Option<Certificates> {
        let (certs, bundles) = (self.texts("certs"), self.texts("internal_trust_bundles"));
        if certs.is_empty() {
            return None;
        }
        let find = |all: &[(String, String)], key: &str| all.iter().find(|(it, _)| it == key).map(|it| it.1.clone());
        let mut required = |key: &'static str| match find(&certs, key) {
            Some(text) => text,
            None => {
                self.wrong.push(Invalid::new("missing", &["certs", key], "Field required"));
                String::new()
            }
        };
        let (key, certificate, authority) = (required("keyfile"), required("certfile"), required("cafile"));
        let hub_authority = find(&bundles, "hub-ca").unwrap_or_default();
        Some(Certificates { key, certificate, trusted: format!("{authority}{hub_authority}") })
    }

    /// An object of texts; nothing and `null` are an empty one.
    fn texts(&mut self, key: &'static str) -> Vec<(String, String)> {
        let members = match self.body.get(key) {
            None | Some(Json::Null) => return Vec::new(),
            Some(Json::Object(members)) => members,
            Some(_) => {
                self.is_wrong::<()>("dict_type", &[key], "Input should be a valid dictionary");
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for (name, value) in members {
            match value.as_str() {
                Some(text) => texts.push((name.clone(), text.to_owned())),
                None => self.wrong.push(Invalid::new("string_type", &[key], "Input should be a valid string")),
            }
        }
        texts
    }

    /// What the reference takes from a client and we do not: wrong values are refused all the same, others ignored.
    fn kept_for_itself(&mut self) {
        for key in ["start_pending", "stop_pending", "state_stored"] {
            match self.body.get(key) {
                None | Some(Json::Bool(_)) => {}
                Some(value) if is_boolean(value) => {}
                Some(Json::String(_) | Json::Integer(_) | Json::Float(_)) => {
                    let text = "Input should be a valid boolean, unable to interpret input";
                    self.is_wrong::<()>("bool_parsing", &[key], text);
                }
                Some(_) => {
                    self.is_wrong::<()>("bool_type", &[key], "Input should be a valid boolean");
                }
            }
        }
        for key in ["end_date", "start_date", "last_update"] {
            match self.body.get(key) {
                None | Some(Json::Integer(_) | Json::Float(_)) => {}
                Some(Json::String(text)) if is_date(text) => {}
                Some(Json::String(_)) => {
                    self.is_wrong::<()>(
                        "datetime_from_date_parsing",
                        &[key],
                        "Input should be a valid datetime or date",
                    );
                }
                Some(_) => {
                    self.is_wrong::<()>("datetime_type", &[key], "Input should be a valid datetime");
                }
            }
        }
        if !matches!(self.body.get("state"), None | Some(Json::Object(_) | Json::Null)) {
            self.is_wrong::<()>("dict_type", &["state"], "Input should be a valid dictionary");
        }
    }
}

fn is_boolean(value: &Json) -> bool {
    let text = value.python_str().to_ascii_lowercase();
    ["0", "1", "0.0", "1.0", "true", "false", "t", "f", "yes", "no", "y", "n", "on", "off"].contains(&text.as_str())
}

fn is_date(text: &str) -> bool {
    let text = text.trim();
    text.parse::<Timestamp>().is_ok()
        || text.parse::<DateTime>().is_ok()
        || text.parse::<Date>().is_ok()
        || text.parse::<f64>().is_ok_and(f64::is_finite)
}
