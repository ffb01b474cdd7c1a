//! Homes on a real disk.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;
use crate::config::Config;

struct Site {
    folder: tempfile::TempDir,
    config: UserHomes,
}

impl Site {
    /// With the current user as the owner of homes.
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let owner = fs::metadata(folder.path()).unwrap();
        let text = format!(
            r#"{{"userhomes": {{"base": "{0}/homes", "skel": "{0}/skel", "uid": {1}, "gid": {2}{more}}}}}"#,
            folder.path().display(),
            owner.uid(),
            owner.gid()
        );
        let config = Config::from_json(&text, "x").unwrap().config.userhomes;
        fs::create_dir_all(folder.path().join("skel/hub")).unwrap();
        Self { folder, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, mode: u32) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), name).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn ensure(&self, credential: &str, service: &str) -> Result<HomeOutcome, HomeError> {
        let (credential, service) = (Credential::parse(credential).unwrap(), ServiceName::parse(service).unwrap());
        ensure(&self.config, &credential, &service, 7)
    }

    fn new_home(&self) -> HomeOutcome {
        let outcome = self.ensure("hub", "S").unwrap();
        assert!(outcome.is_new);
        outcome
    }
}

/// Paths with modes, and the content of files.
fn tree(root: &Path) -> BTreeMap<String, (u32, Option<String>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let mode = metadata.permissions().mode() & 0o7777;
            if metadata.is_dir() {
                found.insert(name, (mode, None));
                folders.push(path);
            } else {
                found.insert(name, (mode, Some(fs::read_to_string(path).unwrap())));
            }
        }
    }
    found
}

fn file(mode: u32, content: &str) -> (u32, Option<String>) {
    (mode, Some(content.to_owned()))
}

