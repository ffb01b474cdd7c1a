//! Which volume goes where in one container: targets, subPaths, mount points inside other volumes.
//!
//! Blocks on the disk and belongs on a thread that may.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::environment::Environment;
use super::expansion::expand;
use super::rootfs::normal;
use super::sandbox::{Mount, Source};
use super::subpath::{self, Links, Owner, SubPathError};
use super::volumes::Volume;

/// Descriptors that a sandbox inherits have this number or a higher one.
const FIRST_DESCRIPTOR: i32 = 64;

#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error("mountPath \"{0}\" must be absolute and without '..'")]
    Target(String),
    #[error("no volume \"{0}\" in this pod")]
    NoVolume(String),
    #[error("failed to prepare subPath \"{path}\" of volume \"{volume}\": {source}")]
    SubPath { path: String, volume: String, source: SubPathError },
    #[error("failed to prepare the mount point {} inside volume \"{volume}\": {source}", target.display())]
    Point { target: PathBuf, volume: String, source: SubPathError },
}

#[derive(Debug, Default)]
pub struct Mounts {
    /// Parents before what is mounted inside them.
    pub mounts: Vec<Mount>,
    /// Open until the container has started: the mounts name them.
    pub descriptors: Vec<OwnedFd>,
    /// The working folder lies in the container's own root.
    pub make_working_dir: bool,
}

struct Place<'a> {
    target: PathBuf,
    volume: &'a str,
    /// The host path that stands behind the target.
    path: PathBuf,
    source: Source,
    read_only: bool,
    fixed: bool,
}

/// A container's own files that are mounted beside its volumes.
#[derive(Clone, Copy, Debug)]
pub struct OwnFile<'a> {
    pub path: &'a Path,
    pub target: &'a Path,
}

/// The mounts of a container. `owner` gets the folders that have to be made in volumes.
pub fn mounts(
    container: &Value,
    volumes: &BTreeMap<String, Volume>,
    environment: &Environment,
    working_dir: &Path,
    message: Option<OwnFile<'_>>,
    owner: Owner,
) -> Result<Mounts, MountError> {
    let mut result = Mounts::default();
    let mut places = Vec::new();
    for entry in container["volumeMounts"].as_array().into_iter().flatten() {
        places.push(place(entry, volumes, environment, owner, &mut result.descriptors)?);
    }
    places.extend(message.map(|it| Place {
        target: it.target.to_owned(),
        volume: "",
        path: it.path.to_owned(),
        source: Source::Path(it.path.to_owned()),
        read_only: false,
        fixed: true,
    }));
    places.sort_by_key(|it| it.target.components().count());
    for (index, inner) in places.iter().enumerate() {
        make_point(&places[..index], &inner.target, inner.path.is_dir(), owner)?;
    }
    let covers = |it: &Place<'_>| working_dir.starts_with(&it.target);
    // A runtime makes a working folder that is missing.
    result.make_working_dir = !places.iter().any(covers);
    // It is entered inside the sandbox, where links lead to nothing but the container's own.
    if let Some((outer, inside)) = covering(&places, working_dir).filter(|(it, _)| !it.read_only && !it.fixed) {
        let made = subpath::make_mount_point(&outer.path, inside, true, owner, Links::Inside);
        made.map_err(|source| point_error(outer, working_dir, source))?;
    }
    let mount = |it: Place| Mount { source: it.source, target: it.target, read_only: it.read_only };
    result.mounts = places.into_iter().map(mount).collect();
    Ok(result)
}

fn place<'a>(
    entry: &'a Value,
    volumes: &BTreeMap<String, Volume>,
    environment: &Environment,
    owner: Owner,
    descriptors: &mut Vec<OwnedFd>,
) -> Result<Place<'a>, MountError> {
    let text = entry["mountPath"].as_str().unwrap_or_default();
    let target = normal(text).filter(|it| it != Path::new("/")).ok_or_else(|| MountError::Target(text.to_owned()))?;
    let name = entry["name"].as_str().unwrap_or_default();
    let volume = volumes.get(name).ok_or_else(|| MountError::NoVolume(name.to_owned()))?;
    let sub_path = match entry["subPathExpr"].as_str() {
        Some(text) => expand(text, |name| environment.get(name)),
        None => entry["subPath"].as_str().unwrap_or_default().to_owned(),
    };
    let read_only = volume.read_only || entry["readOnly"] == true;
    let (source, path) = if sub_path.is_empty() {
        (Source::Path(volume.path.clone()), volume.path.clone())
    } else {
        let owner_of_new = (!volume.fixed).then_some(owner);
        let failed = |source| MountError::SubPath { path: sub_path.clone(), volume: name.to_owned(), source };
        let opened = subpath::open(&volume.path, &sub_path, owner_of_new).map_err(failed)?;
        // Low numbers are the starting script's.
        let opened = rustix::io::fcntl_dupfd_cloexec(opened, FIRST_DESCRIPTOR).map_err(|it| failed(it.into()))?;
        let number = opened.as_raw_fd();
        descriptors.push(opened);
        (Source::Descriptor(number), PathBuf::from(format!("/proc/self/fd/{number}")))
    };
    Ok(Place { target, volume: name, path, source, read_only, fixed: volume.fixed })
}

