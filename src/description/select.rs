//! Which files of a description count for a stage and a credential, read into memory.
//!
//! Symbolic links are followed as long as they stay within the descriptions of the credential. What is read was all
//! there at the same time: it is looked at again afterwards, and read again when something changed meanwhile.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::Services;
use crate::domain::{Credential, ServiceName};

/// More files and folders than any description needs.
const MOST_ENTRIES: usize = 10_000;
const DEEPEST: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    #[error("Couldn't find service yaml file.")]
    NotFound,
    #[error("failed to read `{name}` of the service description")]
    Read { name: String, source: io::Error },
    #[error("`{0}` of the service description is a link that leads out of the descriptions")]
    LeadsOut(String),
    #[error("`{0}` of the service description is neither a file nor a folder")]
    Special(String),
    #[error("the name of a file in `{0}` of the service description is not UTF-8")]
    NotUtf8(String),
    #[error(
        "the service description is larger than services.max_description_bytes ({limit} bytes); \
         a ConfigMap, which takes the packed input, holds 1 MiB at most"
    )]
    TooLarge { limit: u64 },
    #[error("the service description has more than {MOST_ENTRIES} files and folders")]
    TooMany,
    #[error("the folders of the service description are nested more than {DEEPEST} deep")]
    TooDeep,
    #[error("the service description is being changed; try again")]
    Changing,
}

/// A file or folder by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    File(Vec<u8>),
    Folder(Vec<Entry>),
}

/// A file next to service.yaml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptionFile {
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    pub bytes: Vec<u8>,
}

/// What counts, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub files: Vec<DescriptionFile>,
    /// The folder `services.input_dir`, where there is one.
    pub input: Option<Entry>,
}

/// Reads what counts for this stage and credential. The folder is that of the mapped credential; what is skipped goes by the real one.
pub fn select(
    services: &Services,
    stage: Option<&str>,
    credential: &Credential,
    service: &ServiceName,
) -> Result<Selection, SelectError> {
    let prefixes = skipped_prefixes(services, stage, credential.as_str());
    let folder = folder_of(services, credential);
    let (entries, _) = read(services, folder, service, &prefixes, services.max_description_bytes)?;
    Ok(Selection::of(entries))
}

/// The folder of a credential's descriptions.
pub fn folder_of<'a>(services: &'a Services, credential: &'a Credential) -> &'a str {
    services.credential_mapping.get(credential.as_str()).map_or(credential.as_str(), |it| it.as_str())
}

/// The same from what was read before without regard to stage and credential.
pub fn select_from(
    entries: &[Entry],
    services: &Services,
    stage: Option<&str>,
    credential: &Credential,
) -> Result<Selection, SelectError> {
    let prefixes = skipped_prefixes(services, stage, credential.as_str());
    let mut bytes_left = services.max_description_bytes;
    let kept = without_skipped(entries, &prefixes, &mut bytes_left);
    kept.map(Selection::of).ok_or(SelectError::TooLarge { limit: services.max_description_bytes })
}

pub fn bytes_of(entries: &[Entry]) -> u64 {
    let bytes = |it: &Entry| match &it.content {
        Content::File(bytes) => bytes.len() as u64,
        Content::Folder(entries) => bytes_of(entries),
    };
    entries.iter().map(bytes).sum()
}

/// `None` when it is too large.
fn without_skipped(entries: &[Entry], prefixes: &[String], bytes_left: &mut u64) -> Option<Vec<Entry>> {
    let counts = |it: &&Entry| !prefixes.iter().any(|prefix| it.name.starts_with(prefix.as_str()));
    let kept = entries.iter().filter(counts).map(|entry| {
        let content = match &entry.content {
            Content::File(bytes) => {
                *bytes_left = bytes_left.checked_sub(bytes.len() as u64)?;
                Content::File(bytes.clone())
            }
            Content::Folder(entries) => Content::Folder(without_skipped(entries, prefixes, bytes_left)?),
        };
        Some(Entry { name: entry.name.clone(), mode: entry.mode, content })
    });
    kept.collect()
}

impl Selection {
    fn of(entries: Vec<Entry>) -> Self {
        let mut selection = Self { files: Vec::new(), input: None };
        for Entry { name, mode, content } in entries {
            match content {
                Content::File(bytes) => selection.files.push(DescriptionFile { name, mode, bytes }),
                folder @ Content::Folder(_) => selection.input = Some(Entry { name, mode, content: folder }),
            }
        }
        selection
    }
}

