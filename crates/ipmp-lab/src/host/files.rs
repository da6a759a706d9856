//! What a host sees of the file system.
//!
//! Everything is the machine's but `/run`, `/etc`, `/var/lib`, `/sys` and `/proc`. `/run` and
//! `/var/lib` are empty. `/etc` is made new: the machine's files are copied, its directories are
//! links to a read-only view of them, and what would configure IPMP on the machine is left out. (An
//! overlay would be shorter, but an ordinary user's cannot be written below `/etc/default`, whose
//! owner does not exist in the user namespace.)

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::error::{About, LabError};

/// Where a host's own things are: the program, the tools that are links to it, the machine's `/etc`.
const OWN: &str = "/run/ipmp-lab";

/// The tools of a host, each a link to the one executable.
const TOOLS: [&str; 6] = [
    "in.mpathd",
    "ifconfig",
    "ipmpstat",
    "if_mpadm",
    "eeprom",
    "ipmp",
];

/// Where a host looks for programs.
pub(crate) const PATH: &str = "/run/ipmp-lab/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Directories that belong to a host alone.
const WRITABLE: [&str; 3] = ["/etc", "/run", "/var/lib"];

/// Whether a file is in a directory that belongs to the host alone.
pub(crate) fn is_own(path: &Path) -> bool {
    WRITABLE.iter().any(|own| path.starts_with(own))
        && path.components().all(|part| part.as_os_str() != "..")
}

/// Furnishes the mount namespace of the calling thread, all but `/proc`.
pub(crate) fn furnish(program: &Path) -> Result<(), LabError> {
    // Held, since it may be in one of the directories that are about to be covered.
    let held = File::open(program).about(program.display())?;
    tmpfs("/run")?;
    let own = PathBuf::from(OWN);
    let sbin = own.join("sbin");
    directory(&sbin)?;
    let inside = own.join("program");
    File::create(&inside).about(inside.display())?;
    let source = format!("/proc/thread-self/fd/{}", held.as_raw_fd());
    let bind = MsFlags::MS_BIND;
    mount(
        Some(source.as_str()),
        &inside,
        None::<&str>,
        bind,
        None::<&str>,
    )
    .about(program.display())?;
    for tool in TOOLS {
        let link = sbin.join(tool);
        symlink(&inside, &link).about(link.display())?;
    }
    etc(&own.join("etc"))?;
    if Path::new("/var/lib").is_dir() {
        tmpfs("/var/lib")?;
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("sysfs"), "/sys", Some("sysfs"), flags, None::<&str>).about("/sys")
}

fn tmpfs(path: &str) -> Result<(), LabError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("lab"), path, Some("tmpfs"), flags, Some("mode=755")).about(path)
}

fn directory(path: &Path) -> Result<(), LabError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .about(path.display())
}

/// Makes a new `/etc`, the machine's own being seen at `view`.
fn etc(view: &Path) -> Result<(), LabError> {
    directory(view)?;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some("/etc"), view, None::<&str>, bind, None::<&str>).about("/etc")?;
    // What the machine's own mount was held to must be said again, or the kernel takes this for an
    // attempt to loosen it.
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let held = statvfs(view).about(view.display())?.flags();
    for (was, stays) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if held.contains(was) {
            flags |= stays;
        }
    }
    mount(None::<&str>, view, None::<&str>, flags, None::<&str>).about(view.display())?;
    tmpfs("/etc")?;
    let etc = Path::new("/etc");
    copy(view, etc, true).about("/etc")?;
    directory(&etc.join("default"))?;
    let default = view.join("default");
    if default.is_dir() {
        copy(&default, &etc.join("default"), false).about("/etc/default")?;
    }
    Ok(())
}

/// Copies the files of a directory, and links to its directories if asked to. What may not be read
/// is left out.
fn copy(from: &Path, to: &Path, with_directories: bool) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if text.starts_with("hostname") || text == "mpathd" || text == "default" {
            continue;
        }
        let (source, copy) = (entry.path(), to.join(&name));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &copy)?;
        } else if kind.is_dir() && with_directories {
            symlink(&source, &copy)?;
        } else if kind.is_file() {
            match fs::copy(&source, &copy) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
