//! Every description of the fixtures, rendered, against what the reference rendered, packed and made.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;

const CONTRACT: &str = "tests/contract";

fn transcript_line(id: &str) -> String {
    let text = std::fs::read_to_string(Path::new(CONTRACT).join("transcripts.jsonl")).unwrap();
    text.lines().find(|line| line.starts_with(&format!("{{\"id\": \"{id}\","))).unwrap().to_owned()
}

fn transcript(id: &str) -> Value {
    serde_json::from_str(&transcript_line(id)).unwrap()
}

fn config(name: &str) -> Config {
    let mut config = Config::load(&Path::new(CONTRACT).join("fixtures/configs").join(name)).unwrap().config;
    config.services.descriptions = Path::new(CONTRACT).join("fixtures/descriptions");
    config
}

/// One start as the records have it.
struct Start {
    config: Config,
    stage: Option<&'static str>,
    credential: Credential,
    server_name: ServerName,
    start_id: StartId,
    id: ObjectId,
    service: ServiceName,
    user_id: i64,
    user_options: Json,
}

impl Start {
    fn new(
        config: Config,
        stage: Option<&'static str>,
        credential: &str,
        server: &str,
        start: &str,
        service: &str,
    ) -> Self {
        let (server_name, start_id) = (ServerName::parse(server).unwrap(), StartId::parse(start).unwrap());
        Self {
            config,
            stage,
            credential: Credential::parse(credential).unwrap(),
            id: ObjectId::new(&server_name, &start_id),
            server_name,
            start_id,
            service: ServiceName::parse(service).unwrap(),
            user_id: 7,
            user_options: Json::empty_object(),
        }
    }

    fn of_record(record: &Value, config: Config, stage: Option<&'static str>) -> Self {
        let answer = &record["response"]["body"];
        let text = |key: &str| answer[key].as_str().unwrap().to_owned();
        let service = answer["user_options"]["service"].as_str().unwrap();
        let it = Self::new(config, stage, &text("jhub_credential"), &text("servername"), &text("start_id"), service);
        Self { user_id: answer["jhub_user_id"].as_i64().unwrap(), ..it }
    }

    fn prepare(&self) -> Result<Prepared, DescriptionError> {
        prepare(&DescriptionRequest {
            config: &self.config,
            stage: self.stage,
            deployment_name: "k8smgr",
            namespace: "golden",
            credential: &self.credential,
            server_name: &self.server_name,
            start_id: &self.start_id,
            id: &self.id,
            service: &self.service,
            user_id: self.user_id,
            user_options: &self.user_options,
            env_names: &[],
            flavor: None,
            resources: None,
            outpost: None,
        })
    }
}

/// Name, type, mode and content of each member.
type Listing = BTreeMap<String, (bool, u32, String)>;

fn unpacked(base64: &str) -> Listing {
    let bytes = STANDARD.decode(base64).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let (folder, mode) = (entry.header().entry_type().is_dir(), entry.header().mode().unwrap());
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        (name, (folder, mode, content))
    });
    entries.collect()
}

fn recorded_listing(record: &Value) -> Listing {
    let objects = record["cluster"].as_array().unwrap();
    let listing = objects.iter().find_map(|it| it["binaryData"]["input.tar.gz"]["tar.gz"].as_array()).unwrap();
    let entries = listing.iter().map(|it| {
        let mode = u32::from_str_radix(it["mode"].as_str().unwrap().trim_start_matches("0o"), 8).unwrap();
        let content = it["content"].as_str().unwrap_or_default().to_owned();
        (it["name"].as_str().unwrap().to_owned(), (it["type"] == "dir", mode, content))
    });
    entries.collect()
}

fn our_listing(prepared: &Prepared) -> Listing {
    let archive = prepared.manifests.iter().find_map(|it| it.object["binaryData"]["input.tar.gz"].as_str());
    unpacked(archive.unwrap())
}

