//! `ipmp check`: what is wrong with the files, and what the settings come to.
//!
//! What is wrong goes to standard error, all of it; what holds for each group, and where it was set,
//! to standard output. Errors are a failure, warnings are not.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use ipmp_config::{Called, Configuration, Effective, Files};
use ipmp_core::GroupName;

use super::files::{self, Found, Problem};
use super::{TOOL, lint};
use crate::console::{Console, FAILED, OK};
use crate::etc::Etc;

/// Checks the files below `root`.
pub(super) fn files(root: &Path, console: &mut Console<'_>) -> io::Result<u8> {
    let etc = Etc::below(root);
    let Found {
        files,
        mut problems,
        ignored,
    } = files::find(&etc);
    problems.extend(lint::errors(&files, &etc));
    problems.extend(of_lists(&etc));
    let configuration = Files::below(root).read(Called::default());
    let (errors, oddities): (Vec<_>, Vec<_>) = (configuration.problems.iter().cloned())
        .map(|problem| (problem.is_error, of_settings(problem)))
        .partition(|(is_error, _)| *is_error);
    problems.extend(errors.into_iter().map(|(_, problem)| problem));
    problems.extend(configuration.refused.iter().map(|path| Problem {
        path: path.clone(),
        line: None,
        reason: "has errors, so that nothing of it would be used".to_owned(),
    }));
    let code = if problems.is_empty() { OK } else { FAILED };

    let groups = lint::groups(&files, &etc);
    problems.extend(oddities.into_iter().map(|(_, problem)| problem));
    problems.extend(lint::warnings(&files, &etc));
    problems.extend(strangers(root, &configuration, &groups));
    problems.extend(ignored.into_iter().map(|path| Problem {
        path,
        line: None,
        reason: "warning: ignored, as its name does not end in a digit".to_owned(),
    }));
    for problem in problems {
        console.complain(format_args!("{TOOL}: {problem}"));
    }
    list(&configuration, &groups, console)?;
    Ok(code)
}

/// What is wrong with the files that are lists.
fn of_lists(etc: &Etc) -> Vec<Problem> {
    let in_file = |name: &str, line: usize, reason: String| Problem {
        path: etc.path(name),
        line: Some(line),
        reason,
    };
    let netmasks = etc.netmask_errors();
    let netmasks = netmasks
        .into_iter()
        .map(|(line, reason)| in_file("netmasks", line, reason));
    let routers = etc.default_routers();
    let routers = routers.into_iter().filter_map(|(line, router)| {
        let word = router.err()?;
        let reason = format!("'{word}' is neither an address nor in /etc/hosts");
        Some(in_file("defaultrouter", line, reason))
    });
    netmasks.chain(routers).collect()
}

fn of_settings(problem: ipmp_config::Problem) -> Problem {
    let reason = if problem.is_error {
        problem.text
    } else {
        format!("warning: {}", problem.text)
    };
    Problem {
        path: problem.path,
        line: problem.line,
        reason,
    }
}

/// Groups that have settings, but no interface at boot: misspelt, as often as not.
fn strangers(
    root: &Path,
    configuration: &Configuration,
    groups: &BTreeSet<GroupName>,
) -> Vec<Problem> {
    if groups.is_empty() {
        return Vec::new();
    }
    let names = configuration.groups.keys();
    let strangers = names.filter(|name| !groups.contains(*name));
    strangers
        .map(|name| Problem {
            path: Files::below(root).toml,
            line: None,
            reason: format!("warning: no /etc/hostname.IF puts an interface into group {name}"),
        })
        .collect()
}

/// Lists what holds for each group.
fn list(
    configuration: &Configuration,
    groups: &BTreeSet<GroupName>,
    console: &mut Console<'_>,
) -> io::Result<()> {
    console.say("all groups:")?;
    list_one(&configuration.common, console)?;
    let own = configuration.groups.keys().collect::<BTreeSet<_>>();
    for name in own.into_iter().chain(groups).collect::<BTreeSet<_>>() {
        match configuration.groups.get(name) {
            Some(effective) => {
                console.say(format_args!("group {name}:"))?;
                list_one(effective, console)?;
            }
            None => console.say(format_args!("group {name}: as all groups"))?,
        }
    }
    Ok(())
}

fn list_one(effective: &Effective, console: &mut Console<'_>) -> io::Result<()> {
    for (key, setting, origin) in effective.iter() {
        let (name, setting) = (key.name(), setting.to_string());
        console.say(format_args!("  {name:<23} {setting:<15} {origin}"))?;
    }
    Ok(())
}
