//! What the administrator has set: `/etc/default/mpathd` and `/etc/ipmp.toml`.
//!
//! The daemon reads it at start and on SIGHUP; `ipmp check` reads it to say what is wrong with it.
//!
//! ```text
//! defaults  <  /etc/default/mpathd  <  /etc/ipmp.toml [defaults]  <  /etc/ipmp.toml [group.NAME]
//! ```
//!
//! Each of these is a [`Layer`]: some settings, each with the [`Origin`] it has. Laid over each
//! other they give what holds for all groups and what for single ones, complete.
//!
//! The two files fail in different ways, each in that of its kind. A bad value in
//! `/etc/default/mpathd` is complained about and its default stands, as in the original. An error in
//! `/etc/ipmp.toml` refuses the file whole: half of what somebody meant may be worse than nothing.
//! Neither keeps the daemon from running.

mod hook;
mod ipmp_toml;
mod layer;
mod mpathd;
mod problem;
mod setting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipmp_core::{GroupName, Settings};

pub use crate::hook::{HookError, verify_hook};
pub use crate::ipmp_toml::Recording;
pub use crate::layer::{Effective, Layer, Origin};
pub use crate::mpathd::c_number;
pub use crate::problem::Problem;
use crate::problem::contents;
pub use crate::setting::{Key, Setting};

/// What the daemon would take from two files in which this stands: a door for the fuzz targets.
#[doc(hidden)]
pub fn configuration_of(mpathd: &[u8], toml: &[u8]) -> Configuration {
    let files = Files::below(Path::new("/"));
    files.take(Called::default(), Some(mpathd), Some(toml), Vec::new())
}

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// `/etc/default/mpathd`, the original's file.
    pub mpathd: PathBuf,
    /// `/etc/ipmp.toml`, our own.
    pub toml: PathBuf,
    /// Below which programs are that they name.
    pub root: PathBuf,
}

/// What the daemon was told when it was called; holds in addition to what the files say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// Option `-l`.
    pub ignore_links: bool,
    /// Option `-m`.
    pub multicast_targets_only: bool,
}

/// What both files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// What the engine is to heed.
    pub settings: Settings,
    /// Whether events are to be recorded.
    pub recording: Recording,
    /// The program that is run for each event. Whether it can be is seen when it is.
    pub hook: Option<PathBuf>,
    /// What holds for all groups that have nothing of their own, and where it was set.
    pub common: Effective,
    /// The same for the groups that have something of their own.
    pub groups: BTreeMap<GroupName, Effective>,
    /// What there is to complain about, by file and line.
    pub problems: Vec<Problem>,
    /// Files of which nothing is in `settings`, because they could not be read or have an error.
    pub refused: Vec<PathBuf>,
}

impl Files {
    /// The files below `root`; `/` for this host's own.
    pub fn below(root: &Path) -> Self {
        Self {
            mpathd: root.join("etc/default/mpathd"),
            toml: root.join("etc/ipmp.toml"),
            root: root.to_owned(),
        }
    }

    /// Reads both files. One that is not there sets nothing.
    pub fn read(&self, called: Called) -> Configuration {
        let mut problems = Vec::new();
        let mpathd = contents(&self.mpathd, &mut problems);
        let toml = contents(&self.toml, &mut problems);
        self.take(called, mpathd.as_deref(), toml.as_deref(), problems)
    }

    /// Takes what stands in both files; `None` for one that cannot be read, about which there is a
    /// problem already.
    fn take(
        &self,
        called: Called,
        mpathd: Option<&[u8]>,
        toml: Option<&[u8]>,
        mut problems: Vec<Problem>,
    ) -> Configuration {
        let mut refused = Vec::new();
        let mpathd = if let Some(bytes) = mpathd {
            mpathd::take(&self.mpathd, bytes, &mut problems)
        } else {
            refused.push(self.mpathd.clone());
            mpathd::Parsed::default()
        };
        let toml = toml
            .and_then(|bytes| ipmp_toml::take(&self.toml, bytes, &mut problems))
            .unwrap_or_else(|| {
                refused.push(self.toml.clone());
                ipmp_toml::Parsed::default()
            });

        problems.extend(self.hook_problem(&toml));
        let common = Effective::of(&[&mpathd.common, &toml.defaults]);
        let groups: BTreeMap<_, _> = toml
            .groups
            .iter()
            .map(|(name, own)| {
                let layers = [&mpathd.common, &toml.defaults, own];
                (name.clone(), Effective::of(&layers))
            })
            .collect();
        for effective in std::iter::once(&common).chain(groups.values()) {
            for problem in effective.oddities() {
                // What is odd for all groups is odd for each of them.
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
        Configuration {
            settings: Settings {
                track_only_groups: toml
                    .track_only_groups
                    .or(mpathd.track_only_groups)
                    .unwrap_or(Settings::default().track_only_groups),
                ignore_links: called.ignore_links || toml.ignore_links.unwrap_or(false),
                multicast_targets_only: called.multicast_targets_only
                    || toml.multicast_targets_only.unwrap_or(false),
                duplicate_address_detection: toml
                    .duplicate_address_detection
                    .unwrap_or(Settings::default().duplicate_address_detection),
                common: common.settings(),
                groups: groups
                    .iter()
                    .map(|(name, effective)| (name.clone(), effective.settings()))
                    .collect(),
            },
            recording: toml.recording,
            hook: toml.hook.map(|(path, _)| path),
            common,
            groups,
            problems,
            refused,
        }
    }
}

impl Files {
    /// What is wrong with the hook at present. It may be mended at any time, so that it is no error.
    fn hook_problem(&self, toml: &ipmp_toml::Parsed) -> Option<Problem> {
        let (path, line) = toml.hook.as_ref()?;
        let inside = self.root.join(path.strip_prefix("/").unwrap_or(path));
        let error = verify_hook(&inside).err()?;
        Some(Problem {
            path: self.toml.clone(),
            line: Some(*line),
            text: format!("hook: {}: {error}", path.display()),
            is_error: false,
        })
    }
}

impl Configuration {
    /// Whether anything is wrong, rather than merely odd.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.is_error)
    }
}

#[cfg(test)]
mod tests;
