//! The saved state: what outlives the daemon, as a JSON file.
//!
//! The daemon alone writes it, replacing it whole. It is readable for all, as listing without a
//! daemon reads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ipmp_core::asked::Saved;
use ipmp_fault::Point;
use nix::libc::O_NOFOLLOW;
use serde::Deserialize;
use thiserror::Error;

/// More than this is not ours.
const MAX_SIZE: u64 = 64 << 20;

/// How many damaged files are kept for looking into.
const MAX_SET_ASIDE: u32 = 100;

/// The version alone, which is read first: a newer format may have anything beside it.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// Why a state file cannot be used.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A system call failed, or a symbolic link is in its place.
    #[error("cannot read {0}: {1}")]
    Io(PathBuf, io::Error),
    /// Not what was written: truncated, edited, or another program's.
    #[error("{0} is damaged: {1}")]
    Damaged(PathBuf, String),
    /// A later version of the daemon wrote it.
    #[error("{0} has format {1}, newer than {newest}", newest = Saved::VERSION)]
    Newer(PathBuf, u64),
}

/// Why the state was not saved.
#[derive(Debug, Error)]
#[error("cannot write {0}: {1}")]
pub struct WriteError(PathBuf, io::Error);

/// Reads a state file; `None` if there is none.
pub fn read(path: &Path) -> Result<Option<Saved>, ReadError> {
    let failed = |error| ReadError::Io(path.to_owned(), error);
    let damaged = |why: String| ReadError::Damaged(path.to_owned(), why);
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(O_NOFOLLOW)
        .open(path)
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(damaged(format!("longer than {MAX_SIZE} bytes")));
    }
    take(path, &bytes).map(Some)
}

/// Takes what stands in the state file at `path`.
pub fn take(path: &Path, bytes: &[u8]) -> Result<Saved, ReadError> {
    let damaged = |why: String| ReadError::Damaged(path.to_owned(), why);
    let versioned: Versioned =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if versioned.version > u64::from(Saved::VERSION) {
        return Err(ReadError::Newer(path.to_owned(), versioned.version));
    }
    if versioned.version == 0 {
        return Err(damaged("there is no format 0".into()));
    }
    serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))
}

/// Replaces a state file in one step: whoever reads it, and whatever happens meanwhile, finds the
/// old or the new one. If the new one cannot be written, the old one stays, and nothing is left beside it.
pub fn write(path: &Path, saved: &Saved) -> Result<(), WriteError> {
    let failed = |error| WriteError(path.to_owned(), error);
    let bytes = serde_json::to_vec_pretty(saved).map_err(|error| failed(error.into()))?;
    let new = path.with_extension("new");
    // What an interrupted write left; created anew so that it cannot be somebody's symbolic link.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let write = || {
        ipmp_fault::pass(Point::BeforeWrite);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&new)?;
        ipmp_fault::pass(Point::InWrite);
        file.write_all(&bytes)?;
        file.sync_all()?;
        ipmp_fault::pass(Point::BeforeRename);
        fs::rename(&new, path)?;
        ipmp_fault::pass(Point::AfterRename);
        path.parent()
            .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    write().map_err(|error| {
        // It would take room where there may be none. What cannot be removed now is removed next time.
        let _ = fs::remove_file(&new);
        failed(error)
    })
}

/// Removes a state file: nothing is left to be remembered. One that is not there is success.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Renames a file that cannot be used to `state.damaged-N`, so that it can be looked into.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = |n| path.with_extension(format!("damaged-{n}"));
    let aside = (1..MAX_SET_ASIDE)
        .map(name)
        .find(|aside| fs::symlink_metadata(aside).is_err())
        .unwrap_or_else(|| name(MAX_SET_ASIDE));
    fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests;
