//! What the documentation says holds: examples render to what is printed beside them, tables are complete, links lead
//! somewhere.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8smgr::config::Config;
use k8smgr::description::{DescriptionRequest, Prepared, prepare};
use k8smgr::domain::{Credential, Json, ObjectId, ServerName, ServiceName, StartId};
use tempfile::TempDir;

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The blocks of code of a page by the comment before them: `<!-- file: name -->`, `<!-- becomes: name -->`.
pub fn blocks(page: &str, kind: &str) -> BTreeMap<String, String> {
    let mark = format!("<!-- {kind}: ");
    let block = |rest: &str| {
        let (name, rest) = rest.split_once(" -->\n```").unwrap();
        let (_, code) = rest.split_once('\n').unwrap();
        (name.to_owned(), code.split_once("```\n").unwrap().0.to_owned())
    };
    page.split(&mark).skip(1).map(block).collect()
}

/// What stands in backquotes at the beginning of a table's rows, between `<!-- name -->` and `<!-- end -->`.
pub fn first_column(page: &str, name: &str) -> BTreeSet<String> {
    let table = page.split_once(&format!("<!-- {name} -->")).unwrap().1.split_once("<!-- end -->").unwrap().0;
    table.lines().filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

/// The descriptions of a page on disk, and the configuration that it shows.
struct Examples {
    folder: TempDir,
    config: Config,
    becomes: BTreeMap<String, String>,
    services: BTreeSet<String>,
}

impl Examples {
    fn of(page: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let files = blocks(page, "file");
        let mut config = Config::from_json(&files["config.json"], "config.json").unwrap();
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        config.config.services.descriptions = folder.path().to_owned();
        let mut services = BTreeSet::new();
        for (name, text) in files.iter().filter(|(name, _)| *name != "config.json") {
            let path = folder.path().join("hub").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            services.insert(name.split('/').next().unwrap().to_owned());
        }
        Self { folder, config: config.config, becomes: blocks(page, "becomes"), services }
    }

    fn rendered(&self, service: &str, user_options: &str) -> Prepared {
        let (name, start_id) = (ServerName::parse("lab").unwrap(), StartId::parse("1a2b3c4d").unwrap());
        let request = DescriptionRequest {
            config: &self.config,
            stage: Some("production"),
            deployment_name: "k8smgr",
            namespace: "default",
            credential: &Credential::parse("hub").unwrap(),
            server_name: &name,
            start_id: &start_id,
            id: &ObjectId::new(&name, &start_id),
            service: &ServiceName::parse(service).unwrap(),
            user_id: 7,
            user_options: &Json::parse(user_options.as_bytes()).unwrap(),
            env_names: &["JUPYTERHUB_API_TOKEN".to_owned()],
            flavor: None,
            resources: None,
            outpost: None,
        };
        prepare(&request).unwrap_or_else(|error| panic!("{service}: {error}"))
    }
}

#[test]
fn the_examples_of_descriptions_become_what_is_printed_beside_them() {
    let examples = Examples::of(&read("docs/descriptions.md"));
    assert!(examples.services.len() >= 3, "{:?}", examples.services);
    for service in &examples.services {
        let options = format!(r#"{{"service": "{service}", "size": "large"}}"#);
        let rendered = examples.rendered(service, &options).service_text;
        assert!(!rendered.contains('<') && !rendered.contains("{{"), "{rendered}");
        if let Some(expected) = examples.becomes.get(service) {
            assert_eq!(&rendered, expected, "{service}");
        }
    }
    assert!(examples.becomes.keys().all(|it| examples.services.contains(it)));
}

#[test]
fn every_keyword_and_every_name_in_a_template_is_explained() {
    let page = read("docs/descriptions.md");
    let replace = serde_json::to_value(&Config::default().services.replace).unwrap();
    let keywords: BTreeSet<String> = replace
        .as_object()
        .unwrap()
        .iter()
        .filter(|(setting, _)| setting.ends_with("_keyword"))
        .map(|(_, keyword)| format!("<{}>", keyword.as_str().unwrap()))
        .collect();
    assert_eq!(first_column(&page, "keywords"), keywords);

    let examples = Examples::of(&page);
    let folder = examples.folder.path().join("hub/Names");
    std::fs::create_dir(&folder).unwrap();
    let template = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: main}]}\n---\n\
                    {{#each this}}\n# {{text @key}}\n{{/each}}\n";
    std::fs::write(folder.join("service.yaml.hbs"), template).unwrap();
    let rendered = examples.rendered("Names", r#"{"service": "Names"}"#).service_text;
    let names: BTreeSet<String> = rendered.lines().filter_map(|it| it.strip_prefix("# ")).map(str::to_owned).collect();
    let own = ["server", "homes", "credential_name"].map(str::to_owned);
    let explained: BTreeSet<String> = first_column(&page, "context").into_iter().chain(own).collect();
    assert_eq!(names, explained);
}

fn pages() -> Vec<PathBuf> {
    let in_docs = std::fs::read_dir(repository().join("docs")).unwrap().map(|it| it.unwrap().path());
    let at_the_top = std::fs::read_dir(repository()).unwrap().map(|it| it.unwrap().path());
    in_docs.chain(at_the_top).filter(|path| path.extension().is_some_and(|it| it == "md")).collect()
}

/// The places within a page that a link may lead to: headings as GitHub names them, and anchors.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = without_code(text);
    let heading = |line: &str| {
        let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?.to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        Some(kept.collect::<String>().trim().replace(' ', "-"))
    };
    let named = prose.split("<a id=\"").skip(1).map(|it| it.split('"').next().unwrap().to_owned());
    prose.lines().filter_map(heading).chain(named).collect()
}

fn without_code(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

#[test]
fn no_link_between_pages_is_dead() {
    let mut seen = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in without_code(&text).split("](").skip(1).map(|it| it.split(')').next().unwrap()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            let has = |anchor| anchors(&std::fs::read_to_string(&target).unwrap()).contains(anchor);
            assert!(anchor.is_empty() || has(anchor), "{}: {link}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

/// Messages that the page on troubles quotes, and the source that says them.
#[test]
fn every_message_that_is_explained_is_one_that_the_code_says() {
    let mut source = String::new();
    collect(&repository().join("src"), &mut source);
    let page = read("docs/troubleshooting.md");
    let quoted: Vec<&str> = page.lines().filter_map(|it| it.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert!(quoted.len() >= 15, "{quoted:?}");
    for message in quoted {
        // `…` stands for what differs from one case to the next.
        for part in message.split('…').map(str::trim).filter(|it| !it.is_empty()) {
            assert!(source.contains(part), "nobody says `{part}`");
        }
    }
}

fn collect(folder: &Path, source: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, source);
        } else if path.extension().is_some_and(|it| it == "rs") {
            // A long message is broken into lines.
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<_> = text.split("\\\n").map(str::trim_start).collect();
            source.push_str(&lines.concat().replace("\\\"", "\""));
        }
    }
}

/// Reads a manifest as its type does, and tells what of it the type does not know.
pub fn unknown<T: serde::de::DeserializeOwned + serde::Serialize>(manifest: &serde_json::Value) -> Option<String> {
    let typed: T = serde_json::from_value(manifest.clone()).unwrap();
    not_in(manifest, &serde_json::to_value(typed).unwrap(), "")
}

fn not_in(given: &serde_json::Value, known: &serde_json::Value, path: &str) -> Option<String> {
    use serde_json::Value;
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(key, value)| {
            let path = format!("{path}/{key}");
            match known.get(key) {
                Some(known) => not_in(value, known, &path),
                // What is empty is left out.
                None if value == &serde_json::json!({}) => None,
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(known)) => {
            given.iter().zip(known).find_map(|(given, known)| not_in(given, known, path))
        }
        _ => (given != known).then(|| path.to_owned()),
    }
}

/// The blocks of YAML of the page on clusters: Kubernetes' objects, and the last values for a chart by the chart's name.
fn yaml_of_the_cluster_page() -> (Vec<serde_json::Value>, BTreeMap<String, serde_json::Value>) {
    let page = read("docs/cluster.md");
    let (mut manifests, mut values) = (Vec::new(), BTreeMap::new());
    let parts: Vec<&str> = page.split("```yaml\n").collect();
    for (before, after) in parts.iter().zip(&parts[1..]) {
        let block = after.split("```").next().unwrap();
        match before.trim_end().strip_suffix(" -->").and_then(|it| it.rsplit_once("<!-- values: ")) {
            Some((_, chart)) => {
                values.insert(chart.to_owned(), serde_saphyr::from_str(block).unwrap());
            }
            None => manifests.extend(block.split("---\n").map(|it| serde_saphyr::from_str(it).unwrap())),
        }
    }
    (manifests, values)
}

#[test]
fn the_manifests_for_a_cluster_are_what_kubernetes_takes() {
    use k8s_openapi::api::{apps, core, networking, policy, rbac};
    let mut kinds = BTreeSet::new();
    for manifest in yaml_of_the_cluster_page().0 {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        let unknown = match kind.as_str() {
            "ServiceAccount" => unknown::<core::v1::ServiceAccount>(&manifest),
            "Role" => unknown::<rbac::v1::Role>(&manifest),
            "RoleBinding" => unknown::<rbac::v1::RoleBinding>(&manifest),
            "ConfigMap" => unknown::<core::v1::ConfigMap>(&manifest),
            "Secret" => unknown::<core::v1::Secret>(&manifest),
            "Deployment" => unknown::<apps::v1::Deployment>(&manifest),
            "Service" => unknown::<core::v1::Service>(&manifest),
            "PodDisruptionBudget" => unknown::<policy::v1::PodDisruptionBudget>(&manifest),
            "NetworkPolicy" => unknown::<networking::v1::NetworkPolicy>(&manifest),
            other => panic!("{other}"),
        };
        assert_eq!(unknown, None, "{kind}");
        if kind == "ConfigMap" {
            let text = manifest["data"]["config.json"].as_str().unwrap();
            assert!(Config::from_json(text, "config.json").unwrap().warnings.is_empty());
        }
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 9, "{kinds:?}");
}

/// The environment of the hub that the values give is what its configuration reads, and the pods' labels are those that
/// the policies on the page name.
#[test]
fn the_values_for_a_hub_fit_its_configuration() {
    let configuration = read("deploy/examples/jupyterhub_config.py");
    let read_values = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    let shipped = read_values(&read("deploy/examples/jupyterhub.yaml"));
    let (_, shown) = yaml_of_the_cluster_page();
    for variables in [&shipped["hub"]["extraEnv"], &shown["jupyterhub"]["hub"]["extraEnv"]] {
        for name in variables.as_object().unwrap().keys() {
            assert!(configuration.contains(name), "{name}");
        }
    }
    let module = shipped["hub"]["extraFiles"]["object_id"]["mountPath"].as_str().unwrap();
    assert!(module.ends_with("/object_id.py") && configuration.contains("from object_id import"), "{module}");
    // BackendSpawner in the versions that the tests have.
    let image = read("deploy/examples/hub.Dockerfile");
    for requirement in ["jupyterhub-backendspawner==0.4.0", "async_generator==1.10"] {
        assert!(image.contains(requirement), "{requirement}");
        let pinned = requirement.replace("async_generator", "async-generator");
        assert!(read("tests/hub/requirements-6.1.txt").lines().any(|it| it == pinned), "{pinned}");
    }
    let tag = shipped["hub"]["image"]["tag"].as_str().unwrap();
    assert!(image.contains(&format!("ARG VERSION={tag}\n")), "{tag}");
    assert!(read("docs/cluster.md").contains(&format!("--version {tag}")), "{tag}");
}

/// What the commands on a page name is in the repository.
#[test]
fn every_file_that_a_command_names_is_there() {
    let mut seen = 0;
    for name in ["docs/cluster.md", "README.md"] {
        let page = read(name);
        for word in page.split([' ', '\n', '=', '\'', '`', '"']) {
            let folders = ["service_descriptions/", "userhome_skel/", "deploy/examples/", "docs/"];
            if folders.iter().any(|it| word.starts_with(it)) && !word.contains('<') {
                assert!(repository().join(word.trim_end_matches([',', '.', ':', ';'])).exists(), "{name}: {word}");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen}");
}
