//! The image without `docker build`: its stages' scripts are run as the Dockerfile runs them, with the program that was
//! built for the tests, and what they lay out is run in a sandbox that has nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_k8smgr");

fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script(name: &str) -> Command {
    Command::new(sources().join("deploy").join(name))
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// What the Dockerfile runs, in the order of its stages: scripts and nothing else.
fn runs() -> Vec<String> {
    let text = std::fs::read_to_string(sources().join("deploy/Dockerfile")).unwrap().replace("\\\n", " ");
    text.lines().filter_map(|it| it.strip_prefix("RUN ")).map(str::to_owned).collect()
}

/// Runs the build stage in a folder instead of `/build`, with the program that is built already; gives its root.
fn build(folder: &Path) -> PathBuf {
    let commands = runs()[0].replace("/build/", &format!("{}/", folder.display()));
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(commands).current_dir(sources());
    succeed(shell.env("BUILT_PROGRAM", PROGRAM).env("SOURCE_DATE_EPOCH", "1790000000"));
    folder.join("root")
}

/// The layer, as bytes.
fn packed(root: &Path) -> Vec<u8> {
    succeed(Command::new("tar").args(["--create", "--sort=name", "--numeric-owner", "--directory"]).arg(root).arg("."))
        .stdout
}

#[test]
fn the_program_needs_only_libraries_that_the_final_image_has() {
    succeed(script("image/libraries.sh").arg(PROGRAM));
    // Another program, which needs more, is refused by name.
    let refused = script("image/libraries.sh").arg("/usr/bin/curl").output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && told.contains("needs libcurl.so.4, which is not in the final image"),
        "{told}"
    );
}

#[test]
fn the_same_program_makes_the_same_layer() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| packed(&build(&folder.path().join(name))));
    assert!(one == two && one.len() > 1_000_000);
    let list = succeed(Command::new("tar").arg("--list").arg("--file").arg({
        let file = folder.path().join("layer.tar");
        std::fs::write(&file, one).unwrap();
        file
    }));
    let list = String::from_utf8(list.stdout).unwrap();
    let files: BTreeSet<&str> = list.lines().filter(|it| !it.ends_with('/')).collect();
    let expected = ["./usr/bin/k8smgr", "./usr/share/doc/k8smgr/LICENSE-APACHE", "./usr/share/doc/k8smgr/LICENSE-MIT"];
    assert_eq!(files, BTreeSet::from(expected));
}

/// The libraries of this machine in the place of the base image's.
fn libraries() -> Vec<PathBuf> {
    let text = String::from_utf8(succeed(Command::new("ldd").arg(PROGRAM)).stdout).unwrap();
    text.split_whitespace().filter(|it| it.starts_with('/')).map(PathBuf::from).collect()
}

/// In a root that cannot be written, as uid 1000, without a shell or anything else.
fn in_the_image(root: &Path, volume: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("bwrap");
    command.args([
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--uid",
        "1000",
        "--gid",
        "1000",
        "--die-with-parent",
    ]);
    command.args(["--ro-bind"]).arg(root.join("usr")).arg("/usr");
    command.arg("--ro-bind").arg(root.join("var")).arg("/var");
    for library in libraries() {
        command.arg("--ro-bind").arg(library.canonicalize().unwrap()).arg(&library);
    }
    command.arg("--bind").arg(volume).arg("/var/lib/k8smgr").args(["--proc", "/proc", "--dev", "/dev"]);
    command.args([
        "--remount-ro",
        "/",
        "--chdir",
        "/var/lib/k8smgr",
        "--clearenv",
        "--setenv",
        "HUB_USER_PASS",
        "secret",
    ]);
    command.arg("/usr/bin/k8smgr").args(arguments).output().unwrap()
}

#[test]
fn it_runs_with_a_read_only_root_and_without_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let (root, volume) = (build(&folder.path().join("build")), folder.path().join("volume"));
    std::fs::create_dir(&volume).unwrap();
    let version = in_the_image(&root, &volume, &["--version"]);
    let told = String::from_utf8_lossy(&version.stdout);
    assert!(told.starts_with("k8smgr "), "{version:?}");
    // The database goes where the volume is.
    let users = ["user", "list"];
    let listed = in_the_image(&root, &volume, &users);
    assert!(listed.status.success(), "{listed:?}");
    assert!(volume.join("k8smgr.sqlite3").exists());
}

/// What .dockerignore lets through, copied.
fn context(to: &Path) {
    let text = std::fs::read_to_string(sources().join(".dockerignore")).unwrap();
    let mut lines = text.lines().filter(|it| !it.is_empty() && !it.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "first nothing, then what is needed");
    for pattern in lines.filter_map(|it| it.strip_prefix('!')) {
        let glob = format!("cp --archive --parents {pattern} {}", to.display());
        succeed(Command::new("sh").arg("-c").arg(glob).current_dir(sources()));
    }
}

#[test]
fn the_build_has_all_that_it_needs_and_nothing_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    context(folder.path());
    let metadata = succeed(
        Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"])
            .current_dir(folder.path()),
    );
    assert!(String::from_utf8_lossy(&metadata.stdout).contains("\"name\":\"k8smgr\""));
    let names: BTreeSet<String> =
        std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    for secret in [".git", ".venv", "target", "node_modules", ".demo", "config.json"] {
        assert!(!names.contains(secret), "{names:?}");
    }
    // The scripts of the stages, and whatever else the program is made of.
    for path in ["deploy/image/build.sh", "migrations/postgres", "src/http/api_docs/assets", "LICENSE-MIT"] {
        assert!(folder.path().join(path).exists(), "{path}");
    }
}

#[test]
fn the_dockerfile_does_nothing_but_call_the_scripts() {
    let text = std::fs::read_to_string(sources().join("deploy/Dockerfile")).unwrap();
    let runs = runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    for command in runs.iter().flat_map(|it| it.split("&&")) {
        let name = command.split_whitespace().next().unwrap().rsplit('/').next().unwrap();
        let script = sources().join("deploy/image").join(name);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&script).unwrap().permissions());
        assert_eq!(mode & 0o111, 0o111, "{name}");
    }
    assert_eq!(text.matches("\nUSER 1000:1000\n").count(), 2, "each target");
    let last = text.lines().rfind(|it| it.starts_with("FROM ")).unwrap();
    assert_eq!(last, "FROM ${RUNTIME_IMAGE} AS k8smgr", "the default target has no shell");
}

#[test]
fn a_release_is_of_the_version_in_cargo_toml_and_packs_the_same_bytes() {
    let version = env!("CARGO_PKG_VERSION");
    let found = succeed(script("release/version.sh").arg(format!("v{version}")));
    assert!(String::from_utf8_lossy(&found.stdout).starts_with(&format!("version={version}\nepoch=")), "{found:?}");
    let refused = script("release/version.sh").arg("v9.9.9").output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    let folder = tempfile::tempdir().unwrap();
    let mut archives = Vec::new();
    for name in ["one", "two"] {
        let to = folder.path().join(name);
        succeed(
            script("release/archive.sh").args(["/bin/true", version]).arg(&to).env("SOURCE_DATE_EPOCH", "1790000000"),
        );
        let file = std::fs::read_dir(&to).unwrap().next().unwrap().unwrap();
        assert!(file.file_name().into_string().unwrap().starts_with(&format!("k8smgr-{version}-")));
        archives.push(std::fs::read(file.path()).unwrap());
    }
    assert_eq!(archives[0], archives[1]);
}
