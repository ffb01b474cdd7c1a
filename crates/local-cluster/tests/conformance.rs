//! The conformance script: `tests/conformance/*.yaml`, calls of clients and of kubectl with what must come of them.
//!
//! Runs against the embedded cluster; with `K8SMGR_TEST_CLUSTER=kubeconfig` against the cluster that KUBECONFIG names,
//! in namespaces of its own that it deletes again. What differs there is a bug of the embedded one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use local_cluster::{ClusterConfig, LocalCluster};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

/// How long a step marked `eventually` is tried.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    http: Option<Call>,
    /// Arguments of kubectl; `${ns}` and what earlier steps saved are replaced everywhere.
    kubectl: Option<Vec<String>>,
    stdin: Option<String>,
    expect: Expectation,
    /// Tried again until it holds.
    #[serde(default)]
    eventually: bool,
    /// Variable names and JSON pointers into the answer.
    #[serde(default)]
    save: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    method: String,
    path: String,
    content_type: Option<String>,
    accept: Option<String>,
    body: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// Of the HTTP answer.
    status: Option<u16>,
    /// Of kubectl; 0 unless said otherwise.
    exit: Option<i32>,
    /// JSON pointers and what is there; null also where nothing is.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// Texts in the body, or in what kubectl wrote to either stream.
    #[serde(default)]
    contains: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
}

struct Target {
    client: Client,
    kubeconfig: String,
    _cluster: Option<LocalCluster>,
    _folder: tempfile::TempDir,
}

async fn target() -> Target {
    let folder = tempfile::tempdir().unwrap();
    if std::env::var("K8SMGR_TEST_CLUSTER").as_deref() == Ok("kubeconfig") {
        let kubeconfig = std::env::var("KUBECONFIG").expect("KUBECONFIG names no cluster");
        let client = Client::try_default().await.unwrap();
        return Target { client, kubeconfig, _cluster: None, _folder: folder };
    }
    let cluster = LocalCluster::start(ClusterConfig { tls: true, ..ClusterConfig::default() }).await.unwrap();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, cluster.kubeconfig()).unwrap();
    let read = Kubeconfig::read_from(&path).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    Target { client, kubeconfig: path.display().to_string(), _cluster: Some(cluster), _folder: folder }
}

fn replaced(text: &str, variables: &BTreeMap<String, String>) -> String {
    variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

fn replaced_in(value: &Value, variables: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(replaced(text, variables)),
        Value::Array(items) => items.iter().map(|it| replaced_in(it, variables)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, it)| (replaced(name, variables), replaced_in(it, variables))).collect()
        }
        other => other.clone(),
    }
}

/// What a step gave: HTTP status or exit code, and the text.
struct Outcome {
    code: i64,
    text: String,
}

impl Step {
    async fn run(&self, target: &Target, variables: &BTreeMap<String, String>) -> Outcome {
        match (&self.http, &self.kubectl) {
            (Some(call), None) => call.send(target, variables).await,
            (None, Some(arguments)) => self.kubectl(arguments, target, variables).await,
            _ => panic!("{}: a step is one call, over HTTP or with kubectl", self.name),
        }
    }

