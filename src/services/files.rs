//! The rendered files of a service, for an admin to look at. Nothing reads them again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Services;
use crate::description::DescriptionFile;
use crate::domain::ObjectId;

impl Services {
    fn folder(&self, id: &ObjectId) -> PathBuf {
        Path::new(&self.config.current().services.base).join(id.as_str())
    }

    /// Writes the files; a failure is told and does not fail the start.
    pub(super) async fn write_files(&self, id: &ObjectId, files: Vec<DescriptionFile>) {
        let folder = self.folder(id);
        let written = tokio::task::spawn_blocking(move || write(&folder, &files)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::warn!(%id, %error, "failed to write the rendered files to services.base");
        }
    }

    pub(super) async fn remove_files(&self, id: &ObjectId) {
        match tokio::fs::remove_dir_all(self.folder(id)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%id, %error, "failed to remove the rendered files from services.base");
            }
            _ => {}
        }
    }
}

/// Into a folder of its own, made anew: nothing that stands there already is followed or kept.
fn write(folder: &Path, files: &[DescriptionFile]) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(folder)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_dir_all(folder)?;
            fs::create_dir(folder)?;
        }
        made => made?,
    }
    for file in files {
        let path = folder.join(&file.name);
        let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        written.write_all(&file.bytes)?;
        written.set_permissions(fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}