/// The text without the archive, whose bytes hold a time in the records.
fn without_archive(text: &str) -> String {
    let line = |line: &str| {
        if line.contains("input.tar.gz: H4sI") { "  input.tar.gz: ...".to_owned() } else { line.to_owned() }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What the description says is what the cluster holds; the API server adds defaults.
fn assert_within(ours: &Value, recorded: &Value, path: &str) {
    match (ours, recorded) {
        (Value::Object(ours), Value::Object(_)) => {
            for (key, value) in ours {
                if key != "binaryData" {
                    assert_within(value, &recorded[key.as_str()], &format!("{path}.{key}"));
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                assert_within(ours, theirs, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(ours, recorded, "{path}"),
    }
}

fn assert_as_recorded(record: &Value, prepared: &Prepared) {
    for manifest in &prepared.manifests {
        let mut recorded = record["cluster"].as_array().unwrap().iter();
        let found = recorded.find(|it| it["kind"] == *manifest.kind && it["metadata"]["name"] == *manifest.name);
        // mini.post records the ConfigMap and the Secret alone.
        match found {
            Some(recorded) => assert_within(&manifest.object, recorded, &manifest.name),
            None => assert_eq!(record["id"], "mini.post", "{}", manifest.name),
        }
    }
    let entries = record["disk"]["entries"].as_array().unwrap();
    let files: Vec<_> = entries.iter().filter(|it| it["type"] == "file").collect();
    let mut ours: BTreeMap<&str, String> =
        prepared.files.iter().map(|it| (it.name.as_str(), String::from_utf8(it.bytes.clone()).unwrap())).collect();
    ours.insert("service.yaml", prepared.service_text.clone());
    ours.extend(prepared.update_text.clone().map(|text| ("update.yaml", text)));
    assert_eq!(
        files.iter().map(|it| it["path"].as_str().unwrap()).collect::<Vec<_>>(),
        ours.keys().copied().collect::<Vec<_>>()
    );
    for file in files.into_iter().filter(|it| it["content"].is_string()) {
        let content = without_archive(file["content"].as_str().unwrap());
        assert_eq!(without_archive(&ours[file["path"].as_str().unwrap()]), content, "{}", file["path"]);
    }
}

#[test]
fn a_start_is_rendered_as_the_reference_rendered_it() {
    for id in ["post.min", "post.full"] {
        let record = transcript(id);
        let prepared = Start::of_record(&record, config("main.json"), Some("production")).prepare().unwrap();
        assert_as_recorded(&record, &prepared);
        assert_eq!(our_listing(&prepared), recorded_listing(&record), "{id}");
        assert!(prepared.files.iter().all(|file| file.mode == 0o644));
    }
}

#[test]
fn a_mapped_credential_uses_its_own_files_of_the_other_s_description() {
    let record = transcript("iso.post");
    let prepared = Start::of_record(&record, config("main.json"), Some("production")).prepare().unwrap();
    assert_as_recorded(&record, &prepared);
    let mut recorded = recorded_listing(&record);
    // Of production_nested.txt and otherhub_nested.txt the reference takes the one that the folder lists last. In
    // post.min that was the stage's, here the credential's; ours is always the stage's.
    let nested = recorded.get_mut("input/nested/nested.txt").unwrap();
    assert_eq!(nested.2, "otherhub nested\n");
    nested.2 = "production nested\n".to_owned();
    assert_eq!(our_listing(&prepared), recorded);
}

#[test]
fn defaults_are_those_of_the_reference() {
    let record = transcript("mini.post");
    let prepared = Start::of_record(&record, config("mini.json"), None).prepare().unwrap();
    assert_as_recorded(&record, &prepared);
    assert_eq!(our_listing(&prepared), recorded_listing(&record));
}

#[test]
fn secrets_hold_what_the_reference_put_there() {
    for (id, name) in
        [("post.min", "main.json"), ("post.full", "main.json"), ("iso.post", "main.json"), ("mini.post", "mini.json")]
    {
        let record = transcript(id);
        let start = Start::of_record(&record, config(name), Some("production"));
        // Read with all digits of its numbers.
        let whole = Json::parse(transcript_line(id).as_bytes()).unwrap();
        let body = whole.get("request").and_then(|it| it.get("body")).unwrap();
        let headers = record["request"]["headers"].as_object().unwrap();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        let env = body.get("env").unwrap();
        let data =
            environment::secret_data(&start.config, env, &headers, start.server_name.as_str(), &start.id).unwrap();
        let decoded = |name: String| {
            let objects = record["cluster"].as_array().unwrap();
            let secret = objects.iter().find(|it| it["kind"] == "Secret" && it["metadata"]["name"] == name)?;
            Some(serde_json::from_value::<BTreeMap<String, String>>(secret["decoded"].clone()).unwrap())
        };
        assert_eq!(Some(data), decoded(names::secret_name(&start.id, "k8smgr")), "{id}");
        let certs = environment::certs_data(body.get("certs")).unwrap();
        assert_eq!(certs, decoded(names::certs_secret_name(&start.id, "k8smgr")), "{id}");
    }
}

#[test]
fn a_number_is_replaced_as_its_text() {
    let start =
        Start::new(config("badreplace.json"), Some("production"), "jupyterhub", "br1", "s0000001", "JupyterLab/Run");
    let text = start.prepare().unwrap().service_text;
    assert!(text.contains("credential_only=7\n") && text.contains("nested=7\n"), "{text}");
}

#[test]
fn every_description_of_the_fixtures_is_prepared_or_refused() {
    let folder = Path::new(CONTRACT).join("fixtures/descriptions/jupyterhub/JupyterLab");
    let names = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut services: Vec<_> = names.map(|name| format!("JupyterLab/{name}")).collect();
    services.extend(["Flat", "JupyterLab", "JupyterLab/Nope", "OnlyOther/Run"].map(str::to_owned));
    services.sort();
    let told = services.into_iter().map(|service| {
        let start = Start::new(config("main.json"), Some("production"), "jupyterhub", "x", "s1", &service);
        let told = match start.prepare() {
            Ok(prepared) => {
                let show = |it: &Manifest| format!("{}{}/{}", if it.counts { "*" } else { "" }, it.kind, it.name);
                prepared.manifests.iter().map(show).collect::<Vec<_>>().join(" ").replace("-x-s1", "")
            }
            Err(error) => error.to_string(),
        };
        format!("{service}: {told}\n")
    });
    // A star is on what is looked at for the state of the service.
    insta::assert_snapshot!(told.collect::<String>(), @r#"
    Flat: ConfigMap/cm Service/svc *Deployment/depl
    JupyterLab: Couldn't find service yaml file.
    JupyterLab/BadKind: no workload: the service description holds nothing that runs a container
    JupyterLab/BadTemplate: ConfigMap/cm Service/svc *Deployment/depl
    JupyterLab/BadYaml: service.yaml, line 1 column 4: unclosed bracket '['
    JupyterLab/Crash: ConfigMap/cm Service/svc *Deployment/depl *Pod/pod
    JupyterLab/CrashDeployment: ConfigMap/cm *Deployment/depl
    JupyterLab/CrashNoMain: ConfigMap/cm *Deployment/depl *Pod/pod
    JupyterLab/Done: ConfigMap/cm Service/svc *Deployment/depl *Pod/pod
    JupyterLab/EmptyDoc: ConfigMap/cm *Deployment/depl
    JupyterLab/Fixed: ConfigMap/cm Service/svc-fixed *Deployment/depl
    JupyterLab/Invalid: ConfigMap/cm Service/svc *Deployment/depl
    JupyterLab/Kinds: ConfigMap/cm ServiceAccount/sa PersistentVolumeClaim/pvc Ingress/ing Secret/own ConfigMap/listed *Deployment/depl
    JupyterLab/NoDeployment: no workload: the service description holds nothing that runs a container
    JupyterLab/NoInput: ConfigMap/cm Service/svc *Deployment/depl
    JupyterLab/NoMain: no container named `main` in the service description
    JupyterLab/NoNamespace: ConfigMap/cm *Deployment/depl
    JupyterLab/NoReplicas: ConfigMap/cm *Deployment/depl
    JupyterLab/NoServiceYaml: Couldn't find service yaml file.
    JupyterLab/NoUpdate: ConfigMap/cm *Deployment/depl
    JupyterLab/Nope: Couldn't find service yaml file.
    JupyterLab/PodUnschedulable: ConfigMap/cm *Deployment/depl *Pod/pod
    JupyterLab/PullFail: ConfigMap/cm Service/svc *Deployment/depl
    JupyterLab/Run: ConfigMap/cm Service/svc *Deployment/depl
    JupyterLab/Sidecar: ConfigMap/cm *Deployment/depl
    JupyterLab/Slow: ConfigMap/cm Service/svc *Deployment/depl
    JupyterLab/TwoReplicas: ConfigMap/cm *Deployment/depl
    JupyterLab/Unschedulable: ConfigMap/cm *Deployment/depl
    JupyterLab/WrongName: ConfigMap/cm *Deployment/other
    OnlyOther/Run: Couldn't find service yaml file.
    "#);
}

#[test]
fn an_object_without_a_namespace_keeps_none() {
    let start = Start::new(config("main.json"), Some("production"), "jupyterhub", "x", "s1", "JupyterLab/NoNamespace");
    let prepared = start.prepare().unwrap();
    let namespaces: Vec<_> = prepared.manifests.iter().map(|it| it.namespace.as_deref()).collect();
    assert_eq!(namespaces, [None, Some("golden")]);
}

#[test]
fn a_handlebars_description_is_rendered_instead() {
    let folder = tempfile::tempdir().unwrap();
    let description = folder.path().join("jupyterhub/T");
    std::fs::create_dir_all(description.join("input")).unwrap();
    std::fs::write(description.join("input/a.txt"), "a").unwrap();
    let template = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: pod-{{text id}}\n  namespace: {{namespace}}\n  annotations:\n    \
                    name: {{user_options.name}}\n    all: \"{{text stage}} {{text stage_and_credential}}\"\n    nested: {{nested}}\n    input: {{input}}\n\
                    spec:\n  containers:\n    - name: main\n      gpus: {{user_options.gpus}}\n      envFrom: [{secretRef: {name: {{secret_name}} }}]\n";
    std::fs::write(description.join("service.yaml.hbs"), template).unwrap();
    let mut config = config("main.json");
    config.services.descriptions = folder.path().to_owned();
    let start = Start {
        user_options: Json::parse(r#"{"service":"T","name":"a: \"b\"\n# c","gpus":[0,1]}"#.as_bytes()).unwrap(),
        ..Start::new(config, Some("production"), "jupyterhub", "My Lab", "s1", "T")
    };
    let prepared = start.prepare().unwrap();
    let object = &prepared.manifests[0].object;
    assert_eq!(object["metadata"]["name"], format!("pod-{}", start.id));
    let annotations = &object["metadata"]["annotations"];
    assert_eq!(annotations["name"], "a: \"b\"\n# c");
    assert_eq!(
        (&annotations["all"], &annotations["nested"]),
        (&"production from-stage".into(), &"cred-jupyterhub".into())
    );
    assert_eq!(unpacked(annotations["input"].as_str().unwrap()).len(), 2);
    let container = &object["spec"]["containers"][0];
    assert_eq!(container["gpus"], serde_json::json!([0, 1]));
    assert_eq!(container["envFrom"][0]["secretRef"]["name"], format!("secret-{}-k8smgr", start.id));
    assert_eq!(prepared.files, []);

    std::fs::write(description.join("service.yaml"), "").unwrap();
    let error = start.prepare().unwrap_err().to_string();
    assert_eq!(error, "the service description has both `service.yaml` and `service.yaml.hbs`; remove one");
}
