//! Volumes whose files come from objects: configMap, secret, downwardAPI and projected.
//!
//! The files are written once, when the pod starts; later changes of the objects are not followed.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Maker, VolumeError};
use crate::node::fields;
use crate::node::subpath::Owner;
use crate::storage::{Key, Resource};

const DEFAULT_MODE: u32 = 0o644;

pub struct File {
    path: PathBuf,
    content: Vec<u8>,
    mode: u32,
}

/// The files of a volume; `None` when it is of another kind.
pub fn files(maker: &Maker<'_>, volume: &Value) -> Result<Option<Vec<File>>, VolumeError> {
    let mut files = Vec::new();
    if volume["configMap"].is_object() {
        let source = &volume["configMap"];
        object(maker, "configmaps", &source["name"], source, mode(&source["defaultMode"], DEFAULT_MODE), &mut files)?;
    } else if volume["secret"].is_object() {
        let source = &volume["secret"];
        object(
            maker,
            "secrets",
            &source["secretName"],
            source,
            mode(&source["defaultMode"], DEFAULT_MODE),
            &mut files,
        )?;
    } else if volume["downwardAPI"].is_object() {
        let source = &volume["downwardAPI"];
        downward(maker, source, mode(&source["defaultMode"], DEFAULT_MODE), &mut files)?;
    } else if volume["projected"].is_object() {
        let default = mode(&volume["projected"]["defaultMode"], DEFAULT_MODE);
        for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
            if source["configMap"].is_object() {
                object(maker, "configmaps", &source["configMap"]["name"], &source["configMap"], default, &mut files)?;
            } else if source["secret"].is_object() {
                object(maker, "secrets", &source["secret"]["name"], &source["secret"], default, &mut files)?;
            } else if source["downwardAPI"].is_object() {
                downward(maker, &source["downwardAPI"], default, &mut files)?;
            } else if source["serviceAccountToken"].is_object() {
                // The volume that every pod is given must not keep those from starting that never use it.
                let given = volume["name"].as_str().is_some_and(|it| it.starts_with("kube-api-access-"));
                match token(maker, &source["serviceAccountToken"]) {
                    Err(VolumeError::NoToken) if given => {}
                    file => files.push(file?),
                }
            } else {
                return Err(VolumeError::Unsupported);
            }
        }
    } else {
        return Ok(None);
    }
    Ok(Some(files))
}

