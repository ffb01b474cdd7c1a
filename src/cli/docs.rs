//! `k8smgr docs`: writes what is generated of the documentation.

use std::path::Path;

use anyhow::Context;

use crate::check::documentation;
use crate::config::reference;
use crate::http::api_docs;
use crate::metrics;

/// Writes the generated documents into `directory`.
pub fn run(directory: &Path) -> anyhow::Result<()> {
    for (name, text) in documents() {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

fn documents() -> Vec<(&'static str, String)> {
    vec![
        ("configuration.md", reference::markdown()),
        ("config.schema.json", reference::json_schema()),
        ("check.md", documentation::markdown()),
        ("metrics.md", metrics::reference::markdown()),
        ("openapi.json", api_docs::openapi()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1 cargo test` writes them anew.
    #[test]
    fn the_committed_reference_is_what_the_doc_comments_say() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            run(&directory).unwrap();
        }
        for (name, text) in documents() {
            let committed = std::fs::read_to_string(directory.join(name)).unwrap();
            assert!(committed == text, "docs/{name} drifted; run with UPDATE_DOCS=1");
        }
    }
}
