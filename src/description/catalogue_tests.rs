//! Descriptions in memory against descriptions on a real disk.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::domain::{Json, ObjectId, ServerName, StartId};

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: p-<id>, annotations: {v: \"VERSION <word>\"}}, \
                   spec: {containers: [{name: main, image: x}]}}";

struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn version(&self, version: &str) {
        self.write("hub/A/service.yaml", &POD.replace("VERSION", version));
    }

    fn config(&self, word: &str) -> Arc<Config> {
        let text = format!(
            r#"{{"services": {{"descriptions": {:?}, "replace": {{"credential": {{"hub": {{"word": "{word}"}}}}}}}}}}"#,
            self.0.path()
        );
        Arc::new(Config::from_json(&text, "x").unwrap().config)
    }
}

fn place() -> Place {
    Place { stage: None, deployment_name: "k8smgr".to_owned(), namespace: "default".to_owned() }
}

/// The version and the word that a start gets, or why it fails.
fn start(catalogue: &Catalogue, service: &str) -> Result<String, String> {
    let (credential, service) = (Credential::parse("hub").unwrap(), ServiceName::parse(service).unwrap());
    let (server_name, start_id) = (ServerName::parse("lab").unwrap(), StartId::parse("s").unwrap());
    let chosen = catalogue.choose(&credential, &service);
    let prepared = chosen.prepare(&DescriptionRequest {
        config: &chosen.config,
        stage: None,
        deployment_name: "k8smgr",
        namespace: "default",
        credential: &credential,
        server_name: &server_name,
        start_id: &start_id,
        id: &ObjectId::new(&server_name, &start_id),
        service: &service,
        user_id: 1,
        user_options: &Json::empty_object(),
        env_names: &[],
        flavor: None,
        resources: None,
        outpost: None,
    });
    let prepared = prepared.map_err(|error| error.to_string())?;
    Ok(prepared.manifests[0].object["metadata"]["annotations"]["v"].as_str().unwrap().to_owned())
}

#[test]
fn a_start_gets_what_was_good_when_the_catalogue_was_made() {
    let disk = Disk::new();
    disk.version("1");
    let first = Catalogue::empty(disk.config("one"));
    // Not seen yet: from the disk.
    assert_eq!(start(&first, "A"), Ok("1 one".to_owned()));
    let first = first.next(first.config.clone(), &place());
    disk.version("2");
    assert_eq!(start(&first, "A"), Ok("1 one".to_owned()));
    let second = first.next(first.config.clone(), &place());
    assert_eq!(start(&second, "A"), Ok("2 one".to_owned()));
    assert_eq!(second.differences(&first), ["hub/A"]);
    assert_eq!(start(&first, "A"), Ok("1 one".to_owned()), "a start under way keeps what it has");
    let third = second.next(second.config.clone(), &place());
    assert!(third.differences(&second).is_empty());
    assert_eq!(start(&third, "Nothing"), Err("Couldn't find service yaml file.".to_owned()));
}

#[test]
fn a_broken_description_keeps_its_last_good_version_with_the_configuration_of_then() {
    let disk = Disk::new();
    disk.version("1");
    disk.write("hub/B/service.yaml", &POD.replace("VERSION", "1"));
    let empty = Catalogue::empty(disk.config("one"));
    let good = empty.next(empty.config.clone(), &place());
    assert_eq!((good.broken(), good.len()), (Vec::new(), 2));

    disk.write("hub/A/service.yaml", "{apiVersion: v1, kind: Pod, metadata: {na");
    let broken = good.next(disk.config("two"), &place());
    assert_eq!(start(&broken, "A"), Ok("1 one".to_owned()));
    assert_eq!(start(&broken, "B"), Ok("1 two".to_owned()));
    let [Broken { name, reason, has_good: true }] = &broken.broken()[..] else { panic!("{:?}", broken.broken()) };
    assert_eq!(name, "hub/A");
    assert!(reason.contains("service.yaml"), "{reason}");

    disk.version("3");
    let mended = broken.next(broken.config.clone(), &place());
    assert_eq!((start(&mended, "A"), mended.broken()), (Ok("3 two".to_owned()), Vec::new()));
}

#[test]
fn a_description_that_was_never_good_says_why_at_its_start() {
    let disk = Disk::new();
    disk.write("hub/A/service.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}");
    let empty = Catalogue::empty(disk.config("one"));
    let broken = empty.next(empty.config.clone(), &place());
    assert!(!broken.broken()[0].has_good);
    assert!(start(&broken, "A").unwrap_err().contains("workload"));
}

#[test]
fn a_description_that_was_removed_is_gone_also_while_the_configuration_is_bad() {
    let disk = Disk::new();
    disk.version("1");
    disk.write("hub/B/service.yaml", &POD.replace("VERSION", "1"));
    let empty = Catalogue::empty(disk.config("one"));
    let good = empty.next(empty.config.clone(), &place());
    fs::remove_dir_all(disk.path("hub/A")).unwrap();
    disk.write("hub/B/service.yaml", &POD.replace("VERSION", "2"));
    let frozen = good.without_removed();
    assert!(start(&frozen, "A").is_err());
    assert_eq!(start(&frozen, "B"), Ok("1 one".to_owned()), "nothing else changes meanwhile");
    let next = good.next(good.config.clone(), &place());
    assert_eq!((start(&next, "B"), next.len()), (Ok("2 one".to_owned()), 1));
}

#[test]
fn a_volume_that_is_missing_takes_no_description_away() {
    let disk = Disk::new();
    disk.version("1");
    let empty = Catalogue::empty(disk.config("one"));
    let good = empty.next(empty.config.clone(), &place());
    let config = good.config.clone();
    drop(disk);
    let next = good.next(config, &place());
    assert_eq!(start(&next, "A"), Ok("1 one".to_owned()));
    assert_eq!(next.unreadable.len(), 1);
    assert_eq!(next.broken().len(), 1);
}

#[test]
fn a_template_that_needs_what_users_choose_is_good_and_one_that_is_half_written_is_not() {
    let disk = Disk::new();
    let template = POD.replace("<id>", "{{text id}}").replace("VERSION <word>", "{{text user_options.name}}");
    disk.write("hub/A/service.yaml.hbs", &template);
    disk.write("hub/B/service.yaml.hbs", &template[..template.find("user_options").unwrap()]);
    let empty = Catalogue::empty(disk.config("one"));
    let known = empty.next(empty.config.clone(), &place());
    let broken: Vec<_> = known.broken().into_iter().map(|it| it.name).collect();
    assert_eq!(broken, ["hub/B"]);
}

#[test]
fn the_same_file_written_again_at_once_is_seen() {
    let disk = Disk::new();
    disk.version("1");
    let mut known = Catalogue::empty(disk.config("one"));
    for round in 2..60 {
        disk.version(&(round % 10).to_string());
        known = known.next(known.config.clone(), &place());
        assert_eq!(start(&known, "A"), Ok(format!("{} one", round % 10)));
    }
}
