//! Versions, clients without TLS and without words, the port by default, probes, the time before there is a database.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::client::{Connection, client_config};
use crate::site::{Site, counted, with_tls, write};
use crate::support::app::{JUPYTERHUB, TestApp, basic};
use crate::support::certificates::Authority;
use crate::support::ports::ReservedPort;
use crate::support::postgres_server::PostgresServer;
use crate::support::processes::Process;
use crate::support::wait::{eventually, eventually_within};
use crate::support::wire::{Request, send_raw};

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let site = Site::start().await;
    for (version, expected) in [
        (&rustls::version::TLS12, rustls::ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, rustls::ProtocolVersion::TLSv1_3),
    ] {
        let config = Arc::new(client_config(&site.authority.pem(), None, &[version]));
        let mut connection = Connection::open(site.address(), &config).await.unwrap();
        assert_eq!(connection.version(), expected);
        assert_eq!(connection.get("/api/health/").await.unwrap().0, 200);
        // A session is taken up again, which saves both sides the signature.
        assert!(!connection.is_resumed());
        let mut again = Connection::open(site.address(), &config).await.unwrap();
        assert!(again.is_resumed(), "{expected:?}");
        assert_eq!(again.get("/api/health/").await.unwrap().0, 200);
    }
    // Another implementation, which can be told to speak the old ones.
    for (version, is_spoken) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let address = site.address().to_string();
        let run = tokio::task::spawn_blocking(move || {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-connect", &address, version, "-cipher", "DEFAULT@SECLEVEL=0"]);
            command.stdin(std::process::Stdio::null()).output().unwrap()
        });
        let run = run.await.unwrap();
        let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.success(), is_spoken, "{version}: {text}");
        // The server says no; the client would have spoken.
        assert_eq!(text.contains("SSL alert number"), !is_spoken, "{version}: {text}");
    }
    site.end().await;
}

#[tokio::test]
async fn curl_that_trusts_the_authority_polls_and_one_that_does_not_is_told() {
    let site = Site::start().await;
    let ca = site.app.path("ca.crt");
    std::fs::write(&ca, site.authority.pem()).unwrap();
    let curl = async |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--user", JUPYTERHUB]).args(arguments);
        command.arg(format!("https://localhost:{}/api/services/", site.address().port()));
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let answered = curl(&["--cacert", ca.to_str().unwrap()]).await;
    assert_eq!(String::from_utf8_lossy(&answered.stdout), "[]", "{answered:?}");
    let refused = curl(&[]).await;
    assert_eq!(refused.status.code(), Some(60), "{refused:?}");
    site.end().await;
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let site = Site::start().await;
    // Larger than what is read at once: the client still sees the answer.
    for body in [String::new(), "x".repeat(30_000)] {
        let request =
            format!("POST /api/services/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        send_raw(site.address(), request.as_bytes())
            .await
            .assert(400, "This port speaks TLS: use https:// in the URL\n");
    }
    assert_eq!(site.get("/api/health/").await.0, 200);
    let page = site.get("/metrics").await.1;
    assert!(counted(&page, "k8smgr_tls_handshakes_total{outcome=\"not_tls\"}") >= 2, "{page}");
    site.end().await;
}

#[tokio::test]
async fn clients_that_say_nothing_hold_up_nobody_and_are_let_go() {
    let site = Site::start().await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(site.address()).await.unwrap());
    }
    // Half a greeting.
    let mut stuck = TcpStream::connect(site.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stuck, &[22, 3, 1, 2, 0, 1]).await.unwrap();
    for _ in 0..20 {
        assert_eq!(site.get("/api/health/").await.0, 200);
    }
    silent.push(stuck);
    for mut client in silent {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), client.read_to_end(&mut rest)).await;
        ended.expect("it is let go").ok();
        assert!(rest.len() < 10, "{rest:?}");
    }
    let page = site.get("/metrics").await.1;
    assert!(counted(&page, "k8smgr_tls_handshakes_total{outcome=\"timed_out\"}") >= 301, "{page}");
    site.end().await;
}

#[tokio::test]
async fn probes_and_metrics_may_be_asked_without_tls_on_a_port_of_their_own() {
    let builder = TestApp::builder().edit(|config| config["metrics"] = json!({"listen": "127.0.0.1:0"}));
    let site = Site::start_with(builder, json!({})).await;
    let operators = site.app.app().operators_address().unwrap();
    assert_eq!(Request::get("/livez").send(operators).await.status, 200);
    eventually("it is ready", async || (Request::get("/readyz").send(operators).await.status == 200).then_some(()))
        .await;
    assert_eq!(Request::get("/metrics").send(operators).await.status, 200);
    assert_eq!(site.get("/api/health/").await.0, 200);
    site.end().await;
}

