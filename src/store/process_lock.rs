//! One process serves a SQLite database: it holds a lock of the operating system on a file beside the database, which
//! is free again whatever ended the process. Commands that only change users do not take it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::sqlite::make_folder;
use super::{DatabaseUrl, StoreError, url};

/// A program that the holder was about to start has the lock, too, until it begins; so it may outlive the holder for a moment.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(10);

/// Held until it is dropped. On PostgreSQL it is nothing: several processes may serve there.
#[derive(Debug)]
pub struct ProcessLock {
    _file: Option<File>,
}

impl ProcessLock {
    /// Refuses where another process serves the database, and says which.
    pub fn take(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url.kind() {
            url::Kind::Sqlite(path) => Ok(Self { _file: Some(lock(path)?) }),
            url::Kind::Postgres(_) => Ok(Self { _file: None }),
        }
    }
}

fn lock(database: &Path) -> Result<File, StoreError> {
    make_folder(database)?;
    let path = lock_path(database);
    let failed = |source| StoreError::Create { path: path.clone(), source };
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(StoreError::Served { database: database.to_owned(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    // For the message of the next one only.
    let noted = file.set_len(0).and_then(|()| writeln!(file, "process {}", std::process::id()));
    noted.map_err(failed)?;
    Ok(file)
}

/// Beside the file itself, also where it is reached by a link.
fn lock_path(database: &Path) -> PathBuf {
    let real = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut name = real.into_os_string();
    name.push(".lock");
    PathBuf::from(name)
}
