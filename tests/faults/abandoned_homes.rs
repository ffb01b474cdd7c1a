//! Homes that were in the making when their maker died.

use std::time::Duration;

use crate::support::app::TestApp;
use crate::support::wait::eventually;

const HOMES: &str = "userhomes/jupyterhub_suffix";

/// As the one who made it left it: nobody has it locked.
fn leave(app: &TestApp) {
    let home = app.path(format!("{HOMES}/.k8smgr-new-7-dead"));
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("half of it"), "").unwrap();
}

async fn is_removed(app: &TestApp, what: &str) {
    eventually(what, async || app.names_in(HOMES).is_empty().then_some(())).await;
}

#[tokio::test]
async fn they_are_removed_at_the_start_and_every_hour() {
    let mut app = TestApp::start().await;
    leave(&app);
    app.restart().await;
    is_removed(&app, "what the process left that was here before is removed").await;
    leave(&app);
    app.clock.advance(Duration::from_secs(3600));
    is_removed(&app, "what another replica left is removed").await;
}