/// How often a description that changes while it is read is read again.
const ATTEMPTS: usize = 10;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Reads a description: all of it as it was at one moment, and what tells whether it has changed since.
pub fn read(
    services: &Services,
    folder: &str,
    service: &ServiceName,
    skipped_prefixes: &[String],
    most_bytes: u64,
) -> Result<(Vec<Entry>, Vec<Stamp>), SelectError> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        let found = look(services, folder, service, skipped_prefixes, Some(most_bytes));
        match (found, look(services, folder, service, skipped_prefixes, None)) {
            (Ok((entries, before)), Ok((_, after))) if before == after => return Ok((entries, before)),
            // What is wrong twice is wrong, and not just being replaced.
            (Err(_), Err(error)) => return Err(error),
            (Err(error @ SelectError::TooLarge { .. }), _) => return Err(error),
            _ => {}
        }
    }
    Err(SelectError::Changing)
}

/// What tells whether a description has changed. Reads no contents.
pub fn stamps(services: &Services, folder: &str, service: &ServiceName) -> Result<Vec<Stamp>, SelectError> {
    look(services, folder, service, &[], None).map(|(_, stamps)| stamps)
}

/// What an entry was like: whoever replaces or changes a file leaves another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    shown: String,
    /// After links.
    path: PathBuf,
    mode: u32,
    /// Device, inode, size, and the times of the last change of content and of anything, in nanoseconds; of files.
    file: Option<(u64, u64, u64, i128, i128)>,
}

impl Stamp {
    fn new(shown: &str, path: &Path, metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        let file = metadata.is_file().then(|| {
            let modified = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
            let changed = nanoseconds(metadata.ctime(), metadata.ctime_nsec());
            (metadata.dev(), metadata.ino(), metadata.size(), modified, changed)
        });
        Self { shown: shown.to_owned(), path: path.to_owned(), mode: metadata.mode(), file }
    }

    /// When it was changed last, in nanoseconds since 1970.
    pub fn changed(&self) -> i128 {
        self.file.map_or(0, |(.., modified, changed)| modified.max(changed))
    }
}

/// Looks through a description; contents are read where `most_bytes` says how much.
fn look(
    services: &Services,
    folder: &str,
    service: &ServiceName,
    skipped_prefixes: &[String],
    most_bytes: Option<u64>,
) -> Result<(Vec<Entry>, Vec<Stamp>), SelectError> {
    let existing = |path: PathBuf| {
        path.canonicalize().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SelectError::NotFound,
            _ => SelectError::Read { name: service.to_string(), source },
        })
    };
    let root = existing(services.descriptions.join(folder))?;
    let description = existing(root.join(service.as_str()))?;
    if !description.is_dir() {
        return Err(SelectError::NotFound);
    }
    if !description.starts_with(&root) {
        return Err(SelectError::LeadsOut(service.to_string()));
    }
    let mut reader = Reader {
        root,
        services,
        skipped_prefixes,
        bytes_left: most_bytes,
        entries_left: MOST_ENTRIES,
        stamps: Vec::new(),
    };
    let mut entries = Vec::new();
    for (name, path) in reader.list(&description, "")? {
        let is_input = name == services.input_dir.as_str();
        let metadata = fs::metadata(&path).map_err(|source| SelectError::Read { name: name.clone(), source })?;
        // Folders beside the input are nobody's business.
        if metadata.is_dir() && !is_input {
            continue;
        }
        entries.push(reader.read(name.clone(), &path, &name, 0)?);
    }
    Ok((entries, reader.stamps))
}

/// With a stage `<other stage>_` and `<stage>_<other credential>_`, and always `<other credential>_`.
fn skipped_prefixes(services: &Services, stage: Option<&str>, credential: &str) -> Vec<String> {
    let others = services.skip.credential.iter().filter(|it| *it != credential);
    let mut prefixes: Vec<String> = others.clone().map(|other| format!("{other}_")).collect();
    if let Some(stage) = stage {
        prefixes.extend(services.skip.stage.iter().filter(|it| *it != stage).map(|other| format!("{other}_")));
        prefixes.extend(others.map(|other| format!("{stage}_{other}_")));
    }
    prefixes
}

struct Reader<'a> {
    root: PathBuf,
    services: &'a Services,
    skipped_prefixes: &'a [String],
    /// `None`: contents are not read.
    bytes_left: Option<u64>,
    entries_left: usize,
    stamps: Vec<Stamp>,
}

