//! One daemon for each network namespace: whoever holds the lock on the lock file.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ipmp_api::RunDirectory;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::O_NOFOLLOW;
use thiserror::Error;

/// How long a daemon that ends, or was killed, may hold its lock: the kernel closes its packet sockets
/// before, and each waits until no processor uses it any more.
const ENDING: Duration = Duration::from_secs(1);

/// From one attempt to get the lock to the next.
const AGAIN: Duration = Duration::from_millis(5);

/// Being the daemon of a namespace. Ends, with its files, when it is dropped.
#[derive(Debug)]
pub(crate) struct Instance {
    run: RunDirectory,
    _lock: Flock<File>,
}

/// Why this is not the daemon.
#[derive(Debug, Error)]
pub(crate) enum InstanceError {
    /// Another one is.
    #[error("another in.mpathd is active in this network namespace")]
    Other,
    /// A system call failed.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

impl Instance {
    /// Becomes the daemon, unless another one is. Of two that try at once, one does.
    pub(crate) fn claim(run: &RunDirectory) -> Result<Self, InstanceError> {
        let path = run.pid_file();
        let lock = lock(&run.lock_file())?;
        let write = || {
            // One that was left behind may be anything.
            remove(&path)?;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(&path)?;
            writeln!(file, "{}", std::process::id())
        };
        // It is for people and their scripts: a full disk is no reason to leave the host without a daemon.
        if let Err(error) = write() {
            tracing::warn!("cannot write {}: {error}", path.display());
            // Better none than an empty one.
            let _ = fs::remove_file(&path);
        }
        Ok(Self {
            run: run.clone(),
            _lock: lock,
        })
    }

    /// Listens on the control socket. A daemon that was killed has left its own behind.
    pub(crate) fn listen(&self) -> Result<UnixListener, InstanceError> {
        let path = self.run.socket();
        let listen = || {
            remove(&path)?;
            let listener = UnixListener::bind(&path)?;
            // Anybody may ask; what may be changed by whom is decided for each call.
            fs::set_permissions(&path, Permissions::from_mode(0o666))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        listen().map_err(|error| InstanceError::Io(path.clone(), error))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The lock is held until after this, so that these are still ours. Nothing can be done
        // about one that stays; the next daemon removes it.
        let _ = remove(&self.run.socket());
        let _ = remove(&self.run.pid_file());
        let _ = remove(&self.run.lock_file());
    }
}

fn lock(path: &Path) -> Result<Flock<File>, InstanceError> {
    let failed = |error| InstanceError::Io(path.to_owned(), error);
    let began = Instant::now();
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(O_NOFOLLOW)
            .open(path)
            .map_err(failed)?;
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            // The lock tells of nothing when it is released, so it is asked for again.
            Err((_, Errno::EWOULDBLOCK)) if began.elapsed() < ENDING => {
                thread::sleep(AGAIN);
                continue;
            }
            Err((_, Errno::EWOULDBLOCK)) => return Err(InstanceError::Other),
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        // A daemon that ended meanwhile may have removed what was opened here.
        let opened = file.metadata().map_err(failed)?.ino();
        if fs::symlink_metadata(path).is_ok_and(|found| found.ino() == opened) {
            return Ok(file);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn of_many_at_once_one_is_the_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(directory.path().join("1"));
        run.create().unwrap();
        for _ in 0..3 {
            let barrier = Barrier::new(4);
            let claims = thread::scope(|scope| {
                let claim = || {
                    barrier.wait();
                    Instance::claim(&run)
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect::<Vec<_>>()
            });
            let (winners, losers): (Vec<_>, Vec<_>) = claims.into_iter().partition(Result::is_ok);
            assert_eq!(winners.len(), 1);
            assert!(
                losers
                    .iter()
                    .all(|lost| matches!(lost, Err(InstanceError::Other)))
            );
            let pid = fs::read_to_string(run.pid_file()).unwrap();
            assert_eq!(pid.trim(), std::process::id().to_string());
        }
        assert!(!run.pid_file().exists());
    }

    #[test]
    fn one_that_is_just_ending_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(directory.path().join("1"));
        run.create().unwrap();
        let ending = Instance::claim(&run).unwrap();
        let next = thread::scope(|scope| {
            let next = scope.spawn(|| Instance::claim(&run));
            thread::sleep(AGAIN * 4);
            drop(ending);
            next.join().unwrap()
        });
        assert!(next.is_ok());
    }

    #[test]
    fn what_a_killed_daemon_left_is_replaced_and_what_we_leave_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(directory.path().join("1"));
        run.create().unwrap();
        fs::write(run.pid_file(), "4194304000\n").unwrap();
        drop(UnixListener::bind(run.socket()).unwrap());
        let instance = Instance::claim(&run).unwrap();
        // Anybody who could open it could hold its lock.
        assert_eq!(fs::metadata(run.lock_file()).unwrap().mode() & 0o777, 0o600);
        let _listener = instance.listen().unwrap();
        let mode = fs::metadata(run.socket()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o666);
        drop(instance);
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    }
}
