//! The descriptions and skeletons of the records, as they were on disk: with their modes, links and empty folders.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value, json};

use super::records::contract_folder;

pub fn set_up(folder: &Path) {
    let fixtures = contract_folder().join("fixtures");
    for name in ["descriptions", "skel"] {
        copy(&fixtures.join(name), &folder.join(name));
    }
    // What the fixtures could not keep.
    set_mode(&folder.join("skel/jupyterhub/run.sh"), 0o750);
    let link = folder.join("skel/jupyterhub/link");
    std::fs::remove_file(&link).unwrap();
    symlink("work/README", &link).unwrap();
    for name in ["services", "userhomes", "services-mini", "userhomes-mini"] {
        make_folder(&folder.join(name));
    }
}

fn copy(from: &Path, to: &Path) {
    make_folder(to);
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
            let is_script = target.extension().is_some_and(|it| it == "sh");
            set_mode(&target, if is_script { 0o755 } else { 0o644 });
        }
    }
}

pub fn make_folder(path: &Path) {
    std::fs::create_dir(path).unwrap();
    set_mode(path, 0o755);
}

pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The paths beneath a folder as the records list them, with modes and contents, in the order of their names.
pub fn listing(folder: &Path) -> Value {
    let mut entries = vec![json!({"path": ".", "type": "dir", "mode": mode(folder)})];
    list(folder, folder, &mut entries);
    entries.sort_by_key(|it| it["path"].as_str().unwrap_or_default().to_owned());
    json!(entries)
}

fn list(top: &Path, folder: &Path, entries: &mut Vec<Value>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(top).unwrap().to_str().unwrap();
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            entries.push(json!({"path": name, "type": "dir", "mode": mode(&path)}));
            list(top, &path, entries);
        } else if kind.is_symlink() {
            entries.push(json!({"path": name, "type": "link", "mode": mode(&path)}));
        } else {
            let content = std::fs::read_to_string(&path).unwrap();
            entries.push(json!({"path": name, "type": "file", "mode": mode(&path), "content": content}));
        }
    }
}

fn mode(path: &Path) -> String {
    format!("{:#o}", std::fs::metadata(path).unwrap().permissions().mode() & 0o7777)
}

/// Writes a description, such as `jupyterhub/Mine`, beneath the descriptions of a test.
pub fn describe(descriptions: &Path, name: &str, files: &[(&str, &str)]) {
    let folder = descriptions.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, content) in files {
        std::fs::write(folder.join(name), content).unwrap();
    }
}