/// Makes a mount point where it lies inside a volume that is mounted too; bubblewrap makes the others. It would follow
/// the links of the volume's user on the host, so there must be none.
fn make_point(outer: &[Place<'_>], target: &Path, folder: bool, owner: Owner) -> Result<(), MountError> {
    let Some((outer, inside)) = covering(outer, target) else { return Ok(()) };
    let done = if outer.read_only || outer.fixed {
        subpath::check_mount_point(&outer.path, inside)
    } else {
        subpath::make_mount_point(&outer.path, inside, folder, owner, Links::Refused)
    };
    done.map_err(|source| point_error(outer, target, source))
}

/// The innermost mount that a path lies in, and the path inside it.
fn covering<'a, 'b, 'c>(places: &'a [Place<'b>], path: &'c Path) -> Option<(&'a Place<'b>, &'c Path)> {
    let inside = |it: &'a Place<'b>| Some((it, path.strip_prefix(&it.target).ok().filter(|_| it.target != path)?));
    places.iter().rev().find_map(inside)
}

fn point_error(outer: &Place<'_>, target: &Path, source: SubPathError) -> MountError {
    MountError::Point { target: target.to_owned(), volume: outer.volume.to_owned(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn prepared(mounts_of: &Value, working_dir: &str) -> (tempfile::TempDir, Result<Mounts, MountError>) {
        let base = tempfile::tempdir().unwrap();
        let mut volumes = BTreeMap::new();
        for (name, fixed) in [("home", false), ("config", true)] {
            let path = base.path().join(name);
            std::fs::create_dir(&path).unwrap();
            volumes.insert(name.to_owned(), Volume { path, read_only: fixed, fixed });
        }
        std::fs::write(base.path().join("config/file"), "x").unwrap();
        let environment = Environment { variables: vec![("USER".into(), "ann".into())], skipped: vec![] };
        let container = json!({"volumeMounts": mounts_of});
        let result = mounts(&container, &volumes, &environment, Path::new(working_dir), None, None);
        (base, result)
    }

    #[test]
    fn parents_come_first_and_inner_mount_points_are_made() {
        let (base, mounts) = prepared(
            &json!([
                {"name": "config", "mountPath": "/home/u/.config/file", "subPath": "file"},
                {"name": "home", "mountPath": "/home/u/"},
                {"name": "home", "mountPath": "/data", "subPathExpr": "users/$(USER)", "readOnly": true},
            ]),
            "/home/u/work",
        );
        let mounts = mounts.unwrap();
        let targets: Vec<_> = mounts.mounts.iter().map(|it| (it.target.to_str().unwrap(), it.read_only)).collect();
        assert_eq!(targets, [("/data", true), ("/home/u", false), ("/home/u/.config/file", true)]);
        assert!(base.path().join("home/.config/file").is_file());
        assert!(base.path().join("home/users/ann").is_dir());
        assert!(base.path().join("home/work").is_dir());
        assert!(!mounts.make_working_dir);
    }

    #[test]
    fn what_leads_out_is_refused() {
        let refused = |mounts: Value| prepared(&mounts, "/").1.unwrap_err().to_string();
        assert!(refused(json!([{"name": "home", "mountPath": "/a/../b"}])).contains("without '..'"));
        assert!(refused(json!([{"name": "home", "mountPath": "/"}])).contains("mountPath"));
        assert!(refused(json!([{"name": "x", "mountPath": "/a"}])).contains("no volume \"x\""));
        let sub_path = json!([{"name": "home", "mountPath": "/a", "subPath": "../config"}]);
        assert!(refused(sub_path).contains("without '..'"));
        let gone = json!([{"name": "config", "mountPath": "/a", "subPath": "gone"}]);
        assert!(refused(gone).contains("not found in the volume"));
    }
}
