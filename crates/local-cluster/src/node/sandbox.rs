//! From a container to the command line of bubblewrap. Pure: no file, process or clock.
//!
//! What holds secrets (the environment) travels in [`Sandbox::arguments`], which bubblewrap reads from a pipe; only
//! [`Sandbox::command`] is seen in the host's process list.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use super::identity::Identity;
use super::rootfs::{Root, RootStep};

/// Variables that the loader and the C library obey before `main`. Where privileges are dropped inside the sandbox, they
/// must not reach the program that drops them; `env` sets them afterwards.
const LOADER: [&str; 16] = [
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "LANG",
    "LANGUAGE",
    "LIBCAP_NG_DEBUG",
    "LOCALDOMAIN",
    "LOCPATH",
    "MALLOC_TRACE",
    "NIS_PATH",
    "NLSPATH",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "TMPDIR",
    "TZDIR",
];

/// bubblewrap's own limit, for options and command together.
const MOST_WORDS: usize = 9000;
/// The words of its command line that the launcher adds.
const WORDS_OF_LAUNCHER: usize = 10;

/// What root may write to in /proc without any capability. bubblewrap covers some of it, and only where the folder
/// itself looks writable, which /proc/sys never does.
const KERNEL_SETTINGS: [&str; 7] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Path(PathBuf),
    /// An open file or folder that bubblewrap inherits: no name in it can be exchanged any more.
    Descriptor(RawFd),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub source: Source,
    pub target: PathBuf,
    pub read_only: bool,
}

/// The programs used, by absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    pub bwrap: PathBuf,
    pub setpriv: PathBuf,
    pub env: PathBuf,
    pub nsenter: PathBuf,
    pub timeout: PathBuf,
}

pub struct Sandbox<'a> {
    pub root: &'a Root,
    pub hostname: &'a str,
    /// The host's folder for /tmp.
    pub temporary: &'a Path,
    pub mounts: &'a [Mount],
    pub environment: &'a [(String, String)],
    pub working_dir: &'a Path,
    /// The working folder lies in the root and is to be made.
    pub make_working_dir: bool,
    pub read_only_root: bool,
    pub identity: &'a Identity,
    /// This process is root: mounts are made as root and the container's user is a real other user.
    pub privileged: bool,
}

impl Sandbox<'_> {
    /// The options, for `--args`.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut to = Arguments::default();
        to.all(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
        to.all(["--die-with-parent", "--new-session", "--hostname", self.hostname]);
        if self.privileged {
            to.all(["--cap-drop", "ALL"]);
            for capability in ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"] {
                to.all(["--cap-add", capability]);
            }
        } else {
            to.all(["--unshare-user", "--uid", &self.identity.uid.to_string()]);
            to.all(["--gid", &self.identity.gid.to_string()]);
        }
        to.all(["--proc", "/proc", "--dev", "/dev"]);
        if self.privileged {
            for path in KERNEL_SETTINGS {
                to.all(["--ro-bind-try", path, path]);
            }
        }
        for folder in ["/dev/shm", "/var/tmp"] {
            to.all(["--perms", "1777", "--tmpfs", folder]);
        }
        to.all(["--perms", "0755", "--tmpfs", "/run"]);
        // Before the root's own steps: an extra path of the host may lie in /tmp.
        to.all(["--bind"]).path(self.temporary).all(["/tmp"]);
        self.root.steps.iter().for_each(|step| to.step(step));
        // Sticky, so that nobody but root exchanges the links and folders that this put there.
        to.all(["--chmod", "1777", "/"]);
        self.mounts.iter().for_each(|mount| to.mount(mount));
        if self.make_working_dir {
            to.folders(self.working_dir).all(["--dir"]).path(self.working_dir);
        }
        for folder in self.root.seal.iter().rev() {
            to.all(["--remount-ro"]).path(folder);
        }
        if self.read_only_root {
            to.all(["--remount-ro", "/"]);
        }
        to.all(["--clearenv"]);
        for (name, value) in self.environment {
            if !(self.privileged && obeyed_by_loader(name)) {
                to.all(["--setenv", name, value]);
            }
        }
        to.all(["--chdir"]).path(self.working_dir);
        to.list
    }

    /// What is run in the sandbox: the container's command, behind the programs that give up privileges first.
    pub fn command(&self, programs: &Programs, command: &[String]) -> Vec<OsString> {
        if !self.privileged {
            return command.iter().map(OsString::from).collect();
        }
        let mut to = Arguments { list: drop_privileges(programs, self.identity), made: BTreeSet::new() };
        let held_back: Vec<_> = self.environment.iter().filter(|(name, _)| obeyed_by_loader(name)).collect();
        if !held_back.is_empty() {
            to.path(&programs.env);
            to.list.extend(held_back.iter().map(|(name, value)| OsString::from(format!("{name}={value}"))));
        }
        to.list.extend(command.iter().map(OsString::from));
        to.list
    }
}

