//! A file that is put aside from time to time. The live name stays, so that shippers go on following it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use jiff::Timestamp;

use super::{Lines, Sink, SinkError};
use crate::log_handlers::Record;
use crate::log_handlers::bounds::{Bounds, why};
use crate::log_handlers::rotation::{Rotation, When, names_to_remove};

pub(super) struct File {
    filename: String,
    bounds: Bounds,
    when: When,
    backup_count: usize,
    lines: Lines,
    open: Option<Open>,
}

struct Open {
    path: PathBuf,
    file: std::fs::File,
    rotation: Rotation,
}

impl File {
    pub fn new(filename: String, bounds: Bounds, when: When, backup_count: usize, lines: Lines) -> Self {
        Self { filename, bounds, when, backup_count, lines, open: None }
    }

    fn opened(&mut self, now: i64) -> Result<&mut Open, SinkError> {
        if self.open.is_none() {
            let path = self.bounds.file(&self.filename).map_err(SinkError::Broken)?;
            let before = std::fs::symlink_metadata(&path).ok();
            let file = append_to(&path).map_err(|error| self.broken("open", &error))?;
            let written_last = before.and_then(|it| it.modified().ok()?.duration_since(UNIX_EPOCH).ok());
            let begin = written_last.map_or(now, |it| i64::try_from(it.as_secs()).unwrap_or(now));
            let rotation = Rotation::new(self.when, self.lines.zone.clone(), begin);
            self.open = Some(Open { path, file, rotation });
        }
        self.open.as_mut().ok_or_else(|| SinkError::Broken("the file is not open".to_owned()))
    }

    fn broken(&self, what: &str, error: &io::Error) -> SinkError {
        SinkError::Broken(format!("failed to {what} {}: {}", self.filename, why(error)))
    }

    fn rotate(&mut self, now: i64) -> Result<(), SinkError> {
        let (when, keep) = (self.when, self.backup_count);
        let open = self.opened(now)?;
        let result = open.rotate(now, when, keep);
        if let Err(error) = result {
            // The next attempt opens it anew and finds the same time due, by the file's own date.
            self.open = None;
            return Err(self.broken("rotate", &error));
        }
        Ok(())
    }
}

impl Sink for File {
    fn open(&mut self) -> Result<(), SinkError> {
        self.opened(Timestamp::now().as_second()).map(|_| ())
    }

    /// The record's own time decides which file it belongs to.
    fn write(&mut self, record: &Record) -> Result<(), SinkError> {
        let now = record.time.as_second();
        if self.opened(now)?.rotation.is_due(now) {
            self.rotate(now)?;
        }
        let mut line = self.lines.line(record);
        line.push('\n');
        if let Err(error) = self.opened(now)?.file.write_all(line.as_bytes()) {
            self.open = None;
            return Err(self.broken("write", &error));
        }
        Ok(())
    }
}

impl Open {
    fn rotate(&mut self, now: i64, when: When, keep: usize) -> io::Result<()> {
        let live = self.path.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_owned();
        let aside = self.path.with_file_name(format!("{live}.{}", self.rotation.suffix(now)));
        match std::fs::rename(&self.path, aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        self.file = append_to(&self.path)?;
        self.rotation.advance(now);
        if let Some(folder) = self.path.parent() {
            remove_old(folder, &live, when, keep)?;
        }
        Ok(())
    }
}

fn remove_old(folder: &Path, live: &str, when: When, keep: usize) -> io::Result<()> {
    let names = std::fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for name in names_to_remove(live, when, names, keep) {
        match std::fs::remove_file(folder.join(name)) {
            // Another process that writes here has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// Regular files only: no link is followed, a pipe is not waited for, a device is not written to.
/// Whether a file could be written to, without making it.
pub fn check(filename: &str, bounds: &Bounds) -> Result<(), String> {
    match open_to_append(&bounds.file(filename)?, false) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("failed to open {filename}: {}", why(&error)))
        }
        _ => Ok(()),
    }
}

fn append_to(path: &Path) -> io::Result<std::fs::File> {
    open_to_append(path, true)
}

fn open_to_append(path: &Path, makes_it: bool) -> io::Result<std::fs::File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().append(true).create(makes_it).mode(0o640).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::log_handlers::{Formatter, Level};

    fn sink(path: &Path) -> File {
        let bounds = Bounds { directories: vec![path.parent().unwrap().to_owned()], ..Bounds::default() };
        let lines = Lines { formatter: Formatter::Simple, zone: TimeZone::UTC };
        File::new(path.to_str().unwrap().to_owned(), bounds, When::Second, 2, lines)
    }

    fn record(time: &str, message: &str) -> Record {
        Record::new(time.parse().unwrap(), Level::INFO, ("f", 1, "m"), message, [])
    }

    #[test]
    fn nothing_but_a_regular_file_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("target"), "").unwrap();
        std::os::unix::fs::symlink(path("target"), path("link")).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        for name in ["link", "folder", "pipe"] {
            let refused = sink(&path(name)).open().unwrap_err();
            assert!(matches!(&refused, SinkError::Broken(it) if it.contains(name)), "{refused:?}");
        }
        assert_eq!(std::fs::read_to_string(path("target")).unwrap(), "");
    }

    #[test]
    fn a_file_that_breaks_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let mut sink = sink(&inner.join("k.log"));
        let _ = sink.write(&record("2026-11-20T10:00:00Z", "one"));
        std::fs::remove_dir_all(&inner).unwrap();
        // Due for rotation, with its folder gone.
        assert!(matches!(sink.write(&record("2126-11-20T10:00:05Z", "two")), Err(SinkError::Broken(_))));
        std::fs::create_dir(&inner).unwrap();
        sink.write(&record("2126-11-20T10:00:06Z", "three")).unwrap();
        assert!(std::fs::read_to_string(inner.join("k.log")).unwrap().ends_with(" : three\n"));
    }
}
