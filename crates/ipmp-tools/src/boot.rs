//! `ipmp boot`: configures the host from the files in `/etc`, as Solaris does at boot; `ipmp check`
//! only says what is wrong with them, and with the daemon's settings.
//!
//! 1. All files are checked. One with an error is left out whole, the others go on.
//! 2. Interfaces are plumbed, IPv4 first; those that are not there are plumbed all the same, and
//!    the daemon lends their data addresses to other members of their group until they appear.
//! 3. Each is configured from its file, word by word as `ifconfig` would. What a boot before this
//!    one configured stays.
//! 4. When other hosts were asked for all addresses, it is told which ones they have.
//! 5. What became of the addresses of missing interfaces is told.
//! 6. Default routes go to the routers in `/etc/defaultrouter`.
//!
//! A daemon that is killed meanwhile is followed by another, which finishes what that one had begun and is
//! asked what that one had not answered. To wait for the checks comes behind all changes, so that the
//! daemon that answers it has brought everything up.

mod check;
mod files;
mod lint;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use files::{Found, HostnameFile, Problem};
use ipmp_core::snapshot::{Interface, Logical};
use ipmp_core::{Command, Family, Flags, InterfaceName, LogicalName, Refusal, Snapshot};

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Daemon, Environment, Failure};
use crate::etc::Etc;
use crate::ifconfig::{Line, Target, display_name};

const TOOL: &str = "ipmp";

const BOOT_USAGE: &str = "\
usage: ipmp boot [--root DIR] [--check]
  Configures interfaces from /etc/hostname.IF and /etc/hostname6.IF, with
  /etc/netmasks, /etc/hosts and /etc/defaultrouter.
  --root DIR    the files are below DIR
  --check       only say what is wrong with them
Examples:
  ipmp boot --check
  ipmp boot
";

const CHECK_USAGE: &str = "\
usage: ipmp check [--root DIR]
  Says what is wrong with /etc/hostname.IF, /etc/hostname6.IF, /etc/netmasks,
  /etc/defaultrouter, /etc/default/mpathd and /etc/ipmp.toml, and lists what
  holds for each group; changes nothing.
  --root DIR    the files are below DIR
Examples:
  ipmp check
  ipmp check --root /mnt
";

/// What `ipmp check` says of a hostname file for `ge0` in which this stands: a door for the fuzz targets.
#[doc(hidden)]
pub fn check_text(text: &str, family: Family, etc: &Etc) -> Vec<String> {
    let Ok(target) = Target::parse("ge0") else {
        return Vec::new();
    };
    let files = [HostnameFile {
        path: etc.path("hostname.ge0"),
        target,
        family,
        calls: files::calls(text, family),
    }];
    let mut said: Vec<String> = lint::errors(&files, etc)
        .iter()
        .map(ToString::to_string)
        .collect();
    said.extend(lint::warnings(&files, etc).iter().map(ToString::to_string));
    said.extend(lint::groups(&files, etc).iter().map(ToString::to_string));
    said
}

/// What the boot does to the host.
pub trait Host: Daemon {
    /// Installs a default route through a gateway on a link, unless there is one already.
    fn add_default_route(&mut self, index: u32, gateway: IpAddr) -> Result<(), String>;
}

/// Runs `ipmp boot` with `arguments`, the verb not among them.
pub fn run(arguments: &[String], host: &mut dyn Host, console: &mut Console<'_>) -> u8 {
    let result = match Options::parse(arguments) {
        Some(Options { help: true, .. }) => return console.help(TOOL, BOOT_USAGE),
        Some(options) if options.check => check::files(&options.root, console),
        Some(options) => Ok(boot(&Etc::below(&options.root), host, console)),
        None => Ok(console.misused(arguments, BOOT_USAGE)),
    };
    console.finish(TOOL, result)
}

/// Runs `ipmp check` with `arguments`, the verb not among them.
pub fn check(arguments: &[String], console: &mut Console<'_>) -> u8 {
    let result = match Options::parse(arguments) {
        Some(Options { help: true, .. }) => return console.help(TOOL, CHECK_USAGE),
        Some(options) => check::files(&options.root, console),
        None => Ok(console.misused(arguments, CHECK_USAGE)),
    };
    console.finish(TOOL, result)
}

struct Options {
    root: PathBuf,
    check: bool,
    help: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Option<Self> {
        let mut options = Self {
            root: Path::new("/").to_owned(),
            check: false,
            help: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--check" => options.check = true,
                "--help" => options.help = true,
                "--root" => options.root = arguments.next()?.into(),
                other => options.root = other.strip_prefix("--root=")?.into(),
            }
        }
        Some(options)
    }
}

