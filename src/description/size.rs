//! Objects that no API server takes, found before anything is made: the packed input is what makes them large.

use serde_json::Value;

use super::Manifest;

/// The data of a ConfigMap or Secret, as the API server counts it.
const MOST_DATA: usize = 1024 * 1024;
/// A whole object, as etcd takes it by default.
const MOST_BYTES: usize = 1536 * 1024;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{kind} {name} holds {bytes} bytes of data and Kubernetes takes {limit}: make the input folder smaller, or let the \
     pod fetch what is large from a volume or an image"
)]
pub struct SizeError {
    pub kind: String,
    pub name: String,
    bytes: usize,
    limit: usize,
}

pub(super) fn check(manifests: &[Manifest]) -> Result<(), SizeError> {
    manifests.iter().try_for_each(|it| match too_large(it) {
        None => Ok(()),
        Some((bytes, limit)) => Err(SizeError { kind: it.kind.clone(), name: it.name.clone(), bytes, limit }),
    })
}

fn too_large(manifest: &Manifest) -> Option<(usize, usize)> {
    if manifest.api_version == "v1" && matches!(manifest.kind.as_str(), "ConfigMap" | "Secret") {
        let data = data_bytes(&manifest.object, manifest.kind == "Secret");
        if data > MOST_DATA {
            return Some((data, MOST_DATA));
        }
    }
    let mut written = Counted(0);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut written, &manifest.object);
    (written.0 > MOST_BYTES).then_some((written.0, MOST_BYTES))
}

fn data_bytes(object: &Value, is_secret: bool) -> usize {
    let texts = |key: &str| object[key].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
    let plain: usize = texts("stringData").map(str::len).sum();
    let data: usize = texts("data").map(|it| if is_secret { decoded(it) } else { it.len() }).sum();
    plain + data + texts("binaryData").map(decoded).sum::<usize>()
}

/// How many bytes a text in base64 stands for.
fn decoded(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest;
    use super::*;

    fn checked(text: &str) -> Result<(), SizeError> {
        check(&manifest::parse(text, "service.yaml").unwrap())
    }

    #[test]
    fn what_an_api_server_counts_is_counted() {
        let map = |key: &str, bytes: usize| {
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, {key}: {{k: {}}}}}", "A".repeat(bytes))
        };
        assert_eq!(checked(&map("data", MOST_DATA)), Ok(()));
        assert_eq!(checked(&map("binaryData", MOST_DATA / 3 * 4)), Ok(()));
        let error = checked(&map("binaryData", MOST_DATA / 3 * 4 + 4)).unwrap_err().to_string();
        assert!(error.starts_with("ConfigMap a holds 1048578 bytes of data and Kubernetes takes 1048576:"), "{error}");
        assert!(checked(&map("data", MOST_DATA + 1)).is_err());
        assert!(checked(&map("data", MOST_DATA + 1).replace("ConfigMap", "Other")).is_ok());
        assert!(checked(&map("data", MOST_BYTES).replace("ConfigMap", "Other")).is_err());
    }
}
