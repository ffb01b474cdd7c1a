//! Reading the binary encoding that kubectl's typed commands send: the message of a kind becomes its JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::types::{self, Field, FieldType, Message};
use super::without_empty;

const MAGIC: &[u8] = b"k8s\0";
/// Numbers whose zero says something; other zeros of a Go struct are absent values.
const ZERO_COUNTS: &[&str] = &[
    "replicas",
    "minReplicas",
    "completions",
    "parallelism",
    "backoffLimit",
    "terminationGracePeriodSeconds",
    "gracePeriodSeconds",
    "ttlSecondsAfterFinished",
    "revisionHistoryLimit",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
    "emptyDir",
];

#[derive(Debug, thiserror::Error)]
pub enum ProtobufError {
    #[error("the body has no protobuf prefix")]
    NoPrefix,
    #[error("the body ends too early")]
    TooShort,
    #[error("the body is nested too deeply")]
    TooDeep,
    #[error("unknown wire type {0}")]
    WireType(u64),
    #[error("text is not UTF-8")]
    NotText,
    #[error("no kind is registered for {0}")]
    UnknownKind(String),
}

/// The object in a protobuf body, with its kind and apiVersion.
pub fn decode(body: &[u8]) -> Result<Value, ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::NoPrefix)?;
    let (mut type_meta, mut raw) = (&[][..], &[][..]);
    for record in Records(envelope) {
        match record? {
            (1, Wire::Bytes(bytes)) => type_meta = bytes,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = (String::new(), String::new());
    for record in Records(type_meta) {
        match record? {
            (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
            (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
            _ => {}
        }
    }
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let package = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or_default() };
    let message = types::find(&format!("{package}.{version}.{kind}"))
        // Options are of every group, their type of one.
        .or_else(|| types::find(&format!("meta.v1.{kind}")))
        .ok_or_else(|| ProtobufError::UnknownKind(format!("{api_version} {kind}")))?;
    let mut object = message_value(message, raw, 0)?;
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    Ok(Value::Object(object))
}

enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The records of a message: field number and value.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(u32, Wire<'a>), ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.0 = &[];
        }
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Result<(u32, Wire<'a>), ProtobufError> {
        let tag = self.number()?;
        let number = u32::try_from(tag >> 3).map_err(|_| ProtobufError::TooShort)?;
        let wire = match tag & 7 {
            0 => Wire::Number(self.number()?),
            1 => Wire::Number(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| ProtobufError::TooShort)?)),
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| ProtobufError::TooShort)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_| ProtobufError::TooShort)?;
                Wire::Number(u64::from(u32::from_le_bytes(bytes)))
            }
            other => return Err(ProtobufError::WireType(other)),
        };
        Ok((number, wire))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ProtobufError::TooShort)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ProtobufError::TooShort)
    }
}

fn text(bytes: &[u8]) -> Result<String, ProtobufError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError::NotText)
}

fn message_value(message: &'static Message, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, ProtobufError> {
    if depth > 64 {
        return Err(ProtobufError::TooDeep);
    }
    let mut fields = Map::new();
    for record in Records(bytes) {
        let (number, wire) = record?;
        let Some(field) = message.fields.iter().find(|it| it.number == number) else { continue };
        if field.map {
            if let Wire::Bytes(entry) = wire {
                let (key, value) = map_entry(field, entry, depth)?;
                fields.entry(&field.name).or_insert_with(|| json!({}))[key] = value;
            }
            continue;
        }
        let value = field_value(field, wire, depth)?;
        if field.embedded {
            fields.extend(value.as_object().cloned().unwrap_or_default());
        } else if field.list {
            if let Some(items) = fields.entry(&field.name).or_insert_with(|| json!([])).as_array_mut() {
                items.push(value);
            }
        } else {
            fields.insert(field.name.clone(), value);
        }
    }
    Ok(without_empty(fields, |name| ZERO_COUNTS.contains(&name)))
}

fn map_entry(field: &'static Field, bytes: &[u8], depth: usize) -> Result<(String, Value), ProtobufError> {
    let (mut key, mut value) = (String::new(), None);
    for record in Records(bytes) {
        match record? {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?,
            (2, wire) => value = Some(field_value(field, wire, depth)?),
            _ => {}
        }
    }
    Ok((key, value.unwrap_or_else(|| json!(""))))
}

fn field_value(field: &'static Field, wire: Wire<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match (&field.kind, wire) {
        (FieldType::String, Wire::Bytes(bytes)) => json!(text(bytes)?),
        (FieldType::Bytes, Wire::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
        (FieldType::Bool, Wire::Number(number)) => json!(number != 0),
        (FieldType::Float, Wire::Number(number)) => json!(f64::from_bits(number)),
        (_, Wire::Number(number)) => json!(number.cast_signed()),
        (FieldType::Message(name), Wire::Bytes(bytes)) => match types::find(name) {
            Some(message) => Value::Object(message_value(message, bytes, depth + 1)?),
            None => Value::Null,
        },
        (FieldType::Time, Wire::Bytes(bytes)) => time(bytes)?,
        (FieldType::Quantity, Wire::Bytes(bytes)) => first_text(bytes, 1)?,
        (FieldType::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes)?,
        (_, Wire::Bytes(bytes)) => {
            // A raw extension holds JSON.
            let raw = Records(bytes).find_map(|it| match it {
                Ok((1, Wire::Bytes(raw))) => serde_json::from_slice(raw).ok(),
                _ => None,
            });
            raw.unwrap_or(Value::Null)
        }
    })
}

fn time(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let mut seconds = 0;
    for record in Records(bytes) {
        if let (1, Wire::Number(number)) = record? {
            seconds = number.cast_signed();
        }
    }
    let time = jiff::Timestamp::from_second(seconds).ok().filter(|_| seconds > 0);
    Ok(time.map_or(Value::Null, |it| json!(it.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())))
}

fn first_text(bytes: &[u8], wanted: u32) -> Result<Value, ProtobufError> {
    for record in Records(bytes) {
        if let (number, Wire::Bytes(bytes)) = record?
            && number == wanted
        {
            return Ok(json!(text(bytes)?));
        }
    }
    Ok(Value::Null)
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut string) = (false, 0, String::new());
    for record in Records(bytes) {
        match record? {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(bytes)) => string = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { json!(string) } else { json!(number) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let meta = [field(1, b"settings"), field(2, b"")].concat();
        let entry = [field(1, b"key"), field(2, b"value")].concat();
        let raw = [field(1, &meta), field(2, &entry)].concat();
        let type_meta = [field(1, b"v1"), field(2, b"ConfigMap")].concat();
        let body = [MAGIC.to_vec(), field(1, &type_meta), field(2, &raw)].concat();
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
            "data": {"key": "value"}});
        assert_eq!(decode(&body).unwrap(), expected);
    }

    #[test]
    fn broken_bodies_are_refused() {
        for body in [&b"{}"[..], b"k8s\0\x0a\xff", b"k8s\0\x0b", b"k8s\0\x0a\x02\x0a\x09"] {
            assert!(decode(body).is_err(), "{body:?}");
        }
    }
}
