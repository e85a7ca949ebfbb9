//! Node logs: one line per event on stderr, as JSON or as text.
//!
//! JSON lines carry `ts, level, msg, node` and the event's own fields (`term`, `revision`,
//! `request_id`, `code`, ...). Personal data and keys are never logged.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::exit::Stop;
use crate::rfc3339;

/// Starts logging. Fails if the level is not valid.
pub(crate) fn start(node: &str, level: &str, json: bool) -> Result<(), Stop> {
    // openraft logs its whole state at every step, so it logs one level below ours.
    let below = match level {
        "trace" => "debug",
        "debug" => "info",
        "error" => "error",
        _ => "warn",
    };
    let filter = EnvFilter::builder()
        .parse(format!("{level},openraft={below}"))
        .map_err(|error| Stop::config(format!("log.level {level:?}: {error}")))?;
    let format = Line { node: node.to_owned(), json };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .event_format(format)
        .try_init()
        .map_err(|error| Stop::new(crate::exit::Exit::Bug, error.to_string()))
}

/// Formats one event as one line.
struct Line {
    node: String,
    json: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let ts = rfc3339::format(rfc3339::now_ms());
        let level = *event.metadata().level();
        if !self.json {
            write!(writer, "{ts} {level:>5} {} {}", self.node, fields.message)?;
            for (name, value) in &fields.others {
                write!(writer, " {name}={value}")?;
            }
            return writeln!(writer);
        }
        let mut line = Map::new();
        line.insert("ts".to_owned(), Value::String(ts));
        line.insert("level".to_owned(), Value::String(level.to_string().to_lowercase()));
        line.insert("msg".to_owned(), Value::String(fields.message));
        line.insert("node".to_owned(), Value::String(self.node.clone()));
        line.extend(fields.others);
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Message and fields of one event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, Value::String(format!("{value:?}")));
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, Value::from(value));
        }
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }
}
