//! Namespaces: making them, entering them, and the processes inside.
//!
//! A namespace belongs to a thread here, never to the process: whoever wants to be somewhere else
//! goes there with a thread that ends afterwards ([`NetNs::run`]), so that nobody is left standing
//! in the wrong network.

#![expect(unsafe_code, reason = "system calls that no library wraps")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use nix::unistd::{Pid, getegid, geteuid, sethostname, tcsetpgrp};

/// A step on the way into namespaces of one's own that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {error}")]
pub struct UnshareError {
    /// What was tried.
    pub step: &'static str,
    /// What the kernel answered.
    pub error: io::Error,
}

fn step<T, E: Into<io::Error>>(
    step: &'static str,
    result: Result<T, E>,
) -> Result<T, UnshareError> {
    result.map_err(|error| UnshareError {
        step,
        error: error.into(),
    })
}

/// Takes this process to a mount and a network namespace of its own, in which it may make more of
/// them. Needs `CAP_SYS_ADMIN`, or the right to make user namespaces: an ordinary user becomes the
/// root of a new one, with every other user mapped to nobody.
///
/// To be called before the process has a second thread: a user namespace cannot be entered by one
/// thread alone, and threads that already run would stay behind.
pub fn leave_the_machine() -> Result<(), UnshareError> {
    let ours = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    match unshare(ours) {
        Err(nix::Error::EPERM) => {
            let (uid, gid) = (geteuid(), getegid());
            step("user namespace", unshare(ours | CloneFlags::CLONE_NEWUSER))?;
            let file = |path: &'static str, text: String| step(path, std::fs::write(path, text));
            // Without this the kernel lets nobody map groups (user_namespaces(7)).
            file("/proc/self/setgroups", "deny".into())?;
            file("/proc/self/uid_map", format!("0 {uid} 1"))?;
            file("/proc/self/gid_map", format!("0 {gid} 1"))?;
        }
        other => step("mount and network namespace", other)?,
    }
    // What is mounted from now on stays among us.
    step(
        "private mounts",
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        ),
    )
}

/// Gives the calling thread network, mounts, host name and IPC of its own. The first process it
/// starts becomes process 1 of a new pid namespace; the thread itself stays where processes can see
/// it, and can start no threads any more.
pub fn unshare_host(hostname: &str) -> Result<(), UnshareError> {
    step(
        "namespaces of a host",
        unshare(
            CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWPID,
        ),
    )?;
    step("host name", sethostname(hostname))
}

/// A network namespace. It lives as long as this value, whether or not a process is in it.
#[derive(Debug)]
pub struct NetNs(OwnedFd);

impl NetNs {
    /// A new one, with nothing in it but `lo`, down.
    pub fn create() -> io::Result<Self> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::current()
        })
    }

    /// That of the calling thread.
    pub fn current() -> io::Result<Self> {
        Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
    }

    /// Runs `work` on a thread inside and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_thread(|| {
            setns(self, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs `work` on a thread of its own, which may change its namespaces as it likes, and waits.
pub fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A process held by a file descriptor: its number cannot come to mean another one.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// The process `pid`, a child of ours that has not been waited for.
    pub fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_ulong::from(pid), 0) };
        let fd = i32::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Waits until the process has ended, at most `within`; tells whether it has.
    pub fn wait(&self, within: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::Error::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the calling thread into all namespaces of the process but its user namespace. Its
    /// children will be born in the pid namespace; the thread can start no threads any more
    /// (Linux 5.8 and later).
    pub fn join_host(&self) -> io::Result<()> {
        join(
            self.as_fd(),
            CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWPID,
        )
    }

    /// Takes the calling thread to the network, files and host name of the process. It remains a
    /// thread of its process like any other and may start more.
    pub fn join_network(&self) -> io::Result<()> {
        join(
            self.as_fd(),
            CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS,
        )
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn join(process: BorrowedFd<'_>, which: CloneFlags) -> io::Result<()> {
    // Threads share their root and working directory; a mount namespace cannot be entered with them.
    unshare(CloneFlags::CLONE_FS)?;
    Ok(setns(process, which)?)
}

/// Sends `signal` to a process: a [`Pidfd`], or its open directory in a `/proc`, which names it in
/// that `/proc`'s pid namespace.
pub fn send_signal(process: impl AsFd, signal: Signal) -> io::Result<()> {
    // SAFETY: the descriptor is open while borrowed; a null siginfo is allowed (kill(2) semantics).
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_fd().as_raw_fd(),
            signal as libc::c_int,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets the kernel reap the children of this process, those it inherits as process 1 too.
pub fn leave_reaping_to_the_kernel() -> io::Result<()> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed, so no code of ours runs in signal context.
    unsafe { sigaction(Signal::SIGCHLD, &ignore)? };
    Ok(())
}

/// Makes `group` the foreground process group of a terminal, when a shell that had it is gone.
pub fn take_terminal(terminal: BorrowedFd<'_>, group: Pid) -> io::Result<()> {
    // Whoever is in the background and touches the terminal is stopped, unless it blocks this.
    let stop = SigSet::from(Signal::SIGTTOU);
    let before = stop.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let taken = tcsetpgrp(terminal, group);
    before.thread_set_mask()?;
    Ok(taken?)
}
