//! The verbs of `ipmp`.

/// Those that `ipmp --help` lists: its lines are two columns in, and one may name two.
pub(crate) fn verbs(help: &str) -> Vec<&str> {
    let list = help.lines().take_while(|line| *line != "Examples:");
    let lines = list.filter_map(|line| line.strip_prefix("  "));
    let entries = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    entries
        .flat_map(|line| line.split("  ").next().unwrap_or_default().split(", "))
        .filter_map(|entry| entry.split(' ').next())
        .collect()
}