impl Reader<'_> {
    /// The names in a folder that count, sorted, with their paths after links; `shown` is what messages call it.
    fn list(&mut self, folder: &Path, shown: &str) -> Result<Vec<(String, PathBuf)>, SelectError> {
        let failed = |source| SelectError::Read { name: shown.to_owned(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string().map_err(|_| SelectError::NotUtf8(shown.to_owned()))?;
            if !self.counts(&name) {
                continue;
            }
            self.entries_left = self.entries_left.checked_sub(1).ok_or(SelectError::TooMany)?;
            let below = if shown.is_empty() { name.clone() } else { format!("{shown}/{name}") };
            let failed = |source| SelectError::Read { name: below.clone(), source };
            let mut path = entry.path();
            if entry.file_type().map_err(failed)?.is_symlink() {
                path = path.canonicalize().map_err(failed)?;
                if !path.starts_with(&self.root) {
                    return Err(SelectError::LeadsOut(below));
                }
            }
            found.push((name, path));
        }
        found.sort();
        Ok(found)
    }

    fn counts(&self, name: &str) -> bool {
        // A kubelet keeps the data of a mounted ConfigMap in `..data`, to which the names are links.
        !name.starts_with("..")
            && !self.services.descriptions_ignore_files.iter().any(|pattern| pattern.matches(name))
            && !self.skipped_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// The path is no link.
    fn read(&mut self, name: String, path: &Path, shown: &str, depth: usize) -> Result<Entry, SelectError> {
        if depth > DEEPEST {
            return Err(SelectError::TooDeep);
        }
        let failed = |source| SelectError::Read { name: shown.to_owned(), source };
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        self.stamps.push(Stamp::new(shown, path, &metadata));
        let content = if metadata.is_dir() {
            let mut entries = Vec::new();
            for (name, path) in self.list(path, shown)? {
                let shown = format!("{shown}/{name}");
                entries.push(self.read(name, &path, &shown, depth + 1)?);
            }
            Content::Folder(entries)
        } else if metadata.is_file() {
            let too_large = SelectError::TooLarge { limit: self.services.max_description_bytes };
            let mut bytes = Vec::new();
            if let Some(left) = self.bytes_left {
                let file = File::open(path).map_err(failed)?;
                file.take(left + 1).read_to_end(&mut bytes).map_err(failed)?;
                self.bytes_left = Some(left.checked_sub(bytes.len() as u64).ok_or(too_large)?);
            }
            Content::File(bytes)
        } else {
            return Err(SelectError::Special(shown.to_owned()));
        };
        Ok(Entry { name, mode: permission_bits(&metadata), content })
    }
}

fn permission_bits(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[&str]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for file in files {
                tree.write(file, file);
            }
            tree
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            fs::write(self.path(name), text).unwrap();
        }

        fn services(&self, more: &str) -> Services {
            let text = format!(r#"{{"services": {{"descriptions": {:?}{more}}}}}"#, self.0.path());
            Config::from_json(&text, "x").unwrap().config.services
        }

        fn select(&self, more: &str, stage: Option<&str>, credential: &str) -> Result<Selection, SelectError> {
            let (credential, service) = (Credential::parse(credential).unwrap(), ServiceName::parse("S").unwrap());
            select(&self.services(more), stage, &credential, &service)
        }

        fn names(&self, more: &str, stage: Option<&str>, credential: &str) -> Vec<String> {
            self.select(more, stage, credential).unwrap().files.into_iter().map(|it| it.name).collect()
        }
    }

    const SKIP: &str = r#", "skip": {"stage": ["prod", "stag"], "credential": ["hub", "other"]}"#;

    #[test]
    fn files_of_other_stages_and_credentials_are_left_out() {
        let files = ["a", "hub_a", "other_a", "prod_a", "prod_hub_a", "prod_other_a", "stag_a", "third_a"];
        let tree = Tree::new(&files.map(|name| format!("hub/S/{name}")).each_ref().map(String::as_str));
        assert_eq!(tree.names(SKIP, Some("prod"), "hub"), ["a", "hub_a", "prod_a", "prod_hub_a", "third_a"]);
        assert_eq!(
            tree.names(SKIP, None, "hub"),
            ["a", "hub_a", "prod_a", "prod_hub_a", "prod_other_a", "stag_a", "third_a"]
        );
        let mapped = format!(r#"{SKIP}, "credential_mapping": {{"other": "hub"}}"#);
        assert_eq!(tree.names(&mapped, Some("prod"), "other"), ["a", "other_a", "prod_a", "prod_other_a", "third_a"]);
        assert_eq!(tree.names("", Some("prod"), "hub").len(), files.len());
    }

    #[test]
    fn what_one_hub_skips_does_not_leak_into_another_s_start() {
        let tree = Tree::new(&["hub/S/hub_a", "hub/S/other_a"]);
        let mapped = format!(r#"{SKIP}, "credential_mapping": {{"other": "hub"}}"#);
        for _ in 0..2 {
            assert_eq!(tree.names(&mapped, None, "hub"), ["hub_a"]);
            assert_eq!(tree.names(&mapped, None, "other"), ["other_a"]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_selected_is_all_that_no_rule_leaves_out(
            names in prop::collection::btree_set("(prod_|stag_|hub_|other_){0,3}[a-c]", 1..12),
            stage in prop::option::of(prop::sample::select(vec!["prod", "stag", "test"])),
        ) {
            let tree = Tree::new(&names.iter().map(|name| format!("hub/S/{name}")).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>());
            let left_out = |name: &str| {
                name.starts_with("other_")
                    || stage.is_some_and(|stage| {
                        name.starts_with(&format!("{stage}_other_"))
                            || ["prod", "stag"].iter().any(|it| *it != stage && name.starts_with(&format!("{it}_")))
                    })
            };
            let expected: Vec<_> = names.iter().filter(|name| !left_out(name)).cloned().collect();
            prop_assert_eq!(tree.names(SKIP, stage, "hub"), expected);
        }
    }

    #[test]
    fn links_inside_are_followed_and_those_leading_out_are_refused() {
        let tree = Tree::new(&["hub/shared/x", "hub/S/service.yaml", "secret"]);
        symlink("../shared/x", tree.path("hub/S/link")).unwrap();
        symlink("../shared", tree.path("hub/S/input")).unwrap();
        let selection = tree.select("", None, "hub").unwrap();
        assert_eq!(selection.files[0].bytes, b"hub/shared/x");
        assert!(matches!(selection.input.unwrap().content, Content::Folder(it) if it[0].name == "x"));

        symlink("../../secret", tree.path("hub/S/out")).unwrap();
        let error = tree.select("", None, "hub").unwrap_err();
        assert_eq!(error.to_string(), "`out` of the service description is a link that leads out of the descriptions");
        fs::remove_file(tree.path("hub/S/out")).unwrap();
        symlink("../../..", tree.path("hub/shared/up")).unwrap();
        assert!(matches!(tree.select("", None, "hub"), Err(SelectError::LeadsOut(name)) if name == "input/up"));
    }

    #[test]
    fn a_loop_of_links_ends() {
        let tree = Tree::new(&["hub/S/input/x"]);
        symlink("..", tree.path("hub/S/input/again")).unwrap();
        assert!(matches!(tree.select("", None, "hub"), Err(SelectError::TooDeep | SelectError::TooLarge { .. })));
    }

    #[test]
    fn what_is_not_there_is_not_found_and_makes_nothing() {
        let tree = Tree::new(&["hub/file", "other/S/x"]);
        for credential in ["hub", "nobody"] {
            let error = tree.select("", None, credential).unwrap_err();
            assert_eq!(error.to_string(), "Couldn't find service yaml file.");
        }
        assert!(!tree.path("hub/S").exists() && !tree.path("nobody").exists());
    }

    #[test]
    fn a_description_is_bounded() {
        let tree = Tree::new(&["hub/S/input/a", "hub/S/b"]);
        let limit = r#", "max_description_bytes": 20"#;
        let error = tree.select(r#", "max_description_bytes": 19"#, None, "hub").unwrap_err().to_string();
        assert!(error.contains("services.max_description_bytes (19 bytes)") && error.contains("1 MiB"), "{error}");
        assert!(tree.select(limit, None, "hub").is_ok());
    }

    #[test]
    fn a_mounted_config_map_is_read_by_its_names() {
        let tree = Tree::new(&["hub/S/..2026_01/service.yaml"]);
        symlink("..2026_01", tree.path("hub/S/..data")).unwrap();
        symlink("..data/service.yaml", tree.path("hub/S/service.yaml")).unwrap();
        assert_eq!(tree.names("", None, "hub"), ["service.yaml"]);
    }
}
