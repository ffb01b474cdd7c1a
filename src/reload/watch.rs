//! Follows the disk: events where the kernel gives them, and a look now and then where it does not (NFS, a limit on
//! watches, an event that was lost).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::places::Places;
use super::{Outcome, Reloader};
use crate::tls::ServerTls;

/// Whoever changes several files is done when nothing happens for so long.
const QUIET: Duration = Duration::from_millis(150);
/// Changes that never end are looked at all the same: a checkout is long done by then.
const LONGEST_UNREST: Duration = Duration::from_secs(30);
/// Between looks without events.
const ROUND: Duration = Duration::from_secs(10);
/// The same where the kernel gives no events: a change applies within two seconds.
const ROUND_WITHOUT_EVENTS: Duration = Duration::from_millis(1500);

/// Reloads whenever something changes and at every SIGHUP, until it is aborted.
pub async fn follow_forever(reloader: Arc<Reloader>, tls: Option<Arc<ServerTls>>, mut hangups: Signal) {
    let changed = Arc::new(Notify::new());
    let mut told = None;
    let mut was_asked = false;
    // Skeletons are many files, so that not every event is an occasion to look at them.
    let mut skeletons_seen: Option<Instant> = None;
    loop {
        // Watched first, then looked at: what changes in between is an event.
        let (by, tls, notify) = (reloader.clone(), tls.clone(), changed.clone());
        let looks_at_skeletons = was_asked || skeletons_seen.is_none_or(|it| it.elapsed() >= ROUND);
        let round = tokio::task::spawn_blocking(move || {
            let places = by.places().and_files(tls.iter().flat_map(|it| it.paths()));
            let watcher = watch(&places, notify);
            if let Some(tls) = tls {
                tls.look();
            }
            let outcome = by.reload();
            if looks_at_skeletons {
                by.look_at_skeletons();
            }
            (watcher, outcome)
        });
        let (watcher, outcome) = match round.await {
            Ok(round) => round,
            Err(error) => {
                tracing::error!(%error, "a reload broke off");
                (Err(notify::Error::generic("the reload broke off")), Outcome::Failed)
            }
        };
        if looks_at_skeletons {
            skeletons_seen = Some(Instant::now());
        }
        if was_asked {
            tracing::info!(outcome = outcome.as_str(), "reloaded, as SIGHUP asked");
        }
        let round = if watcher.is_ok() { ROUND } else { ROUND_WITHOUT_EVENTS };
        tell(&watcher, &mut told);
        tokio::select! {
            () = changed.notified() => {
                was_asked = false;
                wait_for_quiet(&changed).await;
            }
            hangup = hangups.recv() => was_asked = hangup.is_some(),
            () = tokio::time::sleep(round) => was_asked = false,
        }
    }
}

async fn wait_for_quiet(changed: &Notify) {
    let end = Instant::now() + LONGEST_UNREST;
    while timeout_at(end, timeout(QUIET, changed.notified())).await.is_ok_and(|it| it.is_ok()) {}
}

/// Once for each reason.
fn tell(watcher: &Result<RecommendedWatcher, notify::Error>, told: &mut Option<String>) {
    let reason = watcher.as_ref().err().map(ToString::to_string);
    if let Some(reason) = reason.as_ref().filter(|it| told.as_ref() != Some(*it)) {
        tracing::warn!(
            reason,
            "the kernel tells no changes of configuration and descriptions; they are looked at every {} ms",
            ROUND_WITHOUT_EVENTS.as_millis()
        );
    }
    *told = reason;
}

fn watch(places: &Places, changed: Arc<Notify>) -> Result<RecommendedWatcher, notify::Error> {
    let concerned = places.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let matters = match event {
            // We read, too.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => false,
            Ok(event) => event.need_rescan() || event.paths.iter().any(|path| concerned.concern(path)),
            Err(_) => true,
        };
        if matters {
            changed.notify_one();
        }
    })?;
    for tree in &places.trees {
        watcher.watch(tree, RecursiveMode::Recursive)?;
    }
    let is_watched = |path: &Path| places.trees.iter().any(|tree| path.starts_with(tree));
    let mut folders: BTreeSet<&Path> = places.names.iter().map(|(folder, _)| folder.as_path()).collect();
    for file in places.files.iter().filter(|it| !is_watched(it)) {
        // One that has just gone, or that may not be read: its folder tells.
        if watcher.watch(file, RecursiveMode::NonRecursive).is_err() {
            folders.extend(file.parent());
        }
    }
    for folder in folders.into_iter().filter(|it| !is_watched(it)) {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

impl Reloader {
    fn places(&self) -> Places {
        let config = self.config.current();
        Places::of(self.file.as_deref(), &config.services.descriptions).and_files(self.rules.paths(&config))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const TIME: Duration = Duration::from_secs(30);

    struct Watched {
        changed: Arc<Notify>,
        _watcher: RecommendedWatcher,
    }

    fn watched(folder: &Path) -> Watched {
        let changed = Arc::new(Notify::new());
        let places = Places::of(Some(&folder.join("config.json")), &folder.join("descriptions"));
        Watched { _watcher: watch(&places, changed.clone()).unwrap(), changed }
    }

    fn new_folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        fs::create_dir(top.join("descriptions")).unwrap();
        fs::write(top.join("config.json"), "{}").unwrap();
        (folder, top)
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_or_a_tree_is_told() {
        let (_folder, top) = new_folder();
        let changes: [(&str, &dyn Fn()); 7] = [
            ("written in place", &|| fs::write(top.join("config.json"), "{1}").unwrap()),
            ("another one in its place", &|| {
                fs::write(top.join("new"), "{2}").unwrap();
                fs::rename(top.join("new"), top.join("config.json")).unwrap();
            }),
            ("moved away", &|| fs::rename(top.join("config.json"), top.join("config.json~")).unwrap()),
            ("made again", &|| fs::write(top.join("config.json"), "{3}").unwrap()),
            ("removed", &|| fs::remove_file(top.join("config.json")).unwrap()),
            ("a tree moved away", &|| fs::rename(top.join("descriptions"), top.join("old")).unwrap()),
            ("a tree moved in", &|| fs::rename(top.join("old"), top.join("descriptions")).unwrap()),
        ];
        for (what, change) in changes {
            let watched = watched(&top);
            change();
            assert!(timeout(TIME, watched.changed.notified()).await.is_ok(), "{what}");
        }
    }

    #[tokio::test]
    async fn a_file_that_somebody_still_reads_is_told_when_another_takes_its_place() {
        let (_folder, top) = new_folder();
        let _reads = fs::File::open(top.join("config.json")).unwrap();
        let watched = watched(&top);
        fs::write(top.join("new"), "{}").unwrap();
        fs::rename(top.join("new"), top.join("config.json")).unwrap();
        assert!(timeout(TIME, watched.changed.notified()).await.is_ok());
    }
}