/// A boot under way.
struct Boot<'a, 'b> {
    etc: &'a Etc,
    host: &'a mut dyn Host,
    console: &'a mut Console<'b>,
    failed: bool,
}

fn boot(etc: &Etc, host: &mut dyn Host, console: &mut Console<'_>) -> u8 {
    let Found {
        files, problems, ..
    } = files::find(etc);
    let mut boot = Boot {
        etc,
        host,
        console,
        failed: false,
    };
    for problem in &problems {
        boot.complain(problem);
    }
    let errors = lint::errors(&files, etc);
    for problem in &errors {
        boot.complain(problem);
    }
    let (unsound, sound): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|file| errors.iter().any(|problem| problem.path == file.path));
    if sound.is_empty() && unsound.is_empty() {
        return boot.end();
    }
    if let Err(failure) = boot.configure(&sound, &unsound) {
        boot.complain(failure.of_daemon());
    }
    boot.end()
}

impl Boot<'_, '_> {
    fn complain(&mut self, what: impl std::fmt::Display) {
        self.failed = true;
        self.console.complain(format_args!("{TOOL}: {what}"));
    }

    /// Tells how it goes. That nobody reads it must not leave the host half configured.
    fn tell(&mut self, line: impl std::fmt::Display) {
        let _ = self.console.say(line);
    }

    fn end(&self) -> u8 {
        if self.failed { FAILED } else { OK }
    }

    /// Does everything that needs the daemon; fails when that cannot be asked.
    fn configure(
        &mut self,
        sound: &[HostnameFile],
        unsound: &[HostnameFile],
    ) -> Result<(), Failure> {
        if let Some(local) = self.etc.local_mac() {
            let command = Command::SetLocalMac { local: Some(local) };
            self.host.execute(command)?;
        }
        let mut plumbed = Vec::new();
        for family in Family::ALL {
            let mut failed = Vec::new();
            for file in sound.iter().filter(|file| file.family == family) {
                if self.plumb(file)? {
                    plumbed.push(file);
                } else {
                    failed.push(display_name(&file.target.logical));
                }
            }
            self.tell_failed("plumb", family, &failed);
        }
        for family in Family::ALL {
            self.configure_family(family, &plumbed, unsound)?;
        }
        self.host.execute(Command::AwaitChecks)?;
        let snapshot = self.host.snapshot()?;
        self.tell_taken(&snapshot);
        for family in Family::ALL {
            self.tell_missing(family, &plumbed, &snapshot);
        }
        self.route(&snapshot);
        Ok(())
    }

