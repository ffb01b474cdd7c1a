//! Standard output and standard error.

use std::io::Write;

use super::{Lines, Sink, SinkError};
use crate::log_handlers::Record;
use crate::log_handlers::bounds::why;

pub(super) struct Stream<W> {
    pub writer: W,
    pub lines: Lines,
}

impl<W: Write + Send> Sink for Stream<W> {
    fn open(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, record: &Record) -> Result<(), SinkError> {
        let mut line = self.lines.line(record);
        line.push('\n');
        let written = self.writer.write_all(line.as_bytes()).and_then(|()| self.writer.flush());
        // Part of it may have been written: once more would write that twice.
        written.map_err(|error| SinkError::Refused(format!("failed to write: {}", why(&error))))
    }
}
