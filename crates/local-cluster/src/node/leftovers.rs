//! Ends what an earlier run of this node left behind: a sandbox whose starter was killed while bubblewrap was still
//! preparing it is not yet tied to its parent's life.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::signals::Namespace;

/// Kills every sandbox that has a folder of this data directory mounted, and returns when they are gone. Pod uids are
/// random, so a folder named after one is nobody else's.
pub async fn end_leftovers(data_dir: &Path) {
    let folder = data_dir.join("pods");
    let Ok(Ok(pids)) = tokio::task::spawn_blocking(move || sandboxes_with(&folder)).await else { return };
    for pid in pids {
        tracing::warn!(pid, "ending a container that an earlier run left behind");
        Namespace::of(pid).end().await;
    }
}

fn sandboxes_with(folder: &Path) -> std::io::Result<Vec<i32>> {
    let uids: HashSet<String> =
        fs::read_dir(folder)?.filter_map(|it| it.ok()?.file_name().into_string().ok()).collect();
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let pids = fs::read_dir("/proc")?.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter(|pid| mounts_one_of(*pid, &uids)).collect())
}

fn mounts_one_of(pid: i32, uids: &HashSet<String>) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    mounts.lines().any(|line| {
        let root = line.split(' ').nth(3).unwrap_or_default();
        let mut parts = root.rsplit('/');
        let (last, uid, above) = (parts.next(), parts.next(), parts.next());
        above == Some("pods")
            && uid.is_some_and(|it| uids.contains(it))
            && last.is_some_and(|it| it.starts_with("tmp-"))
    })
}