    /// Plumbs the interface of `file`; whether that worked.
    fn plumb(&mut self, file: &HostnameFile) -> Result<bool, Failure> {
        let logical = file.target.logical.clone();
        let name = display_name(&logical);
        let command = Command::Plumb {
            logical,
            family: file.family,
            absent: true,
        };
        match self.host.execute(command) {
            Ok(_) => Ok(true),
            Err(Failure::Refused(refusal)) => {
                self.complain(format_args!("plumb: {name}: {refusal}"));
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    fn configure_family(
        &mut self,
        family: Family,
        plumbed: &[&HostnameFile],
        unsound: &[HostnameFile],
    ) -> Result<(), Failure> {
        let snapshot = self.host.snapshot()?;
        let of_family = || plumbed.iter().filter(|file| file.family == family);
        let present: Vec<String> = of_family()
            .filter(|file| is_present(&snapshot, &file.target.logical.interface))
            .map(|file| display_name(&file.target.logical))
            .collect();
        if !present.is_empty() {
            let names = present.join(" ");
            self.tell(format_args!("configuring {family} interfaces: {names}."));
        }
        let mut failed: Vec<String> = unsound
            .iter()
            .filter(|file| file.family == family)
            .map(|file| display_name(&file.target.logical))
            .collect();
        for file in of_family() {
            if let Err(problem) = self.words(file) {
                self.complain(problem);
                failed.push(display_name(&file.target.logical));
            }
        }
        failed.sort();
        self.tell_failed("configure", family, &failed);
        Ok(())
    }

    /// Carries out the words of `file` up to the first that fails.
    fn words(&mut self, file: &HostnameFile) -> Result<(), Problem> {
        for call in &file.calls {
            let line = Line::new(file.target.clone(), file.family, &call.words);
            let mut line = line.repeated().unchecked();
            let mut environment = Environment {
                daemon: &mut *self.host,
                etc: self.etc,
                privileged: false,
            };
            // What the words print is not told at boot.
            while let Some(step) = line.step(&mut environment) {
                step.map_err(|error| Problem {
                    path: file.path.clone(),
                    line: Some(call.line_of(error.position)),
                    reason: error.text,
                })?;
            }
        }
        Ok(())
    }

    fn tell_failed(&mut self, verb: &str, family: Family, names: &[String]) {
        if !names.is_empty() {
            self.failed = true;
            let names = names.join(" ");
            self.console.complain(format_args!(
                "Failed to {verb} {family} interface(s): {names}"
            ));
        }
    }

    /// Tells which addresses are not brought up as another host has them.
    fn tell_taken(&mut self, snapshot: &Snapshot) {
        let conflicts = snapshot.conflicts.iter();
        for conflict in conflicts.filter(|conflict| conflict.withheld) {
            let mut logicals = logicals(snapshot);
            let on = logicals.find(|(_, logical)| logical.address.ip == conflict.address);
            let on = on.map_or(
                LogicalName::new(conflict.interface.clone(), 0),
                |(_, logical)| logical.name.clone(),
            );
            let name = display_name(&on);
            let refusal = Refusal::Taken {
                address: conflict.address,
                mac: conflict.mac,
                interface: conflict.interface.clone(),
                kept: None,
            };
            self.complain(format_args!("up: {name}: {refusal}"));
        }
    }

    /// Tells where the addresses of interfaces are that are not there.
    fn tell_missing(&mut self, family: Family, plumbed: &[&HostnameFile], snapshot: &Snapshot) {
        let mut missing: Vec<&InterfaceName> = plumbed
            .iter()
            .filter(|file| file.family == family)
            .map(|file| &file.target.logical.interface)
            .filter(|name| !is_present(snapshot, name))
            .collect();
        missing.dedup();
        if missing.is_empty() {
            return;
        }
        let told: Vec<String> = missing
            .into_iter()
            .map(|name| format!("{name} ({})", self.whereabouts(name, family, snapshot)))
            .collect();
        let told = told.join(" ");
        self.tell(format_args!(
            "moving addresses from failed {family} interfaces: {told}."
        ));
    }

    fn whereabouts(&mut self, name: &InterfaceName, family: Family, snapshot: &Snapshot) -> String {
        let places: Vec<&LogicalName> = logicals(snapshot)
            .map(|(_, logical)| logical)
            .filter(|logical| logical.home.interface == *name)
            .filter(|logical| logical.address.family() == family && logical.is_data())
            // What no line brings up is nowhere.
            .filter(|logical| !logical.set_down)
            .map(|logical| &logical.name)
            .collect();
        let mut moved: Vec<&str> = Vec::new();
        for place in &places {
            let place = place.interface.as_str();
            if place != name.as_str() && !moved.contains(&place) {
                moved.push(place);
            }
        }
        if places.is_empty() {
            "nothing to move".to_owned()
        } else if places.iter().any(|place| place.interface == *name) {
            self.failed = true;
            "couldn't move, no alternative interface".to_owned()
        } else {
            format!("moved to {}", moved.join(" "))
        }
    }

    /// Installs default routes. The first router in the file is to stand in front.
    fn route(&mut self, snapshot: &Snapshot) {
        let mut routers = self.etc.default_routers();
        routers.reverse();
        for (line, router) in routers {
            let done = router
                .map_err(|word| format!("'{word}' is neither an address nor in /etc/hosts"))
                .and_then(|router| {
                    let index = link_to(snapshot, router)
                        .ok_or_else(|| format!("{router}: on no interface's subnet"))?;
                    self.host
                        .add_default_route(index, router)
                        .map_err(|reason| format!("{router}: {reason}"))
                });
            if let Err(reason) = done {
                self.complain(Problem {
                    path: self.etc.path("defaultrouter"),
                    line: Some(line),
                    reason,
                });
            }
        }
    }
}

fn is_present(snapshot: &Snapshot, name: &InterfaceName) -> bool {
    let mut interfaces = snapshot.interfaces.iter();
    interfaces.any(|interface| interface.name == *name && interface.index.is_some())
}

fn logicals(snapshot: &Snapshot) -> impl Iterator<Item = (&Interface, &Logical)> {
    snapshot
        .interfaces
        .iter()
        .flat_map(|interface| interface.logicals.iter().map(move |l| (interface, l)))
}

/// The link with an address on the subnet of `router`, one of data if there is one.
fn link_to(snapshot: &Snapshot, router: IpAddr) -> Option<u32> {
    let mut on_subnet: Vec<_> = logicals(snapshot)
        .filter(|(_, logical)| {
            logical.flags.contains(Flags::UP)
                && !logical.address.ip.is_unspecified()
                && logical.address.contains(router)
        })
        .filter_map(|(interface, logical)| Some((interface.index?, logical)))
        .collect();
    on_subnet.sort_by_key(|(_, logical)| logical.flags.contains(Flags::NOFAILOVER));
    on_subnet.first().map(|(index, _)| *index)
}

#[cfg(test)]
mod tests;
