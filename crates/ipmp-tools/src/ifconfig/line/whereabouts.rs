//! Where the logical is by now that a line is about: it may have gone to another member of its group since the
//! word before, as its interface does not work.

use std::net::IpAddr;

use ipmp_core::snapshot::Logical;
use ipmp_core::{Answer, Command, LogicalName, Refusal, Snapshot};

use super::{Cause, Done, Line};
use crate::daemon::{Environment, Failure};
use crate::ifconfig::listing;

impl Line<'_> {
    /// Has the line's logical changed: by its name, or where it is if that is not its name any more. Which of
    /// both is asked anew for each word, as it may come back.
    pub(super) fn change(
        &self,
        environment: &mut Environment<'_>,
        command: impl Fn(LogicalName) -> Command,
    ) -> Done {
        let done = environment.daemon.execute(command(self.logical.clone()));
        if let Err(Failure::Refused(Refusal::Placeholder | Refusal::NoSuchInterface)) = &done {
            let snapshot = environment.daemon.view()?;
            let meant = self.meant(&snapshot);
            if let Some(there) = meant.filter(|there| there.name != self.logical) {
                environment.daemon.execute(command(there.name.clone()))?;
                return Ok(None);
            }
        }
        done?;
        Ok(None)
    }

    /// What the line is about, wherever it is: what has the address that was given on it. On a line that is
    /// repeated it is what belongs to the interface, too: it may have gone before.
    fn meant<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s Logical> {
        let belongs_here =
            |there: &Logical| there.home == self.logical && there.address.family() == self.family;
        let mut logicals = snapshot.interfaces.iter().flat_map(|on| &on.logicals);
        logicals.find(|there| {
            !there.placeholder
                && match self.address.filter(|ip| !ip.is_unspecified()) {
                    Some(ip) => there.address.ip == ip,
                    None => self.repeated && belongs_here(there),
                }
        })
    }

    /// What the daemon answered, unless it refused an address that is there already and belongs
    /// there: then that logical is the one to go on with.
    pub(super) fn unless_there(
        &mut self,
        answer: Result<Answer, Failure>,
        environment: &mut Environment<'_>,
        belongs: impl Fn(&LogicalName) -> bool,
    ) -> Result<Answer, Cause> {
        let Err(Failure::Refused(Refusal::AddressInUse(place))) = &answer else {
            return Ok(answer?);
        };
        if !self.repeated {
            return Ok(answer?);
        }
        let snapshot = environment.daemon.view()?;
        match listing::find(&snapshot, place, self.family) {
            Some((_, there)) if belongs(&there.home) => {
                self.logical = there.home.clone();
                Ok(Answer::AlreadyExists)
            }
            _ => Ok(answer?),
        }
    }

    /// The logical's IPv4 address as it is now.
    pub(super) fn current_address(&self, environment: &mut Environment<'_>) -> Option<IpAddr> {
        let known = self.address.or_else(|| {
            let snapshot = environment.daemon.view().ok()?;
            let named = || Some(listing::find(&snapshot, &self.logical, self.family)?.1);
            self.meant(&snapshot)
                .or_else(named)
                .map(|there| there.address.ip)
        });
        known.filter(|ip| !ip.is_unspecified())
    }
}
