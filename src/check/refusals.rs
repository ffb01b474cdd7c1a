//! What a start would be refused with, as findings.

use std::io::ErrorKind;
use std::path::Path;

use super::codes::Code;
use super::finding::Finding;
use super::origin::Origin;
use crate::description::{
    DescriptionError, InputError, ManifestError, SelectError, SizeError, TemplateError, WorkloadError,
};

/// `folder` is the description's; `origin` its rendered service.yaml and update.yaml, as far as they were rendered.
pub fn finding(error: &DescriptionError, folder: &Path, origins: &[Origin]) -> Finding {
    let simple = |code, file: &str| Finding::new(code, error.to_string()).at(&folder.join(file), None);
    match error {
        DescriptionError::NotFound => simple(Code::ServiceYamlMissing, ""),
        DescriptionError::Select(error) => select(error, folder),
        DescriptionError::Input(InputError::TakenByFolder { file, .. }) => simple(Code::InputCollision, file),
        DescriptionError::Input(InputError::Pack(_)) => simple(Code::FileUnreadable, ""),
        DescriptionError::NotUtf8(file) => simple(Code::FileUnreadable, file),
        DescriptionError::Both(file) => simple(Code::BothTemplates, file),
        DescriptionError::Template(error) => template(error, folder),
        DescriptionError::Manifest(error) => manifest(error, folder, origins),
        DescriptionError::Workload(error) => workload(error, folder, origins),
        DescriptionError::Size(error) => size(error, folder, origins),
    }
}

fn select(error: &SelectError, folder: &Path) -> Finding {
    let at = |code, file: &str| Finding::new(code, error.to_string()).at(&folder.join(file), None);
    match error {
        SelectError::NotFound => at(Code::ServiceYamlMissing, ""),
        SelectError::Read { name, source } => {
            let path = folder.join(name);
            let is_link = path.symlink_metadata().is_ok_and(|it| it.is_symlink());
            match source.kind() {
                ErrorKind::NotFound if is_link => {
                    Finding::new(Code::LinkLeadsOut, format!("`{name}` is a link that leads nowhere")).at(&path, None)
                }
                _ => Finding::new(Code::FileUnreadable, format!("{error}: {source}")).at(&path, None),
            }
        }
        SelectError::LeadsOut(name) => at(Code::LinkLeadsOut, name),
        SelectError::Special(name) | SelectError::NotUtf8(name) => at(Code::FileUnreadable, name),
        SelectError::Changing => at(Code::FileUnreadable, ""),
        SelectError::TooLarge { .. } | SelectError::TooMany | SelectError::TooDeep => at(Code::DescriptionTooLarge, ""),
    }
}

fn template(error: &TemplateError, folder: &Path) -> Finding {
    let (code, file, line, reason) = match error {
        TemplateError::Syntax { file, place, reason } => (Code::TemplateSyntax, file, place.0, reason.clone()),
        TemplateError::Refused { file, refused } => {
            let line = line_of(&folder.join(file), &refused.what);
            (Code::TemplateSyntax, file, line.map(|it| (it, 1)), refused.to_string())
        }
        TemplateError::Render { file, place, reason, .. } => (Code::TemplateValue, file, place.0, reason.clone()),
    };
    Finding::new(code, reason).at(&folder.join(file), line.map(|(line, _)| line))
}

/// Where what stands in backquotes is, if it is there once.
fn line_of(path: &Path, what: &str) -> Option<usize> {
    let text = std::fs::read_to_string(path).ok()?;
    let wanted = what.split('`').nth(1)?;
    let mut found = text.lines().enumerate().filter(|(_, line)| line.contains(wanted));
    let (index, _) = found.next()?;
    found.next().is_none().then_some(index + 1)
}

fn manifest(error: &ManifestError, folder: &Path, origins: &[Origin]) -> Finding {
    let of = |name: &str| origins.iter().find(|it| it.file.name == name);
    match error {
        ManifestError::Yaml { file, error } => {
            // A line that the source does not have is told as one of the rendered file.
            let line = of(file).and_then(|it| it.line(error.line));
            let message = match line {
                Some(_) => format!("{} (column {})", error.reason, error.column),
                None => format!("{} (line {} of the rendered file)", error.reason, error.line),
            };
            Finding::new(Code::YamlSyntax, message).at(&folder.join(file), line)
        }
        ManifestError::Document { file, document, reason } => {
            let line = of(file).and_then(|it| it.line(it.lines.line(document - 1, "")?));
            Finding::new(Code::Manifest, format!("document {document}: {reason}")).at(&folder.join(file), line)
        }
    }
}

fn workload(error: &WorkloadError, folder: &Path, origins: &[Origin]) -> Finding {
    let Some(origin) = origins.first() else {
        return Finding::new(Code::NoWorkload, error.to_string()).at(folder, None);
    };
    match error {
        WorkloadError::NoWorkload => Finding::new(Code::NoWorkload, error.to_string()).at(&origin.path, None),
        WorkloadError::NoMainContainer(_) => {
            let pods = [
                "/spec/containers/0",
                "/spec/template/spec/containers/0",
                "/spec/jobTemplate/spec/template/spec/containers/0",
            ];
            let read = super::manifests::of(origin);
            let first = read.iter().find_map(|(manifest, place)| {
                let path = pods.into_iter().find(|it| manifest.object.pointer(it).is_some())?;
                Some((place.clone(), format!("{path}/name")))
            });
            match first {
                Some((place, pointer)) => origin.finding(Code::NoMainContainer, &place, &pointer, error.to_string()),
                None => Finding::new(Code::NoMainContainer, error.to_string()).at(&origin.path, None),
            }
        }
    }
}

fn size(error: &SizeError, folder: &Path, origins: &[Origin]) -> Finding {
    for origin in origins {
        let read = super::manifests::of(origin);
        let is_it = |(manifest, _): &&(_, _)| {
            let manifest: &crate::description::Manifest = manifest;
            manifest.kind == error.kind && manifest.name == error.name
        };
        if let Some((_, place)) = read.iter().find(is_it) {
            return origin.finding(Code::ObjectTooLarge, place, "", error.to_string());
        }
    }
    Finding::new(Code::ObjectTooLarge, error.to_string()).at(folder, None)
}
