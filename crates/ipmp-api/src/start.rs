//! Starting the daemon when something is to be changed and none runs (manual `ifconfig`, subcommand
//! `group`). Unlike Solaris's, a start that fails is reported.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use crate::client::{CallError, Client};

/// Where the daemon is installed, and what `ps` shows for it.
const INSTALLED: &str = "/sbin/in.mpathd";

/// Environment variable that names another daemon program.
pub const PROGRAM_VARIABLE: &str = "IPMP_MPATHD";

/// What helps where none runs.
pub const TO_START: &str = "start it: systemctl start ipmp, or in.mpathd";

/// Why there is no daemon to talk to.
#[derive(Debug, Error)]
pub enum StartError {
    /// It runs, or should by now, and cannot be talked to.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its program could not be run.
    #[error("cannot start {0}: {1}")]
    Run(PathBuf, io::Error),
    /// It gave up and said why.
    #[error("cannot start in.mpathd: {0}")]
    GaveUp(String),
}

/// Connects to the daemon of this network namespace and starts it if there is none.
///
/// The program is the one that [`PROGRAM_VARIABLE`] names, else the `in.mpathd` beside the tool as
/// it was called, else the installed one, else the tool's own executable, which is the daemon too.
/// Its launcher ends when the daemon is ready, so that nothing has to be waited for here.
pub fn ensure_daemon() -> Result<Client, StartError> {
    match Client::connect() {
        Err(CallError::NotRunning) => {}
        other => return Ok(other?),
    }
    let (program, name) = program();
    let output = Command::new(&program)
        .arg0(name)
        // What the tool's own service manager is to be told is not the daemon's to tell.
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| StartError::Run(program, error))?;
    if output.status.success() {
        return Ok(Client::connect()?);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(StartError::GaveUp(match said.trim() {
        "" => output.status.to_string(),
        said => said.trim_start_matches("in.mpathd: ").to_owned(),
    }))
}

/// The program to run and the name to run it by.
fn program() -> (PathBuf, OsString) {
    if let Some(named) = env::var_os(PROGRAM_VARIABLE).filter(|named| !named.is_empty()) {
        return (named.clone().into(), named);
    }
    let beside = env::args_os()
        .next()
        .and_then(|tool| directory(Path::new(&tool), env::var_os("PATH").as_deref()))
        .map(|directory| directory.join("in.mpathd"))
        .filter(|program| program.is_file());
    let installed = Path::new(INSTALLED);
    match beside {
        Some(program) if !same_file(&program, installed) => (program.clone(), program.into()),
        _ if installed.is_file() => (installed.into(), INSTALLED.into()),
        _ => ("/proc/self/exe".into(), INSTALLED.into()),
    }
}

/// The directory of a tool that was called by this name, as a shell would look for it.
fn directory(tool: &Path, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    if tool.components().count() > 1 {
        return tool.parent().map(Path::to_owned);
    }
    env::split_paths(path?).find(|directory| directory.join(tool).is_file())
}

/// Whether both are the same file, as where `/sbin` is a link to `/usr/sbin`.
fn same_file(one: &Path, other: &Path) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    one.file_name() == other.file_name()
        && one
            .parent()
            .and_then(real)
            .is_some_and(|d| other.parent().and_then(real) == Some(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_where_the_shell_found_the_tool() {
        let here = tempfile::tempdir().unwrap();
        let there = tempfile::tempdir().unwrap();
        fs::write(there.path().join("ifconfig"), "").unwrap();
        let path = env::join_paths([here.path(), there.path()]).unwrap();
        let found = |tool: &str| directory(Path::new(tool), Some(&path));
        assert_eq!(found("ifconfig").as_deref(), Some(there.path()));
        assert_eq!(found("ipmpstat"), None);
        assert_eq!(
            found("/opt/sbin/ifconfig").as_deref(),
            Some(Path::new("/opt/sbin"))
        );
        assert_eq!(found("./ifconfig").as_deref(), Some(Path::new(".")));
        assert_eq!(directory(Path::new("ifconfig"), None), None);
    }

    #[test]
    fn links_to_the_installed_directory_are_the_installed_daemon() {
        let base = tempfile::tempdir().unwrap();
        let (real, link) = (base.path().join("usr"), base.path().join("sbin"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let program = |directory: &Path| directory.join("in.mpathd");
        assert!(same_file(&program(&real), &program(&link)));
        assert!(!same_file(&program(&real), &program(base.path())));
    }
}
