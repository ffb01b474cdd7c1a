//! Thousands of changes, good and bad, while hubs start, poll and stop.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use k8smgr::reload::{Outcome, Reloader};
use serde_json::Value;
use tokio::sync::watch;

use crate::marked::{SERVICE, files, mark_config, own_descriptions, start, write_files};
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::wire::Request;

const RELOADS: u64 = 10_000;
/// A hub starts something each time that so many versions have come.
const STRIDE: u64 = 200;

/// What is wrong with a version. A start never gets one of the bad ones.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    HalfService,
    HalfUpdate,
    NoWorkload,
    HalfConfig,
    WrongConfig,
}

const FAULTS: [Fault; 8] = [
    Fault::None,
    Fault::HalfService,
    Fault::None,
    Fault::HalfConfig,
    Fault::NoWorkload,
    Fault::None,
    Fault::WrongConfig,
    Fault::HalfUpdate,
];

fn write(folder: &Path, config: &mut Value, version: u64, fault: Fault) {
    let mut files = files(version);
    match fault {
        Fault::HalfService => files[0].1.truncate(50),
        Fault::NoWorkload => {
            let end = files[0].1.find("---").unwrap();
            files[0].1.truncate(end);
        }
        Fault::HalfUpdate => files[1].1.truncate(20),
        _ => {}
    }
    mark_config(config, version);
    let text = match fault {
        Fault::HalfConfig => config.to_string()[..100].to_owned(),
        Fault::WrongConfig => config.to_string().replacen("\"ended_ttl_seconds\":", "\"ended_ttl_seconds\":-", 1),
        _ => config.to_string(),
    };
    // The configuration between the files of the description: every order of half-done is there.
    let (some, others) = files.split_at(usize::try_from(version % 5).unwrap());
    let description = folder.join("own/jupyterhub").join(SERVICE);
    write_files(&description, some);
    std::fs::write(folder.join("config.json"), text).unwrap();
    write_files(&description, others);
}

fn storm(reloader: &Reloader, folder: &Path, mut config: Value, good: &watch::Sender<u64>) {
    let mut counts = [0; 3];
    for version in 1..=RELOADS {
        let fault = FAULTS[usize::try_from(version % 8).unwrap()];
        write(folder, &mut config, version, fault);
        let outcome = reloader.reload();
        assert_eq!(
            outcome,
            if fault == Fault::None { Outcome::Changed } else { Outcome::Failed },
            "{version} {fault:?}"
        );
        counts[outcome as usize] += 1;
        if fault == Fault::None {
            good.send_replace(version);
        }
    }
    assert_eq!(counts, [0, 3750, 6250]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_reloads_fail_no_request_and_mix_nothing() {
    let app = TestApp::builder()
        .edit(own_descriptions)
        .edit(|config| {
            mark_config(config, 0);
            config["services"]["ended_ttl_seconds"] = 3600.into();
        })
        .start()
        .await;
    // The test says when to look: the disk is half-written most of the time.
    app.app().stop_following_changes();
    let reloader: Arc<Reloader> = app.app().reloader.clone();
    let folder = app.path("").clone();
    let config: Value = serde_json::from_str(&std::fs::read_to_string(app.path("config.json")).unwrap()).unwrap();
    write(&folder, &mut config.clone(), 0, Fault::None);
    reloader.reload();
    assert_eq!(start(&app, "first").await, BTreeSet::from(["v0".to_owned()]));

    let (good, seen) = watch::channel(0);
    // Ends with the sender, so that the hubs end too when it fails.
    let changes = tokio::task::spawn_blocking(move || storm(&reloader, &folder, config, &good));
    let (one, other) = tokio::join!(hub(&app, "a", seen.clone()), hub(&app, "b", seen.clone()));
    changes.await.unwrap();
    assert!(one.len() + other.len() > 10, "starts saw {} and {} versions", one.len(), other.len());
    let last = *seen.borrow();
    assert_eq!(start(&app, "last").await, BTreeSet::from([format!("v{last}")]));
    app.end().await;
}

/// Starts, polls and stops until the storm is over; gives the versions that were started.
async fn hub(app: &TestApp, prefix: &str, mut good: watch::Receiver<u64>) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    let mut number = 0;
    let mut next = 0;
    while good.wait_for(|version| *version >= next).await.is_ok() {
        let known = *good.borrow();
        next = known + STRIDE;
        number += 1;
        let name = format!("{prefix}{number}");
        let versions = start(app, &name).await;
        assert_eq!(versions.len(), 1, "a mixture: {versions:?}");
        let version: u64 = versions.first().unwrap()[1..].parse().unwrap();
        assert!(version >= known && FAULTS[usize::try_from(version % 8).unwrap()] == Fault::None, "v{version}");
        seen.insert(version);
        let polled = app.get(JUPYTERHUB, &name).await;
        assert!(polled.status == 200 && polled.body.ends_with(r#","running":true}"#), "{}", polled.body);
        app.send(&Request::get("/readyz")).await.assert(200, "ok");
        app.delete(JUPYTERHUB, &name).await.assert(204, "");
    }
    seen
}
