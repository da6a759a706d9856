//! Becoming a daemon, and knowing where.
//!
//! ```text
//! launcher --fork--> child (own session) --fork--> daemon (parent: init)
//!     |                                               | gets ready
//!     +<------------- one line over a pipe -----------+
//! ends, says so                                       lives on
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};

/// What the daemon writes when it is ready; anything else is its reason for not being so.
const READY: &str = "ready\n";

/// Which of the two processes this is after [`detach`].
#[derive(Debug)]
pub enum Detached {
    /// The one that was called. It should end now: the daemon is ready, or said why it gave up.
    Launcher(Result<(), String>),
    /// The daemon.
    Daemon(Launch),
}

/// The daemon's end of the pipe to its launcher, which waits until it is used or dropped.
#[derive(Debug)]
pub struct Launch(File);

/// Forks twice: the calling process waits in here until the daemon is ready or has given up, the
/// grandchild returns at once. The daemon has a session of its own, `/` as its directory, and umask
/// 022; it keeps its standard streams until [`Launch::ready`], and no other file of whoever called: one
/// that stayed open could hold a lock or a mount for ever. To be called before this process opens any.
///
/// Refused with other threads about: a fork takes only the calling one along, and locks the others
/// hold would stay locked for ever.
pub fn detach() -> io::Result<Detached> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("cannot fork with several threads"));
    }
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    if is_parent()? {
        drop(write);
        return Ok(Detached::Launcher(outcome(read)));
    }
    drop(read);
    setsid()?;
    if is_parent()? {
        // Nothing here needs tidying, and what the launcher registered to be done at its end is the
        // launcher's to do.
        quit();
    }
    chdir("/")?;
    umask(Mode::from_bits_truncate(0o022));
    close_inherited(&write)?;
    Ok(Detached::Daemon(Launch(File::from(write))))
}

#[expect(
    unsafe_code,
    reason = "nix leaves it to the caller to have one thread only"
)]
fn is_parent() -> nix::Result<bool> {
    // SAFETY: the caller has checked that there is no other thread, so that the child may do
    // whatever its parent could.
    Ok(matches!(unsafe { fork() }?, ForkResult::Parent { .. }))
}

#[expect(unsafe_code, reason = "std has no exit without atexit handlers")]
fn quit() -> ! {
    // SAFETY: `_exit` ends the process and touches nothing of it.
    unsafe { libc::_exit(0) }
}

/// Closes all files but the standard streams and `kept`.
#[expect(unsafe_code, reason = "neither std nor nix has close_range")]
fn close_inherited(kept: &OwnedFd) -> io::Result<()> {
    let kept = libc::c_uint::try_from(kept.as_raw_fd()).map_err(io::Error::other)?;
    for (first, last) in [(3, kept.saturating_sub(1)), (kept + 1, libc::c_uint::MAX)] {
        if first > last {
            continue;
        }
        // SAFETY: this process has just been born and has one thread; the caller's contract is that
        // nothing in it owns a file yet but the standard streams and `kept`, which are spared.
        let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Lets no program that this process becomes have any of its files but the standard streams.
#[expect(unsafe_code, reason = "neither std nor nix has close_range")]
pub fn close_files_on_exec() -> io::Result<()> {
    // SAFETY: takes numbers only; what is open stays open, and is marked.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        return Ok(());
    }
    // Before kernel 5.11 there is no such flag.
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        if let Some(number @ 3..) = number {
            // SAFETY: takes numbers only, and marks what is open; that there is nothing is an error.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

fn outcome(pipe: OwnedFd) -> Result<(), String> {
    let mut said = String::new();
    match File::from(pipe).read_to_string(&mut said) {
        Ok(_) if said == READY => Ok(()),
        Ok(_) if said.trim().is_empty() => Err("it ended before it was ready".into()),
        Ok(_) => Err(said.trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Launch {
    /// Lets the launcher end well, and lets go of the terminal.
    pub fn ready(mut self) -> io::Result<()> {
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        // The launcher may have been killed.
        let _ = self.0.write_all(READY.as_bytes());
        Ok(())
    }

    /// Lets the launcher end with this reason.
    pub fn gave_up(mut self, reason: &str) {
        // The launcher may have been killed.
        let _ = writeln!(self.0, "{reason}");
    }
}

/// A number that no other network namespace has or had since the machine was started, unlike the
/// inode number, which the next one gets. For the calling thread's; `None` before kernel 5.14.
#[expect(unsafe_code, reason = "nix does not know SO_NETNS_COOKIE")]
pub fn network_namespace_cookie() -> Option<u64> {
    let socket = UnixDatagram::unbound().ok()?;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of_val(&cookie)).ok()?;
    // SAFETY: `cookie` has room for the `length` bytes the kernel may write, both outlive the call,
    // and any eight bytes are a `u64`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::on_thread;

    #[test]
    fn a_namespace_keeps_its_cookie() {
        assert_eq!(network_namespace_cookie(), network_namespace_cookie());
        assert_eq!(
            network_namespace_cookie(),
            on_thread(network_namespace_cookie)
        );
    }

    #[test]
    fn a_process_with_threads_does_not_fork() {
        // The test runner's own thread is there beside this one.
        on_thread(|| assert!(detach().is_err()));
    }
}
