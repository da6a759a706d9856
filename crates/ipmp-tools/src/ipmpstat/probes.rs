//! `ipmpstat -p`: one row for each probe, as soon as it was answered or lost, until interrupted.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use ipmp_api::interface::FinishedProbe;
use ipmp_core::time::milliseconds;
use ipmp_core::{Snapshot, Time};

use super::{Style, TOOL, Table, columns, rows_below_header, seen};
use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};
use crate::terminal::{Size, Terminal};

/// Prints rows until somebody has enough of it: the user, the reader of a pipe, or the daemon.
pub(super) fn watch(
    table: &Table<'_>,
    terminal: &dyn Terminal,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let mut rows = Rows {
        table,
        start: environment.daemon.clocks().monotonic,
        below_header: None,
    };
    let Some(snapshot) = seen(environment, console) else {
        return Ok(FAILED);
    };
    if !is_probing(&snapshot) {
        console.complain(format_args!(
            "{TOOL}: probe-based failure detection is disabled"
        ));
        return Ok(FAILED);
    }
    let mut printed = Ok(());
    let told = environment.daemon.probes(&mut |probes| {
        let mut probes = probes.iter();
        printed = probes.try_for_each(|probe| rows.print(probe, terminal.size(), console));
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    printed?;
    match told {
        Ok(()) => return Ok(OK),
        Err(Failure::PermissionDenied) => console.complain(format_args!(
            "{TOOL}: -p: permission denied: only root may watch probes"
        )),
        Err(Failure::Busy) => {
            console.complain(format_args!("{TOOL}: -p: too many watch probes already"));
        }
        Err(failure) => console.complain(format_args!("{TOOL}: {}", failure.of_daemon())),
    }
    Ok(FAILED)
}

/// Whether any member of a group probes.
fn is_probing(snapshot: &Snapshot) -> bool {
    let mut groups = snapshot.groups.iter();
    groups.any(|group| group.failure_detection_time.is_some())
}

/// Rows as they come.
struct Rows<'a> {
    table: &'a Table<'a>,
    /// When the command was started.
    start: Time,
    /// Rows since the header was printed.
    below_header: Option<usize>,
}

impl Rows<'_> {
    /// Prints one at once: whoever reads wants it now.
    fn print(
        &mut self,
        probe: &FinishedProbe,
        size: Option<Size>,
        console: &mut Console<'_>,
    ) -> io::Result<()> {
        match self.table.options.style {
            Style::Json => console.say(serde_json::to_string(probe)?)?,
            Style::Colons => console.say(self.line(probe))?,
            Style::Columns => {
                // The window may have become larger or smaller since.
                let rows = match self.below_header {
                    Some(rows) if rows < rows_below_header(size) => rows,
                    _ => {
                        console.say(columns::header(&self.table.fields))?;
                        0
                    }
                };
                self.below_header = Some(rows + 1);
                console.say(self.line(probe))?;
            }
        }
        console.out.flush()
    }

    fn line(&self, probe: &FinishedProbe) -> String {
        let time = |time: Option<Duration>| {
            let time = time.filter(|time| !time.is_zero());
            time.map(|time| format!("{:.2}ms", milliseconds(time)))
                .unwrap_or_default()
        };
        self.table.line(&[
            seconds(probe.started, self.start),
            probe.interface.to_string(),
            probe.sequence.to_string(),
            time(probe.network_rtt),
            time(probe.rtt),
            time(probe.rtt_average),
            self.table.names.of(probe.target),
            time(probe.rtt_deviation),
        ])
    }
}

/// How long after `start` something was; less than nothing if it was before.
fn seconds(then: Time, start: Time) -> String {
    if then >= start {
        format!("{:.2}s", then.since(start).as_secs_f64())
    } else {
        format!("-{:.2}s", start.since(then).as_secs_f64())
    }
}

#[cfg(test)]
mod tests;
