//! Volumes that are plain folders: emptyDir, hostPath and claims.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Maker, Volume, VolumeError, plain_name};
use crate::node::removal::remove_tree;
use crate::node::rootfs::normal;
use crate::node::subpath::Owner;
use crate::storage::{Key, Resource};

/// A folder that every container of the pod may write to.
pub fn shared_folder(path: &Path, owner: Owner, fs_group: Option<u32>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    if let Some((uid, gid)) = owner {
        chown(path, Some(uid), Some(fs_group.unwrap_or(gid)))?;
    }
    let mode = if fs_group.is_some() { 0o2777 } else { 0o777 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A path of the machine, checked as its `type` says; what the type allows to be made is made.
pub fn host_path(source: &Value, owner: Owner) -> Result<Volume, VolumeError> {
    let text = source["path"].as_str().unwrap_or_default();
    // The host's own /var/run is meant, so only the form is checked here.
    if normal(text).is_none() {
        return Err(VolumeError::HostPathForm(text.to_owned()));
    }
    let path = PathBuf::from(text);
    let found = fs::metadata(&path).ok().map(|it| it.file_type());
    let is = |test: fn(&fs::FileType) -> bool| found.as_ref().is_some_and(test);
    let expected = match source["type"].as_str().unwrap_or_default() {
        "" if found.is_some() => None,
        "" | "DirectoryOrCreate" if found.is_none() => {
            make(&path, owner, |path| fs::create_dir_all(path))?;
            None
        }
        "DirectoryOrCreate" | "Directory" => (!is(fs::FileType::is_dir)).then_some("directory"),
        "FileOrCreate" if found.is_none() => {
            make(&path, owner, |path| fs::File::create_new(path).map(drop))?;
            None
        }
        "FileOrCreate" | "File" => (!is(fs::FileType::is_file)).then_some("file"),
        "Socket" => (!is(FileTypeExt::is_socket)).then_some("socket"),
        "CharDevice" => (!is(FileTypeExt::is_char_device)).then_some("character device"),
        "BlockDevice" => (!is(FileTypeExt::is_block_device)).then_some("block device"),
        _ => return Err(VolumeError::Unsupported),
    };
    match expected {
        Some(expected) => Err(VolumeError::HostPathType { path, expected }),
        None => Ok(Volume { path, read_only: false, fixed: false }),
    }
}

fn make(path: &Path, owner: Owner, create: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    create(path)?;
    match owner {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// The folder behind a claim. The claim is bound when the first pod uses it.
pub fn claim(maker: &Maker<'_>, source: &Value) -> Result<Volume, VolumeError> {
    let name = source["claimName"].as_str().unwrap_or_default();
    let key = Key::new(Resource::core("persistentvolumeclaims"), maker.namespace(), name);
    let not_found = || VolumeError::NotFound { kind: "persistentvolumeclaim", name: name.to_owned() };
    let claim = maker.storage.get(&key).ok_or_else(not_found)?;
    let path = claim_folder(maker.claims, &claim).ok_or_else(not_found)?;
    let fs_group = maker.pod["spec"]["securityContext"]["fsGroup"].as_u64().and_then(|it| u32::try_from(it).ok());
    shared_folder(&path, maker.owner, fs_group)?;
    let bind = |claim: &mut Value| -> Result<(), std::convert::Infallible> {
        if claim["status"]["phase"] != "Bound" {
            claim["status"]["phase"] = json!("Bound");
            claim["status"]["accessModes"] = claim["spec"]["accessModes"].clone();
            claim["status"]["capacity"] = claim["spec"]["resources"]["requests"].clone();
        }
        Ok(())
    };
    // Deleted meanwhile: the pod has the folder, the next one will not.
    let _ = maker.storage.update(&key, bind);
    Ok(Volume { path, read_only: source["readOnly"] == true, fixed: false })
}

/// Where a claim's data is: named after the claim's uid, so that a new claim of the same name starts empty.
pub fn claim_folder(claims: &Path, claim: &Value) -> Option<PathBuf> {
    let uid = claim["metadata"]["uid"].as_str().filter(|it| plain_name(it))?;
    Some(claims.join(uid))
}

/// Takes the data of a deleted claim away, as a volume with the reclaim policy Delete does.
pub fn release_claim(claims: &Path, claim: &Value) -> io::Result<()> {
    match claim_folder(claims, claim) {
        Some(folder) => remove_tree(&folder),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_host_path_is_what_its_type_says() {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("file"), "").unwrap();
        let table = [
            ("file", "File", None),
            ("file", "", None),
            ("file", "Directory", Some("is not a directory")),
            ("gone", "Directory", Some("is not a directory")),
            ("gone", "File", Some("is not a file")),
            ("new", "DirectoryOrCreate", None),
            ("new", "Directory", None),
            ("new-file", "FileOrCreate", None),
            ("new", "File", Some("is not a file")),
            ("file", "Socket", Some("is not a socket")),
            ("file", "Nonsense", Some("not supported")),
        ];
        for (name, kind, expected) in table {
            let result = host_path(&json!({"path": path(name), "type": kind}), None);
            match expected {
                None => assert_eq!(result.unwrap().path, PathBuf::from(path(name)), "{name} {kind}"),
                Some(part) => assert!(result.unwrap_err().to_string().contains(part), "{name} {kind}"),
            }
        }
        assert!(matches!(host_path(&json!({"path": "a/b"}), None), Err(VolumeError::HostPathForm(_))));
        assert!(matches!(host_path(&json!({"path": "/a/../b"}), None), Err(VolumeError::HostPathForm(_))));
    }
}
