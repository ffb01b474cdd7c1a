//! User jobs: killed at every point of making and removing one. Afterwards a job is whole or gone, and a DELETE is done.

#[path = "../support/mod.rs"]
mod support;

use k8smgr::fail_points::{KILL_AT, Point};
use k8smgr::store::Store;
use serde_json::json;

use support::app::{JUPYTERHUB, TestApp, basic};
use support::processes::Process;
use support::ssh_server::{SshServer, ask, echo_server, processes_with};
use support::wait::eventually;
use support::wire::Request;

struct Site {
    app: TestApp,
    url: String,
    port: u16,
}

impl Site {
    async fn new(ssh: &SshServer) -> Self {
        let app = TestApp::builder()
            .variable("SSHCONFIGFILE", ssh.config_file().to_str().unwrap())
            .variable("PATH", "/usr/bin:/bin")
            .edit(|config| {
                config["userjobs"] = json!({"allowed_target_nodes": ["127.0.0.1"], "bind_address": "127.0.0.1"});
            })
            .prepare()
            .await;
        let url = format!("sqlite://{}", app.path("k8smgr.sqlite3").display());
        Self { app, url, port: echo_server("one").await }
    }

    fn serve(&mut self, death: Option<Point>) -> Process {
        let order = death.map(|point| format!("{point:?}:1")).unwrap_or_default();
        self.app.set_variable(KILL_AT, &order);
        Process::serve(&self.app, &self.url, "127.0.0.1:0")
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).header("Authorization", &basic(JUPYTERHUB))
    }

    fn post(&self) -> Request {
        let body = json!({
            "service": "uj1", "ports": {"8080": self.port}, "hostname": "login01", "target_node": "127.0.0.1",
        });
        self.request("POST", "/api/userjobs/").json(&body)
    }

    async fn local_port(&self) -> Option<u16> {
        let service = self.app.cluster.get("Service", "uj1").await?;
        service["spec"]["ports"][0]["targetPort"].as_u64().and_then(|it| it.try_into().ok())
    }

    async fn nothing_is_left(&self) {
        eventually("nothing is left", async || {
            let jobs = self.store().await.user_jobs().await.unwrap();
            let is_gone = jobs.is_empty() && self.local_port().await.is_none();
            (is_gone && self.masters().await.is_empty()).then_some(())
        })
        .await;
    }

    async fn store(&self) -> Store {
        Store::connect(&self.app.database_url()).await.unwrap()
    }

    async fn masters(&self) -> Vec<(i32, String)> {
        let installation = self.store().await.installation_id().await.unwrap();
        processes_with(&format!("/k8smgr-{installation}/"))
    }
}

/// A process that dies gives no answer.
async fn asked_of_the_dying(request: Request, address: std::net::SocketAddr, process: &mut Process) {
    let asked = tokio::spawn(async move { request.send(address).await });
    assert!(!process.ended().await.success());
    let _ = asked.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_of_a_user_job_leaves_it_whole_or_gone() {
    let ssh = SshServer::start().await;
    for point in Point::of_user_jobs() {
        let mut site = Site::new(&ssh).await;
        let is_of_delete =
            matches!(point, Point::UserJobBeforeCancel | Point::UserJobAfterCancel | Point::UserJobAfterDeletion);
        let mut process = site.serve(Some(point));
        let address = process.address().await;
        if is_of_delete {
            assert_eq!(site.post().send(address).await.status, 201, "{point:?}");
            asked_of_the_dying(site.request("DELETE", "/api/userjobs/uj1/"), address, &mut process).await;
        } else {
            asked_of_the_dying(site.post(), address, &mut process).await;
        }
        assert!(process.output().contains(&format!("killed at {point:?}")), "{point:?}: {}", process.output());
        let mut process = site.serve(None);
        let address = process.address().await;
        if point == Point::UserJobAfterRunning {
            // It was made, whoever knows.
            let port = site.local_port().await.unwrap();
            eventually("it works", async || ask(port, "hello").await.filter(|it| it == "one: hello")).await;
            assert_eq!(site.request("DELETE", "/api/userjobs/uj1/").send(address).await.status, 204);
        }
        site.nothing_is_left().await;
        // Nothing of it stands in the way of the next one.
        assert_eq!(site.post().send(address).await.status, 201, "{point:?}");
        let port = site.local_port().await.unwrap();
        assert_eq!(ask(port, "hello").await.as_deref(), Some("one: hello"), "{point:?}");
        process.signal("TERM");
        assert!(process.ended().await.success());
        assert!(site.masters().await.is_empty(), "{point:?}");
        site.app.end().await;
        println!("{point:?}");
    }
}
