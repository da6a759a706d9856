//! Files that tools write for others to read.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Replaces a file in one step: whoever reads it finds the old or the new one, and what is in its place
/// is not followed. All may read it and its owner may write it, whatever the umask is.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Opened here and not by that crate, whose error names a file that nobody has asked for and not the
    // system's reason alone.
    let mut file = tempfile::Builder::new().make_in(directory, |path| {
        let mut new = OpenOptions::new();
        new.write(true).create_new(true).mode(0o600).open(path)
    })?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a directory, if it is not there, in which its owner alone may write, whatever the umask is.
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_told_in_the_words_of_the_system() {
        let directory = tempfile::tempdir().unwrap();
        // No error's text is looked into: a name may be like it.
        let missing = directory.path().join("x at path y");
        let error = replace(&missing.join("file"), "text").unwrap_err();
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
        let path = directory.path().join("file");
        fs::create_dir_all(path.join("full")).unwrap();
        let error = replace(&path, "text").unwrap_err();
        assert_eq!(error.to_string(), "Is a directory (os error 21)");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced_and_all_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for text in ["old", "new"] {
            replace(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o644);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
