//! The hosts that the ssh configuration names: `Host tunnel_<hostname>`, literally.
//!
//! Read by ourselves: `ssh -G` answers for any name, and would run what `Match exec` says. A pattern names no host, and
//! what stands behind a condition does not count.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::NamePattern;

/// What every alias begins with.
pub const PREFIX: &str = "tunnel_";
const LARGEST_FILE: u64 = 1024 * 1024;
const DEEPEST_INCLUDE: usize = 16;
const MOST_FILES: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum AliasError {
    #[error("failed to read the ssh configuration {file}: {source}")]
    Read { file: PathBuf, source: std::io::Error },
    #[error("the ssh configuration {file} is larger than 1 MiB")]
    Large { file: PathBuf },
    #[error("the ssh configuration {file} includes too many files, or includes itself")]
    Includes { file: PathBuf },
}

/// The hostnames that jobs may name. Reads files: for a thread that may block.
pub fn read(file: &Path) -> Result<BTreeSet<String>, AliasError> {
    let mut reading = Reading { hostnames: BTreeSet::new(), files: 0 };
    reading.file(file, 0)?;
    Ok(reading.hostnames)
}

struct Reading {
    hostnames: BTreeSet<String>,
    files: usize,
}

impl Reading {
    fn file(&mut self, file: &Path, depth: usize) -> Result<(), AliasError> {
        self.files += 1;
        if depth > DEEPEST_INCLUDE || self.files > MOST_FILES {
            return Err(AliasError::Includes { file: file.to_owned() });
        }
        let failed = |source| AliasError::Read { file: file.to_owned(), source };
        if std::fs::metadata(file).map_err(failed)?.len() > LARGEST_FILE {
            return Err(AliasError::Large { file: file.to_owned() });
        }
        let text = String::from_utf8_lossy(&std::fs::read(file).map_err(failed)?).into_owned();
        // Whether what follows holds for all hosts.
        let mut for_all = true;
        for line in text.lines() {
            let words = words(line);
            let Some((keyword, arguments)) = words.split_first() else { continue };
            match keyword.to_ascii_lowercase().as_str() {
                "host" => {
                    for_all = arguments.iter().any(|it| it == "*") && !arguments.iter().any(|it| it.starts_with('!'));
                    let refused: Vec<_> = arguments.iter().filter_map(|it| it.strip_prefix('!')).collect();
                    let literal = |it: &&String| !it.contains(['*', '?', '!']) && !refused.contains(&it.as_str());
                    let named = arguments.iter().filter(literal).filter_map(|it| it.strip_prefix(PREFIX));
                    self.hostnames.extend(named.filter(|it| !it.is_empty()).map(str::to_owned));
                }
                "match" => for_all = arguments.len() == 1 && arguments[0].eq_ignore_ascii_case("all"),
                "include" if for_all => {
                    for included in arguments.iter().flat_map(|it| matching_files(it)) {
                        self.file(&included, depth + 1)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A line as ssh splits it: a keyword, then arguments, with `=` or blanks in between and quotes around.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let (mut in_quotes, mut is_begun) = (false, false);
    for c in line.trim().chars() {
        match c {
            '"' => (in_quotes, is_begun) = (!in_quotes, true),
            '#' if !in_quotes && !is_begun => break,
            c if !in_quotes && (c.is_whitespace() || (c == '=' && words.is_empty())) => {
                if is_begun {
                    words.push(std::mem::take(&mut word));
                }
                is_begun = false;
            }
            c => {
                word.push(c);
                is_begun = true;
            }
        }
    }
    if is_begun {
        words.push(word);
    }
    // `Host = a`: the sign by itself.
    if words.get(1).is_some_and(|it| it == "=") {
        words.remove(1);
    }
    words
}

/// The files that an Include means, sorted; relative ones are beneath ~/.ssh. One that is not there is none, as for ssh.
fn matching_files(pattern: &str) -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let path = match pattern.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => home.join(".ssh").join(pattern),
    };
    let mut found = vec![PathBuf::from("/")];
    for component in path.components().skip(1) {
        let name = component.as_os_str().to_string_lossy().into_owned();
        if !name.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|it| it.push(&name));
            continue;
        }
        let wanted = NamePattern::new(name.as_str());
        let is_wanted = |it: &String| wanted.matches(it) && (name.starts_with('.') || !it.starts_with('.'));
        let names_in = |folder: &PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries.filter_map(|it| it.file_name().into_string().ok()).collect();
            names.retain(is_wanted);
            names.sort();
            names
        };
        found = found.iter().flat_map(|folder| names_in(folder).into_iter().map(|it| folder.join(it))).collect();
    }
    found.retain(|it| it.is_file());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostnames(files: &[(&str, &str)]) -> Result<Vec<String>, AliasError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let text = text.replace("DIR", folder.path().to_str().unwrap());
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        read(&folder.path().join(files[0].0)).map(|it| it.into_iter().collect())
    }

    #[test]
    fn hosts_are_those_that_are_named_literally() {
        let text = "# Host tunnel_comment\nHost tunnel_a \"tunnel_b\" other\n  HostName x\nhost=tunnel_c\nHOST = tunnel_d # tunnel_e\n\
                    Host tunnel_* tunnel_f? !tunnel_g tunnel_g tunnel_\nMatch host tunnel_h\nMatch exec \"touch /tmp/x\"\n";
        assert_eq!(hostnames(&[("config", text)]).unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn includes_are_followed_where_they_hold_for_all_hosts() {
        let main = "Include DIR/conf.*\nHost x\n  Include DIR/inner\nHost *\nInclude DIR/outer DIR/missing\nMatch host y\nInclude DIR/inner\n\
                    Match all\nInclude \"DIR/last\"";
        let files = [
            ("config", main),
            ("conf.1", "Host tunnel_one"),
            ("conf.2", "Host tunnel_two"),
            ("inner", "Host tunnel_inner"),
            ("outer", "Host tunnel_outer"),
            ("last", "Host tunnel_last"),
        ];
        assert_eq!(hostnames(&files).unwrap(), ["last", "one", "outer", "two"]);
    }

    #[test]
    fn a_file_that_includes_itself_or_is_not_there_is_told() {
        let error = hostnames(&[("config", "Include DIR/config")]).unwrap_err().to_string();
        assert!(error.contains("includes itself"), "{error}");
        let error = read(Path::new("/nonexistent/config")).unwrap_err().to_string();
        assert!(error.contains("failed to read the ssh configuration /nonexistent/config: No such file"), "{error}");
    }
}
