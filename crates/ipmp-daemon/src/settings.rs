//! The settings, as the daemon takes them: at start it needs some, whatever the files look like; later
//! it has some already, and a file that cannot be used is no reason to lose them.

use std::path::Path;

use ipmp_config::{Configuration, Files};

use crate::options::Options;

/// The files of this host.
pub(crate) fn files() -> Files {
    Files::below(Path::new("/"))
}

/// What to start with. A file that is refused sets nothing.
pub(crate) fn at_start(files: &Files, options: &Options) -> Configuration {
    let read = read(files, options);
    for file in &read.refused {
        tracing::error!("{}: not used; starting without it", file.display());
    }
    read
}

/// What is to hold from now on; `None` to go on as before, as a file is refused.
pub(crate) fn again(files: &Files, options: &Options) -> Option<Configuration> {
    let read = read(files, options);
    for file in &read.refused {
        tracing::error!("{}: not used; all settings stay", file.display());
    }
    read.refused.is_empty().then_some(read)
}

/// Reads both files and complains about what is wrong with them.
fn read(files: &Files, options: &Options) -> Configuration {
    let mut read = files.read(options.called());
    if let Some(path) = &options.record {
        read.recording.path = Some(path.clone());
    }
    for problem in &read.problems {
        if problem.is_error {
            tracing::error!("{problem}");
        } else {
            tracing::warn!("{problem}");
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refused_file_sets_nothing_at_start_and_changes_nothing_later() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::below(root.path());
        fs::create_dir_all(files.mpathd.parent().unwrap()).unwrap();
        fs::write(&files.mpathd, "FAILURE_DETECTION_TIME=2s\n").unwrap();
        let options = Options::parse([]).unwrap();
        for (text, is_good) in [
            ("[defaults]\nfailback = false\n", true),
            ("[defaults]\nfailback = false\nfailbak = 1\n", false),
            ("\0", false),
        ] {
            fs::write(&files.toml, text).unwrap();
            let common = at_start(&files, &options).settings.common;
            assert_eq!(common.failure_detection_time, Duration::from_secs(2));
            assert_eq!(common.failback, !is_good, "{text:?}");
            let again = again(&files, &options);
            assert_eq!(again.is_some(), is_good, "{text:?}");
        }
        fs::remove_file(&files.toml).unwrap();
        fs::create_dir(&files.toml).unwrap();
        assert!(again(&files, &options).is_none());
    }
}