/// The reference's variables, its port, and the page that is served while the database is waited for.
#[tokio::test]
async fn the_reference_s_variables_are_taken_and_the_waiting_page_is_served_by_tls() {
    let mut server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    server.kill();
    let mut app = TestApp::builder().database(&url).prepare().await;
    let authority = Authority::new("authority");
    let folder = app.path("own");
    std::fs::create_dir(&folder).unwrap();
    write(&folder, &authority.issue("own"));
    // Probes may ask at a port of their own, also meanwhile.
    let (for_probes, for_all) = (ReservedPort::take(), ReservedPort::take());
    let probes = for_probes.address;
    app.edit_config(|config| config["metrics"] = json!({"listen": probes}));
    app.set_variable("GUNICORN_SSL_CRT", folder.join("tls.crt").to_str().unwrap());
    app.set_variable("GUNICORN_SSL_KEY", folder.join("tls.key").to_str().unwrap());
    // They come before the configuration, whose files are not there.
    with_tls(&app, &json!({}));
    let free = for_all.address;
    let mut process = Process::serve(&app, &url, &free.to_string());
    process.writes("waiting for the database").await;
    let config = Arc::new(client_config(&authority.pem(), None, rustls::ALL_VERSIONS));
    let get = async |path: &str| Connection::open(free, &config).await.unwrap().get(path).await.unwrap();
    eventually("it listens", async || TcpStream::connect(free).await.ok().map(|_| ())).await;
    assert_eq!(get("/livez").await.0, 200);
    let waiting = r#"{"detail":"K8s Manager starts: it waits for its database."}"#;
    assert_eq!(get("/readyz").await, (503, waiting.to_owned()));
    assert_eq!(Request::get("/livez").send(probes).await.status, 200);
    Request::get("/readyz").send(probes).await.assert(503, waiting);

    server.restart().await;
    assert_eq!(process.address().await, free);
    assert!(process.output().contains(&format!("listening on https://{free}")), "{}", process.output());
    let ready = async || get("/readyz").await.0 == 200;
    eventually_within(Duration::from_secs(60), "it is ready", async || ready().await.then_some(())).await;
    assert_eq!(get("/api/services/").await.0, 401);
    // What is counted is a process's own.
    let page = async |expected: &str| {
        eventually(expected, async || {
            let page = Request::get("/metrics").send(probes).await.body;
            page.contains(expected).then_some(page)
        })
        .await
    };
    let told = page("\nk8smgr_tls_last_reload_success 1\n").await;
    let end = told.lines().find_map(|it| it.strip_prefix("k8smgr_tls_certificate_not_after_timestamp_seconds "));
    // rcgen's certificates end in the year 4096.
    assert!(end.unwrap().parse::<f64>().unwrap() > 60e9, "{told}");
    let key = std::fs::read_to_string(folder.join("tls.key")).unwrap();
    std::fs::write(folder.join("tls.key"), &key[..key.len() / 2]).unwrap();
    page("\nk8smgr_tls_last_reload_success 0\n").await;
    std::fs::write(folder.join("tls.key"), &key).unwrap();
    page("\nk8smgr_tls_last_reload_success 1\n").await;
    // Neither the key nor half of it was logged.
    assert!(
        key.lines().filter(|it| it.len() > 20).all(|it| !process.output().contains(&it[..20]) || it.contains("-----"))
    );
    process.signal("TERM");
    assert!(process.ended().await.success(), "{}", process.output());
    app.end().await;
}

#[tokio::test]
async fn a_start_and_a_stop_work_as_without_tls() {
    let site = Site::start().await;
    let keeping = crate::client::Keeping::new((*site.config).clone());
    let ca = site.app.path("ca.crt");
    std::fs::write(&ca, site.authority.pem()).unwrap();
    let body = crate::support::app::start_body("JupyterLab/Run", "s1").to_string();
    let url = format!("https://localhost:{}/api/services/", site.address().port());
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--user", JUPYTERHUB, "--cacert", ca.to_str().unwrap()]);
    command.args(["-H", "uuidcode: lab", "-H", "Content-Type: application/json", "--data", &body, &url]);
    let started = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&started.stdout).unwrap();
    assert_eq!(answer["servername"], json!("lab"), "{started:?}");
    let (status, polled) = keeping.get(site.address(), "/api/services/lab/", &basic(JUPYTERHUB)).await.unwrap();
    assert!(status == 200 && polled.contains("\"running\":true"), "{polled}");
    site.end().await;
}
