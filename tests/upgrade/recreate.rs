//! SQLite: the old version ends, the new one starts on its file.

use crate::databases::load_sqlite;
use crate::support::app::TestApp;
use crate::support::processes::Process;
use crate::support::wait::eventually;
use crate::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_servers_are_there_after_the_old_version_ended_and_the_new_one_started() {
    let app = TestApp::builder().prepare().await;
    load_sqlite(&app.path("k8smgr.sqlite3"));
    let url = app.database_url().to_string();
    let previous = std::env::var_os("K8SMGR_PREVIOUS").unwrap_or_else(|| env!("CARGO_BIN_EXE_k8smgr").into());
    let mut old = Process::serve_by(previous.as_ref(), &app, &url, "127.0.0.1:0");
    let address = old.address().await;
    start_all(address).await;
    old.signal("TERM");
    assert!(old.ended().await.success(), "{}", old.output());

    let mut new = Process::serve(&app, &url, "127.0.0.1:0");
    let address = new.address().await;
    for number in 0..SERVICES {
        let polled = poll(address, &name(number)).await;
        assert!(is_running(&polled), "{}: {} {}", name(number), polled.status, polled.body);
    }
    eventually("it is ready", async || (Request::get("/readyz").send(address).await.status == 200).then_some(())).await;
    for number in 0..SERVICES {
        assert!(is_running(&poll(address, &name(number)).await), "{}", name(number));
    }
    new.signal("TERM");
    assert!(new.ended().await.success(), "{}", new.output());
    app.end().await;
}
