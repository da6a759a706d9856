//! The way in: from the machine to namespaces of our own, and process 1 of a host.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio, exit};

use ipmp_linux::netns;
use nix::mount::{MsFlags, mount};

/// The name under which this executable is started again to be process 1 of a host. A program with
/// several names calls [`enter`] first when it finds this one.
pub const INIT: &str = "ipmp-lab-init";

/// What process 1 says when the host's `/proc` is there.
const READY: &str = "ready\n";

/// The machine does not let us have namespaces.
#[derive(Debug, thiserror::Error)]
#[error("lab: namespaces: {error}; {remedy}")]
pub struct EnterError {
    /// What was refused.
    pub error: netns::UnshareError,
    /// What helps.
    pub remedy: &'static str,
}

/// Leaves the machine for namespaces of this process's own. To be called first thing in `main`,
/// while there is one thread. Nothing this process does to mounts and networks afterwards touches
/// the machine; its own network is empty.
///
/// Where the process was started as process 1 of a host, this does not return.
pub fn enter() -> Result<(), EnterError> {
    let name = std::env::args_os().next().unwrap_or_default();
    if name.as_bytes() == INIT.as_bytes() {
        exit(init());
    }
    netns::leave_the_machine().map_err(|error| EnterError {
        remedy: remedy(),
        error,
    })
}

/// What to do on this machine to be allowed namespaces.
fn remedy() -> &'static str {
    let is = |sysctl: &str, value: &str| {
        std::fs::read_to_string(Path::new("/proc/sys").join(sysctl))
            .is_ok_and(|text| text.trim() == value)
    };
    if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        "run it with sudo, or allow them by 'sysctl kernel.apparmor_restrict_unprivileged_userns=0'"
    } else if is("kernel/unprivileged_userns_clone", "0") {
        "run it with sudo, or allow them by 'sysctl kernel.unprivileged_userns_clone=1'"
    } else if is("user/max_user_namespaces", "0") {
        "run it with sudo, or allow them by 'sysctl user.max_user_namespaces=1024'"
    } else {
        "run it with sudo (in a container, one with --privileged)"
    }
}

/// Starts process 1 of a host from a thread that has been through [`netns::unshare_host`], and waits
/// until it has mounted the host's `/proc`. It ends, and everything in the host with it, when the
/// child's stdin closes: at the latest when this process is gone, however that happens.
pub(crate) fn start_init() -> io::Result<Child> {
    let mut child = Command::new("/proc/self/exe")
        .arg0(INIT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    if said == READY {
        Ok(child)
    } else {
        child.wait()?;
        Err(io::Error::other(said))
    }
}

/// Process 1: mounts `/proc`, then lives until its stdin closes. Orphans are reaped by the kernel.
fn init() -> i32 {
    let start = || -> io::Result<()> {
        netns::leave_reaping_to_the_kernel()?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
            .map_err(|error| io::Error::other(format!("/proc: {error}")))
    };
    let result = start();
    let said = match &result {
        Ok(()) => READY.to_owned(),
        Err(error) => error.to_string(),
    };
    // Whoever reads this waits for the end of the stream. Stdin is the one thing init keeps.
    let told = io::stdout().write_all(said.as_bytes());
    if result.is_err() || told.is_err() || nix::unistd::close(1).is_err() {
        return 1;
    }
    // Nothing is ever written there: this ends with the lab.
    let _end = io::stdin().read(&mut [0]);
    0
}
