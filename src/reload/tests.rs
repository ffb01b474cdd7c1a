//! What a change of config.json does, without the rest of the service.

use std::fs;
use std::path::Path;

use super::*;

struct Site {
    folder: tempfile::TempDir,
    config: SharedConfig,
    reloader: Arc<Reloader>,
}

impl Site {
    fn new(text: &str) -> Self {
        let site = Self::not_looked_at(text);
        assert_eq!(site.reloader.reload(), Outcome::Unchanged);
        site
    }

    fn not_looked_at(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let config = SharedConfig::new(Config::from_json(&located(folder.path(), text), "x").unwrap().config);
        let place = Place { stage: None, deployment_name: "d".to_owned(), namespace: "n".to_owned() };
        let descriptions = SharedCatalogue::new(config.current());
        fs::create_dir(folder.path().join("descriptions")).unwrap();
        let reloader = Reloader::new(Some(file), config.clone(), descriptions, place, RuleFiles::default());
        let site = Self { folder, config, reloader };
        site.write(text);
        site
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("config.json"), located(self.folder.path(), text)).unwrap();
    }

    fn ttl(&self) -> u64 {
        self.config.current().services.ended_ttl_seconds
    }
}

fn located(folder: &Path, text: &str) -> String {
    text.replace("HERE", folder.to_str().unwrap())
}

fn text(ttl: u64) -> String {
    format!(r#"{{"services": {{"descriptions": "HERE/descriptions", "ended_ttl_seconds": {ttl}}}}}"#)
}

#[test]
fn a_changed_file_applies_and_an_unchanged_one_does_nothing() {
    let site = Site::new(&text(1));
    assert_eq!((site.reloader.reload(), site.reloader.status().generation), (Outcome::Unchanged, 1));
    site.write(&text(2));
    assert_eq!((site.reloader.reload(), site.ttl()), (Outcome::Changed, 2));
    assert_eq!(site.reloader.status().generation, 2);
    // Other white space says the same.
    let before = site.config.current();
    site.write(&format!("{}\n", text(2)));
    assert_eq!(site.reloader.reload(), Outcome::Unchanged);
    assert!(Arc::ptr_eq(&before, &site.config.current()));
}

#[test]
fn a_bad_file_keeps_the_last_good_configuration_and_is_told_without_its_values() {
    let site = Site::new(&text(1));
    for (bad, place) in [
        ("{\n\"services\": {", "line 2 column 13 is not JSON"),
        (r#"{"services": {"ended_ttl_seconds": "hunter2"}}"#, "line 1: `services.ended_ttl_seconds` is wrong"),
        (r#"{"http": {"request_timeout_seconds": 0}}"#, "`http.request_timeout_seconds` must be at least 1"),
        ("", "line 1 column 0 is not JSON"),
    ] {
        site.write(bad);
        assert_eq!((site.reloader.reload(), site.ttl()), (Outcome::Failed, 1), "{bad}");
        assert_eq!(site.reloader.status().bad_file.unwrap().place, place);
    }
    let since = site.reloader.status().bad_file.unwrap().since;
    assert_eq!(site.reloader.reload(), Outcome::Failed);
    assert_eq!(site.reloader.status().bad_file.unwrap().since, since);
    fs::remove_file(site.folder.path().join("config.json")).unwrap();
    assert_eq!((site.reloader.reload(), site.ttl()), (Outcome::Failed, 1));
    assert_eq!(site.reloader.status().bad_file.unwrap().place, "it cannot be read");

    site.write(&text(3));
    assert_eq!((site.reloader.reload(), site.ttl()), (Outcome::Changed, 3));
    assert_eq!(site.reloader.status().bad_file, None);
}

#[test]
fn what_waits_for_a_restart_stays_while_the_rest_applies() {
    let site = Site::new(&text(1));
    let listen = site.config.current().listen;
    site.write(&text(2).replacen('{', r#"{"listen": "127.0.0.1:1", "#, 1));
    assert_eq!(site.reloader.reload(), Outcome::Changed);
    assert_eq!((site.ttl(), site.config.current().listen), (2, listen));
    assert_eq!(site.reloader.reload(), Outcome::Unchanged);
}

#[test]
fn while_the_file_is_bad_no_description_changes() {
    let site = Site::new(&text(1));
    let pod = |image: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{{name: main, image: {image}}}]}}}}"
        )
    };
    let folder = site.folder.path().join("descriptions/hub/A");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("service.yaml"), pod("one")).unwrap();
    assert_eq!(site.reloader.reload(), Outcome::Changed);
    let before = site.reloader.descriptions.current();
    site.write("{");
    fs::write(folder.join("service.yaml"), pod("two")).unwrap();
    assert_eq!(site.reloader.reload(), Outcome::Failed);
    assert!(site.reloader.descriptions.current().differences(&before).is_empty());
    site.write(&text(1));
    assert_eq!(site.reloader.reload(), Outcome::Changed);
    assert_eq!(site.reloader.descriptions.current().differences(&before), ["hub/A"]);
}

/// Otherwise starts would pair descriptions as they are by then with the configuration of before.
#[test]
fn the_first_look_sees_all_though_everything_is_exchanged_meanwhile() {
    let site = Site::not_looked_at(&text(1));
    let folder = site.folder.path().join("descriptions/hub/A");
    fs::create_dir_all(&folder).unwrap();
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: main, image: one}]}}";
    fs::write(folder.join("service.yaml"), pod).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for ttl in 1..=50 {
                let new = site.folder.path().join("new.json");
                fs::write(&new, located(site.folder.path(), &text(ttl))).unwrap();
                fs::rename(&new, site.folder.path().join("config.json")).unwrap();
            }
        });
        site.reloader.reload();
    });
    assert_eq!(site.reloader.descriptions.current().len(), 1);
}