/// Writes the files of a volume anew. Nothing of the pod runs yet.
pub fn write(folder: &Path, files: &[File], owner: Owner) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    make_folder(folder, owner)?;
    for file in files {
        let mut inside = folder.to_owned();
        for part in file.path.parent().into_iter().flat_map(Path::components) {
            inside.push(part);
            if !inside.is_dir() {
                make_folder(&inside, owner)?;
            }
        }
        let path = folder.join(&file.path);
        // The last source of a projected volume wins.
        if path.is_file() {
            fs::remove_file(&path)?;
        }
        let mut target = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        target.write_all(&file.content)?;
        give(&path, owner)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

fn make_folder(path: &Path, owner: Owner) -> io::Result<()> {
    fs::create_dir_all(path)?;
    give(path, owner)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn give(path: &Path, owner: Owner) -> io::Result<()> {
    match owner {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

fn mode(value: &Value, default: u32) -> u32 {
    value.as_u64().and_then(|it| u32::try_from(it).ok()).map_or(default, |it| it & 0o777)
}

fn clean(path: &Value) -> Result<PathBuf, VolumeError> {
    let text = path.as_str().unwrap_or_default();
    let path = Path::new(text);
    let plain = path.components().all(|it| matches!(it, Component::Normal(_)));
    if text.is_empty() || text.contains('\0') || !plain {
        return Err(VolumeError::Path(text.to_owned()));
    }
    Ok(path.to_owned())
}

fn object(
    maker: &Maker<'_>,
    plural: &'static str,
    name: &Value,
    source: &Value,
    default: u32,
    files: &mut Vec<File>,
) -> Result<(), VolumeError> {
    let (kind, key_kind) = if plural == "secrets" { ("secret", "secret") } else { ("configmap", "config") };
    let name = name.as_str().unwrap_or_default();
    let optional = source["optional"] == true;
    let Some(object) = maker.storage.get(&Key::new(Resource::core(plural), maker.namespace(), name)) else {
        return if optional { Ok(()) } else { Err(VolumeError::NotFound { kind, name: name.to_owned() }) };
    };
    let Some(items) = source["items"].as_array().filter(|it| !it.is_empty()) else {
        for list in ["data", "binaryData"] {
            for (key, value) in object[list].as_object().into_iter().flatten() {
                let path = clean(&Value::from(key.as_str()))?;
                files.push(File { path, content: bytes(plural, list, key, value)?, mode: default });
            }
        }
        return Ok(());
    };
    for item in items {
        let key = item["key"].as_str().unwrap_or_default();
        let Some(list) = ["data", "binaryData"].into_iter().find(|list| !object[*list][key].is_null()) else {
            if optional {
                continue;
            }
            return Err(VolumeError::NoKey { kind: key_kind, key: key.to_owned() });
        };
        let content = bytes(plural, list, key, &object[list][key])?;
        files.push(File { path: clean(&item["path"])?, content, mode: mode(&item["mode"], default) });
    }
    Ok(())
}

fn bytes(plural: &str, list: &str, key: &str, value: &Value) -> Result<Vec<u8>, VolumeError> {
    let text = value.as_str().unwrap_or_default();
    if plural == "configmaps" && list == "data" {
        return Ok(text.as_bytes().to_vec());
    }
    STANDARD.decode(text).map_err(|_| VolumeError::Encoding(key.to_owned()))
}

fn downward(maker: &Maker<'_>, source: &Value, default: u32, files: &mut Vec<File>) -> Result<(), VolumeError> {
    for item in source["items"].as_array().into_iter().flatten() {
        let content = match item["fieldRef"]["fieldPath"].as_str() {
            Some(path) => fields::volume_field(maker.pod, path)?,
            None => fields::resource(maker.pod, "", &item["resourceFieldRef"], maker.capacity)?,
        };
        let mode = mode(&item["mode"], default);
        files.push(File { path: clean(&item["path"])?, content: content.into_bytes(), mode });
    }
    Ok(())
}

fn token(maker: &Maker<'_>, source: &Value) -> Result<File, VolumeError> {
    let issue = maker.issue_token.ok_or(VolumeError::NoToken)?;
    let token = issue(maker.pod, source["audience"].as_str()).ok_or(VolumeError::NoToken)?;
    // As a kubelet does it: for the container's user alone.
    let mode = if maker.owner.is_some() { 0o600 } else { DEFAULT_MODE };
    Ok(File { path: clean(&source["path"])?, content: token.into_bytes(), mode })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::super::Volume;
    use super::*;
    use crate::node::fields::Capacity;
    use crate::storage::Storage;

    fn make(volume: &Value) -> (tempfile::TempDir, Result<Volume, VolumeError>) {
        let storage = Storage::new();
        let put = |plural: &str, name: &str, object: Value| {
            storage.create(Key::new(Resource::core(plural), "n", name), object).unwrap()
        };
        let data = json!({"a": "text", "b.sh": "run"});
        put("configmaps", "c", json!({"metadata": {}, "data": data, "binaryData": {"raw": STANDARD.encode([0, 255])}}));
        put("secrets", "s", json!({"metadata": {}, "data": {"k": STANDARD.encode("secret")}}));
        let base = tempfile::tempdir().unwrap();
        let pod = json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"l": "1"}},
            "spec": {"volumes": [volume]},
        });
        let result = Maker {
            storage: &storage,
            pod: &pod,
            folder: &base.path().join("volumes"),
            claims: &base.path().join("claims"),
            owner: None,
            capacity: Capacity { cpus: 1, memory_bytes: 1 },
            issue_token: Some(&|_, audience| Some(format!("token for {audience:?}"))),
        }
        .make_all();
        (base, result.map(|mut it| it.pop_first().unwrap().1).map_err(|it| it.1))
    }

    fn read(volume: &Volume, path: &str) -> (Vec<u8>, u32) {
        let path = volume.path.join(path);
        (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().permissions().mode() & 0o777)
    }

    #[test]
    fn files_have_the_content_and_modes_asked_for() {
        let (_base, volume) = make(&json!({"name": "v", "configMap": {"name": "c", "defaultMode": 400}}));
        let volume = volume.unwrap();
        assert_eq!(read(&volume, "a"), (b"text".to_vec(), 0o620));
        assert_eq!(read(&volume, "raw"), (vec![0, 255], 0o620));
        let items = json!([{"key": "b.sh", "path": "bin/run.sh", "mode": 0o755}]);
        let (_base, volume) = make(&json!({"name": "v", "configMap": {"name": "c", "items": items}}));
        let volume = volume.unwrap();
        assert_eq!(read(&volume, "bin/run.sh"), (b"run".to_vec(), 0o755));
        assert!(!volume.path.join("a").exists());
    }

    #[test]
    fn projected_sources_share_one_folder() {
        let (_base, volume) = make(&json!({"name": "v", "projected": {"sources": [
            {"configMap": {"name": "c", "items": [{"key": "a", "path": "a"}]}},
            {"secret": {"name": "s"}},
            {"secret": {"name": "gone", "optional": true}},
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"serviceAccountToken": {"path": "token", "audience": "x"}},
        ]}}));
        let volume = volume.unwrap();
        assert_eq!(read(&volume, "a").0, b"text");
        assert_eq!(read(&volume, "k"), (b"secret".to_vec(), 0o644));
        assert_eq!(read(&volume, "labels").0, b"l=\"1\"");
        assert_eq!(read(&volume, "token").0, b"token for Some(\"x\")");
    }

    #[test]
    fn what_is_missing_or_leads_out_is_refused() {
        let refused = |volume: Value| make(&volume).1.unwrap_err().to_string();
        assert_eq!(refused(json!({"name": "v", "secret": {"secretName": "x"}})), "secret \"x\" not found");
        assert_eq!(refused(json!({"name": "v", "configMap": {"name": "x"}})), "configmap \"x\" not found");
        let items =
            |path: &str| json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": path}]}});
        assert!(refused(items("../x")).starts_with("invalid path"));
        assert!(refused(items("/x")).starts_with("invalid path"));
        let no_key = json!({"name": "v", "configMap": {"name": "c", "items": [{"key": "z", "path": "z"}]}});
        assert_eq!(refused(no_key), "references non-existent config key: z");
        assert_eq!(
            refused(json!({"name": "v", "persistentVolumeClaim": {"claimName": "x"}})),
            "persistentvolumeclaim \"x\" not found"
        );
        assert_eq!(refused(json!({"name": "v", "nfs": {}})), "volume type is not supported by this node");
        assert!(make(&json!({"name": "v", "secret": {"secretName": "x", "optional": true}})).1.is_ok());
    }
}
