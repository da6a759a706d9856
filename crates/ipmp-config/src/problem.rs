//! Something to complain about.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// More than this is no configuration.
const MAX_SIZE: u64 = 1 << 20;

/// Something to complain about in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub path: PathBuf,
    /// Which line, from 1, where it is about one.
    pub line: Option<usize>,
    /// What, and what comes of it.
    pub text: String,
    /// Whether what stands there is not used, rather than merely odd.
    pub is_error: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.text)
    }
}

/// Reads a file; one that is not there is empty. `None` if it cannot be read, which is among the
/// problems then.
pub(crate) fn contents(path: &Path, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(MAX_SIZE + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_SIZE {
            let text = format!("longer than {MAX_SIZE} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Vec::new()),
        Err(error) => {
            problems.push(Problem {
                path: path.to_owned(),
                line: None,
                text: format!("cannot be read: {error}"),
                is_error: true,
            });
            None
        }
    }
}
