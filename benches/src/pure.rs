//! What a start is made of before anything is called, and what a poll decides: set up once, to be run often.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8smgr::auth::{Authenticator, hash_password};
use k8smgr::config::Config;
use k8smgr::description::{Catalogue, Chosen, DescriptionRequest, Place};
use k8smgr::domain::status::{MainContainer, Observation, PodObservation, PodPhase, WorkloadObservation, judge};
use k8smgr::domain::{Credential, Json, Mark, Moment, ObjectId, ServerName, ServiceName, StartId};
use k8smgr::store::{DatabaseUrl, NewUser, Store};
use secrecy::SecretString;
use tempfile::TempDir;

const SERVICE_YAML: &str = include_str!("../descriptions/bench/Lab/service.yaml");
const NAMESPACE: &str = "bench";

/// A description with an input folder of so many bytes of text, and the request of one start.
pub struct Rendering {
    _folder: TempDir,
    config: Arc<Config>,
    credential: Credential,
    server_name: ServerName,
    start_id: StartId,
    id: ObjectId,
    service: ServiceName,
    user_options: Json,
}

impl Rendering {
    pub fn new(input_bytes: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let description = folder.path().join("descriptions/bench/Lab");
        std::fs::create_dir_all(description.join("input"))?;
        std::fs::write(description.join("service.yaml"), SERVICE_YAML)?;
        std::fs::write(description.join("input/notebook.txt"), text(input_bytes))?;
        let config = serde_json::json!({
            "services": {"base": folder.path().join("services"), "descriptions": folder.path().join("descriptions")},
            "userhomes": {"base": folder.path().join("homes"), "skel": folder.path().join("skel")},
        });
        let config = Arc::new(Config::from_json(&config.to_string(), "config.json")?.config);
        let (server_name, start_id) = (ServerName::parse("u123-lab")?, StartId::parse("6b24282a")?);
        Ok(Self {
            _folder: folder,
            config,
            credential: Credential::parse("bench")?,
            id: ObjectId::new(&server_name, &start_id),
            server_name,
            start_id,
            service: ServiceName::parse("Lab")?,
            user_options: Json::Object(vec![("service".to_owned(), Json::String("Lab".to_owned()))]),
        })
    }

    /// Reads and tries the description, as the start of the process or a change on disk does: nothing of it is cached before.
    pub fn read(&self) -> Chosen {
        let place = Place { stage: None, deployment_name: "k8smgr".to_owned(), namespace: NAMESPACE.to_owned() };
        let catalogue = Catalogue::empty(self.config.clone()).next(self.config.clone(), &place);
        catalogue.choose(&self.credential, &self.service)
    }

    /// What a start renders and reads; gives the number of objects.
    pub fn render(&self, chosen: &Chosen) -> anyhow::Result<usize> {
        let request = DescriptionRequest {
            config: &chosen.config,
            stage: None,
            deployment_name: "k8smgr",
            namespace: NAMESPACE,
            credential: &self.credential,
            server_name: &self.server_name,
            start_id: &self.start_id,
            id: &self.id,
            service: &self.service,
            user_id: 7,
            user_options: &self.user_options,
            env_names: &[],
            flavor: None,
            resources: None,
            outpost: None,
        };
        Ok(chosen.prepare(&request)?.manifests.len())
    }

    /// The labels of one start.
    pub fn mark(&self) -> Mark {
        Mark::new("installation", &self.credential, &self.server_name, &self.start_id, Timestamp::UNIX_EPOCH)
    }
}

/// Text as programs and notebooks are: words that come again, and numbers that do not.
fn text(bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "import", "numpy", "as", "np", "def", "plot", "return", "self", "for", "in", "range", "print", "data", "=",
        "(x)", "\n",
    ];
    let mut text = String::with_capacity(bytes + 16);
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state % 8 {
            0 => text.push_str(&(state >> 40).to_string()),
            _ => text.push_str(WORDS[(state >> 20) as usize % WORDS.len()]),
        }
        text.push(' ');
    }
    text
}

/// What the cache holds of a service that waits: the longest way through the status rule.
pub fn observation() -> Observation {
    let pod = |main, stuck_since| PodObservation {
        namespace: NAMESPACE.to_owned(),
        name: "depl-u123-lab-6b24282a-abcde".to_owned(),
        uid: "7d0e4b63-66ad-4d05-8d3c-4cbb2ee7a1de".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        phase: PodPhase::Pending,
        main_name: "main".to_owned(),
        main,
        is_ready: false,
        exit_code: None,
        stuck_since,
        terminal_since: None,
        is_replaced: true,
        is_deleting: false,
    };
    let stuck = Some(Moment::after(Duration::ZERO));
    Observation {
        pods: vec![pod(MainContainer::Waiting, None), pod(MainContainer::Waiting, stuck)],
        workloads: vec![WorkloadObservation { desired: Some(1) }],
    }
}

/// Whether that service failed by now.
pub fn status_rule(observation: &Observation) -> bool {
    let grace = Duration::from_secs(30);
    matches!(
        judge(observation, Moment::after(Duration::from_secs(10)), grace),
        k8smgr::domain::status::Verdict::Failed(_)
    )
}

/// Logins that were good before: what every poll pays.
pub struct Logins {
    _folder: TempDir,
    authenticator: Authenticator,
    header: String,
}

impl Logins {
    pub async fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = Store::connect(&DatabaseUrl::sqlite(&folder.path().join("users.sqlite3"))?).await?;
        let hash = hash_password(SecretString::from("benchpw")).await?;
        let name = Credential::parse("bench")?;
        let groups = std::collections::BTreeSet::new();
        store.create_user(&NewUser { name, password_hash: Some(hash), is_superuser: false, groups }).await?;
        let header = "Basic YmVuY2g6YmVuY2hwdw==".to_owned();
        let logins = Self { _folder: folder, authenticator: Authenticator::new(store), header };
        logins.check().await?;
        Ok(logins)
    }

    pub async fn check(&self) -> anyhow::Result<()> {
        self.authenticator.authenticate(Some(self.header.as_bytes()), [127, 0, 0, 1].into()).await?;
        Ok(())
    }
}