#[test]
fn a_new_home_is_a_copy_of_the_skeleton_as_recorded() {
    let site = Site::new(r#", "skel_ignore_files": [".*.swp"]"#);
    copy::skeleton(Path::new("tests/contract/fixtures/skel"), &site.path("skel"), &[]).unwrap();
    // The fixture holds the link as a file with its target.
    let link = site.path("skel/jupyterhub/link");
    let target = fs::read_to_string(&link).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(target.trim(), &link).unwrap();
    let outcome = site.ensure("jupyterhub", "JupyterLab/Slow").unwrap();
    assert_eq!((outcome.path.as_path(), outcome.is_new), (site.path("homes/jupyterhub/7").as_path(), true));
    assert_eq!(outcome.warnings, Vec::<String>::new());
    let recorded = BTreeMap::from([
        (".bashrc".to_owned(), file(0o644, "# bashrc\n")),
        ("link".to_owned(), file(0o644, "readme\n")),
        // The record has 0750, which git does not keep.
        ("run.sh".to_owned(), file(0o755, "#!/bin/sh\n")),
        ("work".to_owned(), (0o755, None)),
        ("work/README".to_owned(), file(0o644, "readme\n")),
    ]);
    assert_eq!(tree(&outcome.path), recorded);
    assert_eq!(fs::metadata(&outcome.path).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn mapping_and_suffix_name_the_home() {
    let more = r#", "credential_mapping": {"other": "shared"}, "service_suffix": {"S/T": "_suffix"}"#;
    let site = Site::new(more);
    for (credential, service, home) in [
        ("hub", "S", "hub/7"),
        ("other", "S", "shared/7"),
        ("other", "S/T", "shared_suffix/7"),
        ("hub", "S/T", "hub_suffix/7"),
    ] {
        assert_eq!(site.ensure(credential, service).unwrap().path, site.path("homes").join(home));
    }
}

#[test]
fn without_a_skeleton_a_home_is_an_empty_folder() {
    let outcome = Site::new("").ensure("nobody", "S").unwrap();
    assert!(outcome.is_new);
    let site = Site::new("");
    let outcome = site.ensure("nobody", "S").unwrap();
    assert_eq!(
        tree(&site.path("homes")),
        BTreeMap::from([("nobody".to_owned(), (0o755, None)), ("nobody/7".to_owned(), (0o755, None))])
    );
    assert_eq!(outcome.warnings, Vec::<String>::new());
}

#[test]
fn an_existing_home_is_never_touched() {
    let site = Site::new("");
    site.write("skel/hub/new", 0o644);
    site.write("homes/hub/7/mine", 0o600);
    let before = tree(&site.path("homes"));
    assert!(!site.ensure("hub", "S").unwrap().is_new);
    assert_eq!(tree(&site.path("homes")), before);
}

#[test]
fn special_bits_are_dropped_and_plain_modes_kept() {
    let site = Site::new("");
    site.write("skel/hub/setuid", 0o4755);
    site.write("skel/hub/closed/x", 0o400);
    fs::set_permissions(site.path("skel/hub/closed"), Permissions::from_mode(0o2550)).unwrap();
    let home = site.new_home().path;
    let modes: Vec<_> = tree(&home).into_iter().map(|(name, (mode, _))| (name, mode)).collect();
    let expected = [("closed", 0o550), ("closed/x", 0o400), ("setuid", 0o755)];
    assert_eq!(modes, expected.map(|(name, mode)| (name.to_owned(), mode)));
}

#[test]
fn links_inside_become_what_they_lead_to_and_the_rest_stays_behind() {
    let site = Site::new("");
    site.write("secret", 0o600);
    site.write("skel/hub/folder/x", 0o644);
    symlink("folder/x", site.path("skel/hub/to_file")).unwrap();
    symlink("folder", site.path("skel/hub/to_folder")).unwrap();
    symlink("../../secret", site.path("skel/hub/out")).unwrap();
    symlink("/etc/passwd", site.path("skel/hub/absolute")).unwrap();
    symlink("nothing", site.path("skel/hub/dangling")).unwrap();
    let _socket = UnixListener::bind(site.path("skel/hub/socket")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(site.path("skel/hub/fifo")).status().unwrap().success());
    let outcome = site.new_home();
    let names: Vec<_> = tree(&outcome.path).into_keys().collect();
    assert_eq!(names, ["folder", "folder/x", "to_file", "to_folder", "to_folder/x"]);
    assert!(!fs::symlink_metadata(outcome.path.join("to_folder")).unwrap().is_symlink());
    assert_eq!(
        outcome.warnings,
        [
            "`absolute` of the skeleton is not copied: it is a link that leads out of it",
            "`dangling` of the skeleton is not copied: it is a link that leads nowhere",
            "`fifo` of the skeleton is not copied: it is neither a file nor a folder",
            "`out` of the skeleton is not copied: it is a link that leads out of it",
            "`socket` of the skeleton is not copied: it is neither a file nor a folder",
        ]
    );
}

#[test]
fn a_loop_of_links_is_refused_and_leaves_nothing() {
    let site = Site::new("");
    site.write("skel/hub/a/x", 0o644);
    symlink("..", site.path("skel/hub/a/up")).unwrap();
    let error = site.ensure("hub", "S").unwrap_err();
    assert_eq!(error.to_string(), "`a/up` of the skeleton is a link to a folder that it stands in");
    assert_eq!(tree(&site.path("homes/hub")), BTreeMap::new());
}

#[test]
fn a_planted_link_is_not_followed() {
    let site = Site::new("");
    fs::create_dir_all(site.path("homes")).unwrap();
    fs::create_dir_all(site.path("elsewhere")).unwrap();
    symlink(site.path("elsewhere"), site.path("homes/hub")).unwrap();
    let error = site.ensure("hub", "S").unwrap_err();
    assert_eq!(error.to_string(), "the folder of homes is a link or no folder");
    fs::remove_file(site.path("homes/hub")).unwrap();
    fs::create_dir(site.path("homes/hub")).unwrap();
    symlink(site.path("elsewhere"), site.path("homes/hub/7")).unwrap();
    assert!(!site.ensure("hub", "S").unwrap().is_new);
    assert_eq!(tree(&site.path("elsewhere")), BTreeMap::new());
}

#[test]
fn of_many_first_starts_one_makes_the_home() {
    let site = Site::new("");
    for index in 0..50 {
        site.write(&format!("skel/hub/{index}"), 0o644);
    }
    let made: usize = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| site.ensure("hub", "S").unwrap())).collect();
        starts
            .into_iter()
            .map(|start| {
                let outcome = start.join().unwrap();
                assert_eq!(tree(&outcome.path).len(), 50);
                usize::from(outcome.is_new)
            })
            .sum()
    });
    assert_eq!(made, 1);
    assert_eq!(fs::read_dir(site.path("homes/hub")).unwrap().count(), 1);
}

