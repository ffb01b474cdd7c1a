//! Where records go. A sink runs on its handler's own thread and may block there.

mod file;
#[cfg(test)]
mod rotation_table;
mod smtp;
mod stream;
mod syslog;

use jiff::tz::TimeZone;

pub(super) use file::check as check_file;
pub(super) use smtp::check as check_mail;

use super::bounds::Bounds;
use super::configuration::{Configuration, Destination};
use super::{Formatter, Record};

/// Why a record was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SinkError {
    /// This record will never be taken.
    #[error("{0}")]
    Refused(String),
    /// The next attempt may work.
    #[error("{0}")]
    Broken(String),
}

pub(super) trait Sink: Send {
    /// Makes ready before the first record comes, so that what cannot work is told at once.
    fn open(&mut self) -> Result<(), SinkError>;
    fn write(&mut self, record: &Record) -> Result<(), SinkError>;
}

/// How records become lines.
#[derive(Clone)]
pub(super) struct Lines {
    pub formatter: Formatter,
    pub zone: TimeZone,
}

impl Lines {
    pub fn line(&self, record: &Record) -> String {
        self.formatter.line(record, &self.zone)
    }
}

pub(super) fn sink(configuration: &Configuration, bounds: &Bounds, zone: TimeZone) -> Box<dyn Sink> {
    let lines = Lines { formatter: configuration.formatter, zone };
    match &configuration.destination {
        Destination::Stdout => Box::new(stream::Stream { writer: std::io::stdout(), lines }),
        Destination::Stderr => Box::new(stream::Stream { writer: std::io::stderr(), lines }),
        Destination::File { filename, when, backup_count } => {
            Box::new(file::File::new(filename.clone(), bounds.clone(), *when, *backup_count, lines))
        }
        Destination::Smtp(mail) => Box::new(smtp::Smtp::new(mail.clone(), bounds.clone(), lines)),
        Destination::Syslog { host, port, transport, protocol } => {
            Box::new(syslog::Syslog::new((host.clone(), *port), *transport, *protocol, bounds.clone(), lines))
        }
    }
}

/// Stands for a stored handler that may not be made: told as failing, takes nothing.
pub(super) struct Impossible(pub String);

impl Sink for Impossible {
    fn open(&mut self) -> Result<(), SinkError> {
        Err(SinkError::Refused(self.0.clone()))
    }

    fn write(&mut self, _: &Record) -> Result<(), SinkError> {
        Err(SinkError::Refused(self.0.clone()))
    }
}
