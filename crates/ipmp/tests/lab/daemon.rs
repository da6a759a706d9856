//! The daemon, seen from outside.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::bed::Bed;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What a daemon may use from one look to the next that has nothing to do but probe and ask links for
/// their carrier now and then.
const LITTLE: Duration = Duration::from_millis(3);

/// It has calmed down if it used no more for so long.
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

    /// The processor time that its threads have used so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failed> {
        let tasks = format!("/proc/{}/task", self.pid);
        self.bed.host1.enter(|| -> Result<Duration, Failed> {
            let mut used = Duration::ZERO;
            for task in fs::read_dir(tasks)? {
                // Nanoseconds on a processor, nanoseconds waiting for one, time slices.
                let text = fs::read_to_string(task?.path().join("schedstat"))?;
                let first = text.split_whitespace().next().ok_or("no processor time")?;
                used += Duration::from_nanos(first.parse()?);
            }
            Ok(used)
        })?
    }

    /// The part of a processor that it uses `within` that time, in percent.
    pub(crate) fn percent(&self, within: Duration) -> Result<f64, Failed> {
        let (start, before) = (Instant::now(), self.cpu()?);
        sleep(within);
        let used = self.cpu()?.saturating_sub(before);
        Ok(100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64())
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
            sleep(LOOK);
            let now = self.cpu()?;
            if now > last + LITTLE {
                since = Instant::now();
            }
            last = now;
        }
        Ok(since)
    }
}
