//! `ipmp metrics`: what there is to see, for Prometheus.
//!
//! The text is the classic exposition format, version 0.0.4: that is what the textfile collector of
//! `node_exporter` reads and `promtool check metrics` checks. (`OpenMetrics`, which newer libraries
//! write, has types that both refuse.)

mod exposition;
mod families;

use std::path::PathBuf;

pub use exposition::CONTENT_TYPE;
pub use families::text;

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};
use crate::events::complain;
use crate::file::replace;

const TOOL: &str = "ipmp";

const USAGE: &str = "\
usage: ipmp metrics [--output FILE]
  Prints states, probes, failovers and what they took as metrics for Prometheus
  (docs/metrics.md). Without a daemon there is one metric, ipmp_up, which is 0,
  and the exit status is 1.
  --output FILE   write a file, in one step, for a textfile collector
Examples:
  ipmp metrics | grep ipmp_group_state
  ipmp metrics --output /var/lib/prometheus/node-exporter/ipmp.prom
";

/// Runs `ipmp metrics` with `arguments`, the verb not among them.
pub fn run(
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let output = match arguments {
        [] => None,
        [option, file] if option == "--output" && !file.is_empty() => Some(PathBuf::from(file)),
        [help] if help == "--help" => return console.help(TOOL, USAGE),
        _ => return console.misused(arguments, USAGE),
    };
    let (seen, code) = match environment.daemon.snapshot() {
        Ok(snapshot) => (Some(snapshot), OK),
        Err(failure) => {
            complain(&failure, console);
            if failure != Failure::NotRunning {
                // It is up, and whoever counts on the file sees that it is old.
                return FAILED;
            }
            (None, FAILED)
        }
    };
    let text = text(seen.as_ref());
    match output {
        None => {
            let result = text.and_then(|text| console.out.write_all(text.as_bytes()));
            console.finish(TOOL, result.map(|()| code))
        }
        Some(path) => match text.and_then(|text| replace(&path, &text)) {
            Ok(()) => code,
            Err(error) => {
                console.complain(format_args!("{TOOL}: {}: {error}", path.display()));
                FAILED
            }
        },
    }
}

#[cfg(test)]
mod tests;
