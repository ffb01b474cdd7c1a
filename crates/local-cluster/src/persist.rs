//! Keeping the objects over a restart: a snapshot of all of them, written in the background and put in place whole.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::storage::{Key, Resource, Storage};

/// How long changes are gathered before they are written.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    #[error("failed to use {path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the snapshot {path} is damaged")]
    Damaged { path: PathBuf, source: serde_json::Error },
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    revision: u64,
    objects: Vec<Stored>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    group: String,
    plural: String,
    namespace: String,
    name: String,
    object: Value,
}

fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("objects.json")
}

/// Reads what was kept; an empty storage when nothing was.
pub fn load(data_dir: &Path) -> Result<Storage, PersistError> {
    let path = path_in(data_dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Storage::new()),
        Err(source) => return Err(PersistError::File { path, source }),
    };
    let snapshot: Snapshot = serde_json::from_slice(&bytes).map_err(|source| PersistError::Damaged { path, source })?;
    let objects = snapshot.objects.into_iter().map(|stored| {
        let resource = Resource::new(&stored.group, &stored.plural);
        (Key::new(resource, &stored.namespace, &stored.name), stored.object)
    });
    Ok(Storage::restore(snapshot.revision, objects))
}

fn save(storage: &Storage, data_dir: &Path) -> Result<u64, PersistError> {
    let revision = storage.revision();
    let objects = storage.all().into_iter().map(|(key, object)| Stored {
        group: key.resource.group,
        plural: key.resource.plural,
        namespace: key.namespace,
        name: key.name,
        object: (*object).clone(),
    });
    let snapshot = Snapshot { revision, objects: objects.collect() };
    let path = path_in(data_dir);
    let failed = |source| PersistError::File { path: path.clone(), source };
    let bytes = serde_json::to_vec(&snapshot).map_err(|error| failed(error.into()))?;
    write_private(&path, &bytes)?;
    Ok(revision)
}

/// Writes a file that only this user may read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), PersistError> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |source| PersistError::File { path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// Follows the storage and keeps the snapshot near it, until `stop` is true; then it is exact.
pub async fn keep(storage: Storage, data_dir: PathBuf, mut stop: watch::Receiver<bool>) {
    let mut written = 0;
    loop {
        // Asked before writing: what changes while the end comes is written, too.
        let is_last = *stop.borrow_and_update();
        let Ok((_, mut changes)) = storage.changes_since(storage.revision()) else { return };
        if storage.revision() > written {
            let (storage, data_dir) = (storage.clone(), data_dir.clone());
            match tokio::task::spawn_blocking(move || save(&storage, &data_dir)).await {
                Ok(Ok(revision)) => written = revision,
                Ok(Err(error)) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "failed to keep the cluster's objects");
                }
                Err(error) => tracing::error!(%error, "failed to keep the cluster's objects"),
            }
        }
        if is_last {
            return;
        }
        if storage.revision() == written {
            tokio::select! {
                change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { return },
                _ = stop.changed() => continue,
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = stop.changed() => {}
        }
    }
}
