//! Starts the log: lines on standard error, as text, JSON or logfmt.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{Debug, Result as Formatted, Write as _};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use anyhow::Context;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{self, FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{LogFormat, LogOptions};
use crate::telemetry::output;

/// Starts the log of the process, and logs panics.
///
/// # Errors
///
/// The system cannot start the writer's thread, or a log was already started.
pub fn start(options: &LogOptions) -> anyhow::Result<()> {
    output::start().context("cannot start a thread")?;
    let lines = output::log().context("standard error has no writer")?;
    let layer = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(lines)
        // The default hook writes to standard error itself, and panics if that is closed.
        .log_internal_errors(false);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match options.format {
        LogFormat::Text => Box::new(layer),
        LogFormat::Json => Box::new(layer.json().flatten_event(true).with_span_list(false)),
        LogFormat::Logfmt => Box::new(layer.event_format(Logfmt)),
    };
    let (filter, handle) = reload::Layer::new(options.filter.clone().into_targets());
    let layer = layer.with_filter(filter);
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .context("cannot start the log")?;
    // A second log was refused above.
    let _first = FILTER.set(handle);
    std::panic::set_hook(Box::new(on_panic));
    Ok(())
}

/// Changes the level of the log.
pub fn set_level(options: &LogOptions) {
    let Some(handle) = FILTER.get() else { return };
    if let Err(error) = handle.reload(options.filter.clone().into_targets()) {
        tracing::error!(%error, "cannot change the level of the log");
    }
}

/// The filter of the process's log, once it is started.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Logs the reason of a panic, before the process may abort.
fn on_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let text = panic.payload_as_str().unwrap_or("not a text");
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_default();
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(
            thread,
            place,
            panic = text,
            "a thread panicked: this is a bug"
        );
    } else {
        output::complain(&format!("thread {thread} panicked at {place}: {text}"));
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        output::complain(&backtrace.to_string());
    }
    output::flush();
}

/// Writes `time="…" level=info msg="…" field=value`, as the hub of 2019 did: a value is quoted unless
/// all of it is letters, digits or `-._/@^+`.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> Formatted {
        let mut pairs = Pairs::default();
        event.record(&mut pairs);
        let now = OffsetDateTime::now_utc();
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let time = now.format(&Rfc3339).unwrap_or_default();
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let level = if level == "warn" { "warning" } else { &level };
        write!(
            writer,
            "time=\"{time}\" level={level} msg={}",
            value(&pairs.said)
        )?;
        write!(writer, "{}", pairs.fields)?;
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>() {
                write!(writer, " {fields}")?;
            }
        }
        writeln!(writer)
    }
}

/// The fields of an event, the message apart.
#[derive(Default)]
struct Pairs {
    /// The message.
    said: String,
    fields: String,
}

impl Pairs {
    fn add(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            text.clone_into(&mut self.said);
        } else {
            // Writing to a String cannot fail.
            write!(self.fields, " {}={}", field.name(), value(text)).ok();
        }
    }
}

impl Visit for Pairs {
    fn record_str(&mut self, field: &Field, text: &str) {
        self.add(field, text);
    }

    fn record_debug(&mut self, field: &Field, shown: &dyn Debug) {
        self.add(field, &format!("{shown:?}"));
    }
}

fn value(text: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte);
    if !text.is_empty() && text.bytes().all(bare) {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_value_is_quoted_unless_it_is_plain() {
        for (text, expected) in [
            ("http", "http"),
            ("urn:uuid:1", "\"urn:uuid:1\""),
            ("a b", "\"a b\""),
            ("a\"b\n", "\"a\\\"b\\n\""),
            ("", "\"\""),
            ("2c7d-1_", "2c7d-1_"),
            ("a/b@c^d+e.f-g", "a/b@c^d+e.f-g"),
        ] {
            assert_eq!(value(text), expected);
        }
    }
}
