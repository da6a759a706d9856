//! The hook as a file: whether it is one that can be run without harm.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a hook is not run.
#[derive(Debug, Error)]
pub enum HookError {
    /// It is not there.
    #[error("no such file")]
    Missing,
    /// It is a directory or the like.
    #[error("is no file")]
    NoFile,
    /// Nobody may execute it.
    #[error("is not executable")]
    NotExecutable,
    /// It belongs to somebody who is neither root nor the caller.
    #[error("belongs to user {0}; it is not run")]
    OfSomebodyElse(u32),
    /// Somebody else could put something else into it.
    #[error("may be written by others than its owner; it is not run")]
    Writable,
    /// Somebody could put something else in its place: into this directory.
    #[error("is in {0}, which everybody may write; it is not run")]
    InWritable(PathBuf),
    /// It cannot be looked at.
    #[error("{0}")]
    Io(io::Error),
}

/// Fails unless `path` is a program that nobody can have changed but root and whoever runs this, as it
/// is run with root's name.
pub fn verify_hook(path: &Path) -> Result<(), HookError> {
    let found = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => HookError::Missing,
        _ => HookError::Io(error),
    };
    let file = fs::metadata(path).map_err(found)?;
    if !file.is_file() {
        return Err(HookError::NoFile);
    }
    if file.mode() & 0o111 == 0 {
        return Err(HookError::NotExecutable);
    }
    let own = fs::metadata("/proc/self").map_err(found)?.uid();
    if file.uid() != 0 && file.uid() != own {
        return Err(HookError::OfSomebodyElse(file.uid()));
    }
    if file.mode() & 0o002 != 0 || (file.mode() & 0o020 != 0 && file.gid() != 0) {
        return Err(HookError::Writable);
    }
    // A link may be replaced where it is, and what it leads to where that is.
    let target = fs::canonicalize(path).map_err(found)?;
    for directory in path.ancestors().skip(1).chain(target.ancestors().skip(1)) {
        let mode = fs::metadata(directory).map_err(found)?.mode();
        // With the sticky bit, what is in there is its owner's all the same.
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(HookError::InWritable(directory.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_hook_must_be() {
        let root = tempfile::tempdir().unwrap();
        let hook = root.path().join("hook");
        let says = || verify_hook(&hook).map_err(|error| error.to_string());
        assert_eq!(says(), Err("no such file".to_owned()));
        fs::write(&hook, "#!/bin/sh\n").unwrap();
        for (mode, expected) in [
            (0o644, Err("is not executable")),
            (0o755, Ok(())),
            (0o700, Ok(())),
            (
                0o757,
                Err("may be written by others than its owner; it is not run"),
            ),
        ] {
            fs::set_permissions(&hook, Permissions::from_mode(mode)).unwrap();
            assert_eq!(says(), expected.map_err(str::to_owned), "{mode:o}");
        }
        fs::set_permissions(&hook, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(says().unwrap_err().contains("which everybody may write"));
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(verify_hook(root.path()), Err(HookError::NoFile)));
    }
}
