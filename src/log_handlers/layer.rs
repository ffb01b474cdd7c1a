//! From tracing to records: what our own code logs at any level, and what libraries warn of.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::handlers::Switch;
use super::{Level, Record};
use crate::domain::Json;

/// Our own crates; whatever else logs below WARNING is not of use to an operator.
const OURS: [&str; 2] = ["k8smgr", "local_cluster"];
/// Prints whole answers where it cannot read them, and the answer to a Secret holds tokens. Our own errors say what
/// went wrong.
const UNHEARD: &str = "kube_client";
/// tracing has no level above ERROR: an event with this field, set, is CRITICAL.
const CRITICAL: &str = "critical";

/// Turns events, with the fields of the spans around them, into records for the handlers.
pub struct HandlerLayer(pub(super) Arc<Switch>);

/// What a span carries: `uuidcode`, mostly.
struct SpanFields(Vec<(String, Json)>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for HandlerLayer {
    /// Spans always: their fields are wanted on the lines inside them.
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let level = Level::from(metadata.level());
        let is_ours = OURS.iter().any(|it| metadata.target().starts_with(it));
        let is_wanted = level >= self.0.lowest() || level == Level::ERROR && Level::CRITICAL >= self.0.lowest();
        let is_heard = is_ours || level >= Level::WARNING && !metadata.target().starts_with(UNHEARD);
        if metadata.is_span() { is_ours } else { is_wanted && is_heard }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.0.lowest() {
            Level(0..=5) => LevelFilter::TRACE,
            Level(6..=10) => LevelFilter::DEBUG,
            Level(11..=20) => LevelFilter::INFO,
            Level(21..=30) => LevelFilter::WARN,
            // Request spans are of this level.
            _ => LevelFilter::ERROR,
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(SpanFields(fields.extras));
        }
    }

    fn on_record(&self, id: &Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            values.record(&mut fields);
            let mut extensions = span.extensions_mut();
            if let Some(SpanFields(known)) = extensions.get_mut() {
                known.retain(|(name, _)| fields.extras.iter().all(|(it, _)| it != name));
                known.extend(fields.extras);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let level = if fields.is_critical { Level::CRITICAL } else { Level::from(metadata.level()) };
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(known)) = span.extensions().get() {
                fields.extras.extend(known.iter().cloned());
            }
        }
        let place = (
            metadata.file().unwrap_or_default(),
            metadata.line().unwrap_or_default(),
            metadata.module_path().unwrap_or(metadata.target()),
        );
        self.0.publish(Record::new(Timestamp::now(), level, place, &fields.message, fields.extras));
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    is_critical: bool,
    extras: Vec<(String, Json)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Json) {
        match (field.name(), value) {
            ("message", Json::String(text)) => self.message = text,
            (CRITICAL, Json::Bool(value)) => self.is_critical = value,
            (name, value) => self.extras.push((name.trim_start_matches("r#").to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Json::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Json::String(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Json::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Json::Integer(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Json::Integer(value.to_string()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.add(field, Json::Integer(value.to_string()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add(field, Json::Integer(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = if value.is_finite() { Json::Float(value) } else { Json::String(value.to_string()) };
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, Json::String(value.to_string()));
    }
}