#[test]
fn an_empty_home_that_another_start_made_is_not_replaced() {
    let site = Site::new("");
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    fs::create_dir_all(site.path("homes/hub/7")).unwrap();
    let before = inode(site.path("homes/hub/7"));
    fs::create_dir(site.path("homes/hub/.k8smgr-new-7-x")).unwrap();
    let error = place(&site.path("homes/hub/.k8smgr-new-7-x"), &site.path("homes/hub/7")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(inode(site.path("homes/hub/7")), before);
}

#[test]
fn what_a_crash_left_is_removed_and_what_is_in_the_making_is_not() {
    let site = Site::new("");
    fs::create_dir_all(site.path("homes/hub")).unwrap();
    fs::create_dir_all(site.path("homes/other")).unwrap();
    let (left, elsewhere, own) = ("homes/hub/.k8smgr-new-5-a", "homes/other/.k8smgr-new-6-b", "homes/hub/.keep");
    for name in [left, elsewhere, own] {
        site.write(&format!("{name}/x"), 0o644);
    }
    let making = Unfinished::create(&site.path("homes/hub"), 6).unwrap();
    remove_abandoned(&site.config);
    assert_eq!([left, elsewhere, own].map(|name| site.path(name).exists()), [false, false, true]);
    let path = making.path().to_owned();
    assert!(path.exists(), "its maker lives");
    drop(making);
    remove_abandoned(&site.config);
    assert!(!path.exists());
}

#[test]
fn no_error_tells_a_path_of_this_machine() {
    let site = Site::new("");
    fs::write(site.path("homes"), "a file").unwrap();
    let error = site.ensure("hub", "S").unwrap_err();
    assert_eq!(error.to_string(), "failed to create the folder of all homes");
    assert_eq!(error.path(), site.path("homes"));
}

#[test]
fn a_skeleton_that_is_exchanged_while_it_is_copied_gives_a_home_of_one_version() {
    const FILES: usize = 20;
    let site = Site::new("");
    let version = |number: usize| {
        for file in 0..FILES {
            let path = site.path(&format!("v{number}/d{file}/f"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, number.to_string()).unwrap();
        }
    };
    // As git-sync does: a link is exchanged, then the old version removed.
    fs::remove_dir(site.path("skel/hub")).unwrap();
    version(0);
    symlink(site.path("v0"), site.path("skel/hub")).unwrap();
    for number in 1..=100 {
        version(number);
        let ensured = std::thread::scope(|scope| {
            scope.spawn(|| {
                symlink(site.path(&format!("v{number}")), site.path("skel/new")).unwrap();
                fs::rename(site.path("skel/new"), site.path("skel/hub")).unwrap();
                fs::remove_dir_all(site.path(&format!("v{}", number - 1))).unwrap();
            });
            let (credential, service) = (Credential::parse("hub").unwrap(), ServiceName::parse("S").unwrap());
            ensure(&site.config, &credential, &service, i64::try_from(number).unwrap())
        });
        let home = ensured.unwrap();
        assert_eq!(home.warnings, Vec::<String>::new());
        let read = |file| fs::read_to_string(home.path.join(format!("d{file}/f"))).unwrap();
        let versions: std::collections::BTreeSet<_> = (0..FILES).map(read).collect();
        assert_eq!(versions.len(), 1, "{versions:?}");
    }
}
