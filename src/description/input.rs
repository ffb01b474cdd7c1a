//! The input folder of a description: files renamed for stage and credential, packed the same way every time.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::select::{Content, Entry};

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("`{file}` of the input would become `{folder}`, which is a folder")]
    TakenByFolder { file: String, folder: String },
    #[error("failed to pack the input")]
    Pack(#[source] io::Error),
}

/// The folder as tar.gz in base64; nothing for no folder.
pub fn pack(input: Option<Entry>, stage: Option<&str>, credential: &str) -> Result<String, InputError> {
    let Some(mut input) = input else { return Ok(String::new()) };
    rename(&mut input, &prefixes(stage, credential))?;
    archive(&input).map(|bytes| STANDARD.encode(bytes)).map_err(InputError::Pack)
}

/// The most specific first: where several files would become one, it wins. Without a stage the rules hold for the empty
/// one, as in the reference: `_x` becomes `x`.
fn prefixes(stage: Option<&str>, credential: &str) -> Vec<String> {
    let stage = stage.unwrap_or_default();
    vec![format!("{stage}_{credential}_"), format!("{stage}_"), format!("{credential}_")]
}

/// Files `<prefix>x` become `x`, in every folder; folders keep their names.
fn rename(entry: &mut Entry, prefixes: &[String]) -> Result<(), InputError> {
    let Content::Folder(entries) = &mut entry.content else { return Ok(()) };
    let mut renamed: BTreeMap<String, (usize, Entry)> = BTreeMap::new();
    let (folders, files): (Vec<_>, Vec<_>) = entries.drain(..).partition(|it| matches!(it.content, Content::Folder(_)));
    for mut folder in folders {
        rename(&mut folder, prefixes)?;
        renamed.insert(folder.name.clone(), (0, folder));
    }
    for mut file in files {
        let (rank, name) = new_name(&file.name, prefixes);
        match renamed.get(&name) {
            Some((_, Entry { content: Content::Folder(_), .. })) => {
                return Err(InputError::TakenByFolder { file: file.name, folder: name });
            }
            Some((better, _)) if *better < rank => continue,
            _ => {
                file.name.clone_from(&name);
                renamed.insert(name, (rank, file));
            }
        }
    }
    entries.extend(renamed.into_values().map(|(_, entry)| entry));
    Ok(())
}

fn new_name(name: &str, prefixes: &[String]) -> (usize, String) {
    let stripped = prefixes.iter().enumerate().find_map(|(rank, prefix)| {
        let rest =
            name.strip_prefix(prefix.as_str()).filter(|rest| !rest.is_empty() && *rest != "." && *rest != "..")?;
        // `__init__.py` is Python's, not a file for the empty stage.
        let is_dunder = name.starts_with("__") && prefix == "_";
        if is_dunder {
            return None;
        }
        Some((rank, rest.to_owned()))
    });
    stripped.unwrap_or_else(|| (prefixes.len(), name.to_owned()))
}

fn archive(input: &Entry) -> io::Result<Vec<u8>> {
    // No time and no host in the header: the same files give the same bytes.
    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    let mut tar = Builder::new(gzip);
    append(&mut tar, &input.name, input)?;
    tar.into_inner()?.finish()
}

fn append(tar: &mut Builder<impl Write>, path: &str, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    match &entry.content {
        Content::File(bytes) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, bytes.as_slice())
        }
        Content::Folder(entries) => {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            tar.append_data(&mut header, path, io::empty())?;
            entries.iter().try_for_each(|entry| append(tar, &format!("{path}/{}", entry.name), entry))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Entry {
        Entry { name: name.to_owned(), mode: 0o640, content: Content::File(name.as_bytes().to_vec()) }
    }

    fn folder(name: &str, entries: Vec<Entry>) -> Entry {
        Entry { name: name.to_owned(), mode: 0o750, content: Content::Folder(entries) }
    }

    /// What a name holds after renaming, by the name it had.
    fn renamed(names: &[&str], stage: Option<&str>) -> Vec<(String, String)> {
        let mut input = folder("input", names.iter().map(|name| file(name)).collect());
        rename(&mut input, &prefixes(stage, "hub")).unwrap();
        let Content::Folder(entries) = input.content else { unreachable!() };
        entries
            .into_iter()
            .map(|it| match it.content {
                Content::File(bytes) => (it.name, String::from_utf8(bytes).unwrap()),
                Content::Folder(_) => unreachable!(),
            })
            .collect()
    }

    #[test]
    fn the_most_specific_file_wins_whatever_the_order() {
        let names = ["x", "hub_x", "prod_x", "prod_hub_x"];
        for from in 0..4 {
            let mut rotated = names;
            rotated.rotate_left(from);
            assert_eq!(renamed(&rotated, Some("prod")), [("x".to_owned(), "prod_hub_x".to_owned())]);
        }
        assert_eq!(renamed(&["hub_x", "prod_x", "x"], Some("prod"))[0].1, "prod_x");
    }

    #[test]
    fn without_a_stage_the_rules_hold_for_the_empty_one() {
        let names = renamed(&["__init__.py", "_x", "_hub_w", "hub_y", "prod_z", "hub_"], None);
        let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["__init__.py", "hub_", "prod_z", "w", "x", "y"]);
    }

    #[test]
    fn a_file_does_not_take_the_name_of_a_folder() {
        let input = folder("input", vec![folder("x", vec![]), file("hub_x")]);
        let error = pack(Some(input), None, "hub").unwrap_err();
        assert_eq!(error.to_string(), "`hub_x` of the input would become `x`, which is a folder");
    }

    #[test]
    fn the_archive_is_the_same_every_time_and_takes_long_names() {
        let long = "l".repeat(180);
        let input = || folder("input", vec![folder("d", vec![file(&long)]), file("a")]);
        let packed = pack(Some(input()), None, "hub").unwrap();
        assert_eq!(packed, pack(Some(input()), None, "hub").unwrap());
        let bytes = STANDARD.decode(packed).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let listing: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
                (entry.path().unwrap().display().to_string(), header.mode().unwrap())
            })
            .collect();
        let expected = [("input", 0o750), ("input/a", 0o640), ("input/d", 0o750)];
        let mut expected: Vec<_> = expected.map(|(path, mode)| (path.to_owned(), mode)).into();
        expected.push((format!("input/d/{long}"), 0o640));
        assert_eq!(listing, expected);
    }

    #[test]
    fn no_folder_is_the_empty_text() {
        assert_eq!(pack(None, Some("prod"), "hub").unwrap(), "");
    }
}