    async fn kubectl(&self, arguments: &[String], target: &Target, variables: &BTreeMap<String, String>) -> Outcome {
        let mut child = tokio::process::Command::new("kubectl")
            .args(arguments.iter().map(|it| replaced(it, variables)))
            .env("KUBECONFIG", &target.kubeconfig)
            .env("HOME", target._folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl is not on the PATH: install the package kubernetes-client");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(replaced(self.stdin.as_deref().unwrap_or_default(), variables).as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Outcome { code: i64::from(output.status.code().unwrap_or(-1)), text }
    }

    fn wrong(&self, outcome: &Outcome, variables: &BTreeMap<String, String>) -> Option<String> {
        let expect = &self.expect;
        let wanted = match (&self.http, expect.status) {
            (Some(_), Some(status)) => i64::from(status),
            (Some(_), None) => 200,
            (None, _) => i64::from(expect.exit.unwrap_or(0)),
        };
        if outcome.code != wanted {
            return Some(format!("answered {} instead of {wanted}", outcome.code));
        }
        let json: Value = serde_json::from_str(&outcome.text).unwrap_or_default();
        for (pointer, value) in &expect.json {
            let found = json.pointer(&replaced(pointer, variables)).cloned().unwrap_or_default();
            let value = replaced_in(value, variables);
            if found != value {
                return Some(format!("{pointer} is {found} instead of {value}"));
            }
        }
        let missing = expect.contains.iter().map(|it| replaced(it, variables)).find(|it| !outcome.text.contains(it));
        let extra = expect.lacks.iter().map(|it| replaced(it, variables)).find(|it| outcome.text.contains(it));
        missing.map(|it| format!("lacks {it:?}")).or(extra.map(|it| format!("has {it:?}")))
    }
}

impl Call {
    async fn send(&self, target: &Target, variables: &BTreeMap<String, String>) -> Outcome {
        let mut request = Request::builder().method(self.method.as_str()).uri(replaced(&self.path, variables));
        if let Some(accept) = &self.accept {
            request = request.header("accept", accept);
        }
        let body = match &self.body {
            Some(body) => {
                request = request.header("content-type", self.content_type.as_deref().unwrap_or("application/json"));
                serde_json::to_vec(&replaced_in(body, variables)).unwrap()
            }
            None => Vec::new(),
        };
        let answer = target.client.send(request.body(body.into()).unwrap()).await.unwrap();
        let code = i64::from(answer.status().as_u16());
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        Outcome { code, text: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

/// Runs a file's steps in order, in a namespace of its own; the namespace is deleted whatever happens.
async fn run_file(path: &Path, target: &Target) -> (usize, Vec<String>) {
    let text = std::fs::read_to_string(path).unwrap();
    let steps: Vec<Step> = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = path.file_stem().unwrap().to_string_lossy().replace('_', "-");
    let unique = format!("{:x}", std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros());
    let namespace = format!("conf-{file}-{unique}");
    let mut variables = BTreeMap::from([("ns".to_owned(), namespace.clone()), ("unique".to_owned(), unique)]);
    let call = |method: &str, path: String, body: Option<Value>| Call {
        method: method.to_owned(),
        path,
        content_type: None,
        accept: None,
        body,
    };
    let body = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let made = call("POST", "/api/v1/namespaces".to_owned(), Some(body)).send(target, &variables).await;
    assert_eq!(made.code, 201, "{}", made.text);
    let mut failures = Vec::new();
    for step in &steps {
        let started = Instant::now();
        let (outcome, wrong) = loop {
            let outcome = step.run(target, &variables).await;
            let wrong = step.wrong(&outcome, &variables);
            if wrong.is_none() || !step.eventually || started.elapsed() > PATIENCE {
                break (outcome, wrong);
            }
            // Other clusters need their time; asking without a pause would only slow them down.
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        if let Some(wrong) = wrong {
            failures.push(format!("{file}: {}: {wrong}\n{}", step.name, outcome.text));
        }
        let json: Value = serde_json::from_str(&outcome.text).unwrap_or_default();
        for (name, pointer) in &step.save {
            let found = json.pointer(pointer).cloned().unwrap_or_default();
            variables.insert(name.clone(), found.as_str().map_or_else(|| found.to_string(), str::to_owned));
        }
    }
    call("DELETE", format!("/api/v1/namespaces/{namespace}"), None).send(target, &variables).await;
    (steps.len(), failures)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_script_holds() {
    let target = target().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    let (mut steps, mut failures) = (0, Vec::new());
    for file in files.iter().filter(|it| it.extension().is_some_and(|it| it == "yaml")) {
        let (count, failed) = run_file(file, &target).await;
        steps += count;
        failures.extend(failed);
    }
    assert!(failures.is_empty(), "{} of {steps} steps failed:\n\n{}", failures.len(), failures.join("\n"));
    assert!(steps >= 60, "the script has only {steps} steps");
}