/// Whether bubblewrap takes so many words.
pub fn fits(arguments: &[OsString], command: &[OsString]) -> bool {
    arguments.len() + command.len() + WORDS_OF_LAUNCHER <= MOST_WORDS
}

/// `setpriv` for good: user, groups and every capability, with no way back.
pub fn drop_privileges(programs: &Programs, identity: &Identity) -> Vec<OsString> {
    let mut to = Arguments::default();
    to.path(&programs.setpriv);
    to.all(["--reuid", &identity.uid.to_string(), "--regid", &identity.gid.to_string()]);
    if identity.groups.is_empty() {
        to.all(["--clear-groups"]);
    } else {
        let groups: Vec<String> = identity.groups.iter().map(u32::to_string).collect();
        to.all(["--groups", &groups.join(",")]);
    }
    to.all(["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]);
    to.list
}

/// Whether a variable changes what a program does before its `main`.
pub fn obeyed_by_loader(name: &str) -> bool {
    name.starts_with("LD_") || name.starts_with("LC_") || name.starts_with("MALLOC_") || LOADER.contains(&name)
}

#[derive(Default)]
struct Arguments {
    list: Vec<OsString>,
    made: BTreeSet<PathBuf>,
}

impl Arguments {
    fn all<const N: usize>(&mut self, values: [&str; N]) -> &mut Self {
        self.list.extend(values.map(OsString::from));
        self
    }

    /// Makes the folders that lead to a path: those that bubblewrap makes by itself are for root only.
    fn folders(&mut self, path: &Path) -> &mut Self {
        let above: Vec<PathBuf> = path.ancestors().skip(1).filter(|it| *it != Path::new("/")).map(Into::into).collect();
        for folder in above.into_iter().rev() {
            if self.made.insert(folder.clone()) {
                self.all(["--dir"]).path(&folder);
            }
        }
        self
    }

    fn path(&mut self, path: &Path) -> &mut Self {
        self.list.push(path.into());
        self
    }

    fn step(&mut self, step: &RootStep) {
        if let RootStep::ReadOnly { target, .. } | RootStep::Directory { target } = step {
            self.folders(target);
        }
        match step {
            RootStep::ReadOnly { source, target } => self.all(["--ro-bind"]).path(source).path(target),
            RootStep::Symlink { content, target } => self.all(["--symlink"]).path(content).path(target),
            RootStep::Empty { target } => self.all(["--perms", "0755", "--tmpfs"]).path(target),
            RootStep::Hidden { target } => self.all(["--ro-bind", "/dev/null"]).path(target),
            RootStep::Directory { target } => self.all(["--dir"]).path(target),
        };
    }

    fn mount(&mut self, mount: &Mount) {
        self.folders(&mount.target);
        match (&mount.source, mount.read_only) {
            (Source::Path(source), true) => self.all(["--ro-bind"]).path(source),
            (Source::Path(source), false) => self.all(["--bind"]).path(source),
            (Source::Descriptor(number), true) => self.all(["--ro-bind-fd", &number.to_string()]),
            (Source::Descriptor(number), false) => self.all(["--bind-fd", &number.to_string()]),
        }
        .path(&mount.target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Programs {
        Programs {
            bwrap: "/usr/bin/bwrap".into(),
            setpriv: "/usr/bin/setpriv".into(),
            env: "/usr/bin/env".into(),
            nsenter: "/usr/bin/nsenter".into(),
            timeout: "/usr/bin/timeout".into(),
        }
    }

    fn words(arguments: &[OsString]) -> String {
        arguments.iter().map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    fn with<T>(privileged: bool, read_only_root: bool, then: impl FnOnce(&Sandbox) -> T) -> T {
        let root = Root {
            steps: vec![RootStep::ReadOnly { source: "/usr".into(), target: "/usr".into() }],
            seal: vec!["/etc".into(), "/etc/app".into()],
        };
        let mounts = [
            Mount { source: Source::Path("/data/v".into()), target: "/home/u".into(), read_only: false },
            Mount { source: Source::Descriptor(12), target: "/home/u/.conf".into(), read_only: true },
        ];
        let environment = [("TOKEN".to_owned(), "s3".to_owned()), ("LD_PRELOAD".to_owned(), "/x.so".to_owned())];
        then(&Sandbox {
            root: &root,
            hostname: "pod",
            temporary: Path::new("/data/tmp"),
            mounts: &mounts,
            environment: &environment,
            working_dir: Path::new("/home/u"),
            make_working_dir: false,
            read_only_root,
            identity: &Identity { uid: 1000, gid: 100, groups: vec![100, 200] },
            privileged,
        })
    }

    #[test]
    fn the_command_line_holds_what_the_container_asks_for() {
        let table: [(bool, bool, &[&str], &[&str]); 3] = [
            (
                false,
                false,
                &[
                    "--unshare-user --uid 1000 --gid 100",
                    "--bind /data/tmp /tmp",
                    "--ro-bind /usr /usr",
                    "--dir /home --bind /data/v /home/u --dir /home/u --ro-bind-fd 12 /home/u/.conf",
                    "--remount-ro /etc/app --remount-ro /etc --clearenv",
                    "--setenv TOKEN s3 --setenv LD_PRELOAD /x.so --chdir /home/u",
                    "--die-with-parent --new-session --hostname pod",
                ],
                &["--cap-add", "--unshare-net", "--remount-ro / "],
            ),
            (true, false, &["--cap-drop ALL", "--setenv TOKEN s3 --chdir"], &["--unshare-user", "LD_PRELOAD"]),
            (false, true, &["--remount-ro /etc --remount-ro / --clearenv"], &[]),
        ];
        for (privileged, read_only_root, present, absent) in table {
            let line = with(privileged, read_only_root, |it| words(&it.arguments()));
            present.iter().for_each(|part| assert!(line.contains(part), "{part} is not in {line}"));
            absent.iter().for_each(|part| assert!(!line.contains(part), "{part} is in {line}"));
        }
    }

    #[test]
    fn root_is_given_up_before_the_command_and_before_the_loader_is_told_anything() {
        let command = ["sh".to_owned(), "-c".to_owned(), "true".to_owned()];
        let line = with(true, false, |it| words(&it.command(&programs(), &command)));
        assert_eq!(
            line,
            "/usr/bin/setpriv --reuid 1000 --regid 100 --groups 100,200 --inh-caps=-all --ambient-caps=-all \
             --bounding-set=-all --no-new-privs -- /usr/bin/env LD_PRELOAD=/x.so sh -c true"
        );
        assert_eq!(with(false, false, |it| words(&it.command(&programs(), &command))), "sh -c true");
    }

    #[test]
    fn the_environment_is_never_on_the_command_line() {
        for privileged in [true, false] {
            let line = with(privileged, false, |it| words(&it.command(&programs(), &["x".to_owned()])));
            assert!(!line.contains("s3"), "{line}");
        }
    }
}
