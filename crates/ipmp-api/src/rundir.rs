//! Where daemon and tools of one network namespace meet: `/run/ipmp/<namespace>/`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use thiserror::Error;

/// The directory of one network namespace. The namespace's inode number is its name, as it is the
/// name the kernel gives the namespace in `/proc/self/ns/net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
}

/// Only who made an entry of the directory may remove it (`S_ISVTX`).
const STICKY: u32 = 0o1000;

/// Why a run directory is not used.
#[derive(Debug, Error)]
pub enum RunDirectoryError {
    /// A system call failed.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// Something else than a directory is there, a symbolic link included.
    #[error("{0}: not a directory")]
    NotADirectory(PathBuf),
    /// Somebody else's.
    #[error("{0}: belongs to user {1}")]
    ForeignOwner(PathBuf, u32),
    /// Others may put files into it.
    #[error("{0}: writable by others (mode {1:03o})")]
    Writable(PathBuf, u32),
}

impl RunDirectory {
    /// Where the directories of all namespaces are.
    pub const BASE: &'static str = "/run/ipmp";

    /// That of the network namespace the calling thread runs in. Need not exist yet.
    pub fn of_this_namespace() -> Result<Self, RunDirectoryError> {
        let namespace = Path::new("/proc/thread-self/ns/net");
        let inode = fs::metadata(namespace)
            .map_err(|error| RunDirectoryError::Io(namespace.to_owned(), error))?
            .ino();
        Ok(Self::at(Path::new(Self::BASE).join(inode.to_string())))
    }

    /// That at `path`.
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join("control")
    }

    /// The saved state; see [`crate::saved`].
    pub fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// The lock file. Whoever holds its lock is the daemon. Nobody else may open it: a lock needs no
    /// more than that.
    pub fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The daemon's process number, for people and their scripts.
    pub fn pid_file(&self) -> PathBuf {
        self.path.join("pid")
    }

    /// The daemon's messages, where there is neither a journal nor a syslog to take them.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Whether what is in the directory is about the network namespace with this cookie
    /// (`SO_NETNS_COOKIE`). An inode number is given to another namespace once its own is gone, and
    /// that one must not inherit addresses. Without a cookie, on either side, it is.
    pub fn is_of(&self, cookie: Option<u64>) -> bool {
        self.noted()
            .zip(cookie)
            .is_none_or(|(noted, cookie)| noted == cookie)
    }

    /// The cookie that is noted.
    fn noted(&self) -> Option<u64> {
        let text = fs::read_to_string(self.cookie()).ok()?;
        text.trim().parse().ok()
    }

    /// Notes which network namespace the directory is about. What was saved for another one is
    /// removed first; tells whether there was one.
    pub fn dedicate(&self, cookie: Option<u64>) -> Result<bool, RunDirectoryError> {
        let failed = |path: PathBuf| |error| RunDirectoryError::Io(path, error);
        let was_other = !self.is_of(cookie);
        if was_other {
            match fs::remove_file(self.state()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RunDirectoryError::Io(self.state(), error));
                }
                _ => {}
            }
        }
        // What is there already needs no room, which there may not be.
        if let Some(cookie) = cookie
            && self.noted() != Some(cookie)
        {
            replace(&self.cookie(), &format!("{cookie}\n")).map_err(failed(self.cookie()))?;
        }
        Ok(was_other)
    }

    fn cookie(&self) -> PathBuf {
        self.path.join("cookie")
    }

    /// Creates the directory and its parent if need be, and refuses one that somebody else could
    /// put files into: what is read here decides what the daemon does.
    pub fn create(&self) -> Result<(), RunDirectoryError> {
        if let Some(parent) = self.path.parent() {
            if let Some(above) = parent.parent() {
                is_safe_above(above)?;
            }
            create(parent)?;
        }
        create(&self.path)
    }
}

/// Refuses a directory in which others could put another one into the place of ours. Where others may
/// make their own entries only (`/tmp`), ours stays ours.
fn is_safe_above(path: &Path) -> Result<(), RunDirectoryError> {
    let found =
        fs::metadata(path).map_err(|error| RunDirectoryError::Io(path.to_owned(), error))?;
    if found.mode() & 0o022 != 0 && found.mode() & STICKY == 0 {
        return Err(RunDirectoryError::Writable(
            path.to_owned(),
            found.mode() & 0o777,
        ));
    }
    Ok(())
}

/// Replaces a file in one step, whatever is in its place.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

fn create(path: &Path) -> Result<(), RunDirectoryError> {
    let failed = |error| RunDirectoryError::Io(path.to_owned(), error);
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_dir() {
        return Err(RunDirectoryError::NotADirectory(path.to_owned()));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(RunDirectoryError::ForeignOwner(
            path.to_owned(),
            found.uid(),
        ));
    }
    if found.mode() & 0o022 != 0 {
        return Err(RunDirectoryError::Writable(
            path.to_owned(),
            found.mode() & 0o777,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_new_directory_is_ours_alone_to_write() {
        let base = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(base.path().join("ipmp/1"));
        run.create().unwrap();
        run.create().unwrap();
        assert_eq!(fs::metadata(run.path()).unwrap().mode() & 0o022, 0);
    }

    #[test]
    fn a_directory_that_can_be_hijacked_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let elsewhere = base.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, base.path().join("link")).unwrap();
        let at = |name: &str| RunDirectory::at(base.path().join(name)).create();
        assert!(matches!(
            at("link"),
            Err(RunDirectoryError::NotADirectory(_))
        ));

        fs::write(base.path().join("file"), "").unwrap();
        assert!(matches!(
            at("file"),
            Err(RunDirectoryError::NotADirectory(_))
        ));

        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o775)).unwrap();
        assert!(matches!(
            at("elsewhere"),
            Err(RunDirectoryError::Writable(_, 0o775))
        ));

        let shared = base.path().join("shared");
        fs::create_dir(&shared).unwrap();
        for (mode, is_safe) in [(0o777, false), (0o775, false), (0o1777, true)] {
            fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(at("shared/ipmp/1").is_ok(), is_safe, "{mode:o}");
        }

        if geteuid().is_root() {
            let foreign = base.path().join("foreign");
            fs::create_dir(&foreign).unwrap();
            std::os::unix::fs::chown(&foreign, Some(12), None).unwrap();
            assert!(matches!(
                at("foreign"),
                Err(RunDirectoryError::ForeignOwner(_, 12))
            ));
        }
    }

    #[test]
    fn another_namespace_inherits_nothing() {
        let base = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(base.path().join("1"));
        run.create().unwrap();
        fs::write(run.state(), "{}").unwrap();
        for cookie in [None, Some(7), Some(7), None] {
            assert!(run.is_of(cookie));
            assert!(!run.dedicate(cookie).unwrap());
            assert!(run.state().exists());
        }
        assert!(!run.is_of(Some(8)));
        assert!(run.dedicate(Some(8)).unwrap());
        assert!(run.is_of(Some(8)));
        assert!(!run.state().exists());
    }

    #[test]
    fn the_namespace_is_the_name() {
        let run = RunDirectory::of_this_namespace().unwrap();
        let name = run.path().strip_prefix(RunDirectory::BASE).unwrap();
        assert!(name.to_str().unwrap().parse::<u64>().unwrap() > 0);
    }
}
