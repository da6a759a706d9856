//! The daemon, seen from outside.

use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::bed::Bed;

/// What the kernel counts processor time in: `USER_HZ`, 100 everywhere.
const TICK: Duration = Duration::from_millis(10);

/// As long as this, no processor time is used by a daemon that has nothing to do but probe now and
/// then.
const CALM: Duration = Duration::from_millis(300);

/// The longest that anything here may take.
const LIMIT: Duration = Duration::from_mins(10);

/// The daemon of host1.
pub(crate) struct Daemon<'b> {
    bed: &'b Bed,
    pid: i32,
}

impl<'b> Daemon<'b> {
    pub(crate) fn of(bed: &'b Bed) -> Result<Self, Failed> {
        let pids = bed.host1.pids_of("in.mpathd")?;
        let pid = *pids.first().ok_or("no daemon")?;
        Ok(Self { bed, pid })
    }

    /// The processor time it has used so far, in steps of 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration, Failed> {
        let stat = self
            .bed
            .host1
            .read_file(&format!("/proc/{}/stat", self.pid))?;
        // The name, in brackets, may have spaces in it. Behind it: state, ..., utime, stime.
        let (_, rest) = stat.rsplit_once(')').ok_or("no name")?;
        let ticks = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u32>)
            .sum::<Result<u32, _>>()?;
        Ok(TICK * ticks)
    }

    /// Waits until it uses no more processor time; since when.
    pub(crate) fn calms_down(&self) -> Result<Instant, Failed> {
        let start = Instant::now();
        let mut since = start;
        let mut last = self.cpu()?;
        while since.elapsed() < CALM {
            if start.elapsed() > LIMIT {
                return Err("the daemon does not calm down".into());
            }
            sleep(TICK);
            let now = self.cpu()?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(since)
    }
}
