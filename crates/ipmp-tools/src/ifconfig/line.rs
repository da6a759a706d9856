//! One line of `ifconfig`: words after an interface, carried out from left to right.
//!
//! Each word takes effect before the next one is looked at, so that an error leaves the effects of
//! the words before it. The one exception is `netmask`: the last one that belongs to an address is
//! applied together with it, so that no address passes through the mask of its class.
//!
//! [`Line::step`] does one word; what is to be printed comes back as a [`Note`]. The boot runs the
//! lines of its files through the same steps, and checks them by running them against a daemon that
//! only nods.

mod prefix;
mod whereabouts;

use std::net::{IpAddr, Ipv4Addr};

use ipmp_core::{Answer, Command, Family, InterfaceAddress, LogicalName, MacAddress, Refusal};

use super::address::{self, Unreadable};
use super::words::{self, Meaning, Word};
use super::{configinfo, listing};
use crate::daemon::{Environment, Failure};

/// A line that is being carried out.
#[derive(Debug)]
pub struct Line<'a> {
    words: &'a [String],
    /// The word that stands after the end of the line, where one does.
    after: Option<&'a str>,
    next: usize,
    family: Family,
    target: Target,
    /// What the next word acts on: the target, or what `addif` created.
    logical: LogicalName,
    /// How many addresses were given for it.
    addresses: usize,
    /// Its address, once given on this line.
    address: Option<IpAddr>,
    /// Whether `addif` created it.
    created: bool,
    /// Whether the daemon was told how hardware addresses are given.
    told_local_mac: bool,
    /// Whether an address that is there already is as good as configured.
    repeated: bool,
    /// Whether `up` waits until other hosts were asked.
    waits: bool,
}

/// The interface a line is about, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub logical: LogicalName,
    /// Whether its unit was written, be it `:0`.
    pub with_unit: bool,
}

impl Target {
    /// Reads `ge0` or `ge0:1`. Solaris calls `lo` `lo0`.
    pub fn parse(text: &str) -> Result<Self, ipmp_core::name::InvalidName> {
        let mut logical: LogicalName = text.parse()?;
        if logical.interface.as_str() == listing::LOOPBACK.0 {
            logical.interface = listing::LOOPBACK.1.parse()?;
        }
        Ok(Self {
            logical,
            with_unit: text.contains(':'),
        })
    }
}

/// Something to be told that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// For standard output: one line or several, without the last end of line.
    Result(String),
    /// For standard error, one line.
    Remark(String),
}

/// A word that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WordError {
    /// Which word of the line, counted from 0.
    pub position: usize,
    /// `what: interface: reason`.
    pub text: String,
}

/// Why a word was not carried out.
enum Cause {
    Reason(String),
    Daemon(Failure),
}

impl From<Failure> for Cause {
    fn from(failure: Failure) -> Self {
        Self::Daemon(failure)
    }
}

impl From<String> for Cause {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<&str> for Cause {
    fn from(reason: &str) -> Self {
        Self::Reason(reason.to_owned())
    }
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Self {
        Self::Daemon(Failure::Refused(refusal))
    }
}

type Done = Result<Option<Note>, Cause>;

impl<'a> Line<'a> {
    /// `words` to be carried out on `target`.
    pub fn new(target: Target, family: Family, words: &'a [String]) -> Self {
        Self {
            words,
            after: None,
            next: 0,
            family,
            logical: target.logical.clone(),
            target,
            addresses: 0,
            address: None,
            created: false,
            told_local_mac: false,
            repeated: false,
            waits: true,
        }
    }

    /// Tells which word the next line of the file begins with: a line may have been broken inside a
    /// word.
    #[must_use]
    pub fn before(self, after: Option<&'a str>) -> Self {
        Self { after, ..self }
    }

    /// Lets the line be carried out anew where it was before: an address that already belongs where
    /// the line puts it is no error, wherever it is now.
    #[must_use]
    pub fn repeated(self) -> Self {
        Self {
            repeated: true,
            ..self
        }
    }

    /// Has `up` not wait until other hosts were asked for the address: who has many lines waits for all
    /// of them together ([`Command::AwaitChecks`]).
    #[must_use]
    pub fn unchecked(self) -> Self {
        Self {
            waits: false,
            ..self
        }
    }

    /// Carries out the next word with its arguments; `None` at the end of the line. After an error
    /// the line may be gone on with, to find out what else is wrong with it.
    pub fn step(
        &mut self,
        environment: &mut Environment<'_>,
    ) -> Option<Result<Option<Note>, WordError>> {
        let position = self.next;
        let word = self.words.get(position)?;
        self.next += 1;
        let object = listing::display_name(&self.logical);
        let done = match words::find(word) {
            Some(known) => self.known(known, environment),
            None => self.address(word, environment),
        };
        Some(done.map_err(|cause| WordError {
            position,
            text: match cause {
                Cause::Daemon(failure @ (Failure::Unreachable(_) | Failure::NotRunning)) => {
                    failure.of_daemon()
                }
                Cause::Daemon(failure @ Failure::Refused(Refusal::NoSuchInterface)) => {
                    let hint = match word.as_str() {
                        "unplumb" => String::new(),
                        _ => super::to_plumb(&self.logical, self.family, environment),
                    };
                    format!("{word}: {object}: {failure}{hint}")
                }
                Cause::Daemon(failure) => format!("{word}: {object}: {failure}"),
                Cause::Reason(reason) => format!("{word}: {object}: {reason}"),
            },
        }))
    }

    fn known(&mut self, word: &Word, environment: &mut Environment<'_>) -> Done {
        let position = self.next.saturating_sub(1);
        let argument = if word.meaning.takes_argument() {
            let argument = self.words.get(self.next);
            self.next += 1;
            argument.ok_or_else(|| format!("no argument for {}", word.name))?
        } else {
            ""
        };
        if word.only.is_some_and(|only| only != self.family) {
            let family = family_word(self.family);
            return Err(format!("Operation {} not supported for {family}", word.name).into());
        }
        let interface = self.target.logical.interface.clone();
        let logical = self.logical.clone();
        let family = self.family;
        let command = match word.meaning {
            Meaning::Plumb => return self.plumb(environment),
            Meaning::Unplumb => {
                if self.target.with_unit && logical.unit == 0 {
                    return Err(Refusal::CannotRemovePhysical.into());
                }
                Command::Unplumb { logical, family }
            }
            Meaning::Set => {
                self.addresses = 0;
                return self.set_address(argument, position, environment);
            }
            Meaning::AddIf => return self.add_logical(argument, position, environment),
            Meaning::RemoveIf => Command::RemoveAddress {
                interface,
                address: self.parse(argument, environment)?.0,
            },
            Meaning::Flag(flag, on) => {
                let wait = self.waits;
                return self.change(environment, |logical| Command::SetFlag {
                    logical,
                    family,
                    flag,
                    on,
                    wait,
                });
            }
            Meaning::Netmask => return self.netmask(argument, environment),
            Meaning::Broadcast => {
                let broadcast = match argument {
                    "+" => None,
                    text => Some(text.parse().map_err(|_| {
                        format!("'{text}' is not an IPv4 address; '+' computes it")
                    })?),
                };
                return self.change(environment, |logical| Command::SetBroadcast {
                    logical,
                    broadcast,
                });
            }
            Meaning::Group => {
                if self.created || self.target.logical.unit != 0 {
                    return Err(Refusal::PhysicalOnly.into());
                }
                let group = match argument {
                    "" => None,
                    name => Some(name.parse().map_err(|error| format!("'{name}': {error}"))?),
                };
                Command::SetGroup { interface, group }
            }
            Meaning::Standby(on) => Command::SetStandby { interface, on },
            Meaning::Failed(on) => Command::SetFailed { interface, on },
            Meaning::Metric => {
                let metric = number(argument)?;
                return self.change(environment, |logical| Command::SetMetric {
                    logical,
                    family,
                    metric,
                });
            }
            Meaning::Mtu => Command::SetMtu {
                interface,
                mtu: number(argument)?,
            },
            Meaning::Ether => return self.ether(environment),
            Meaning::Configinfo => {
                let snapshot = environment.daemon.view()?;
                let line = configinfo::line(&snapshot, &logical, family)
                    .ok_or(Refusal::NoSuchInterface)?;
                return Ok(Some(Note::Result(line)));
            }
            Meaning::Nothing => return Ok(None),
            Meaning::Refused(arguments, reason) => {
                self.next += arguments;
                return Err(reason.into());
            }
        };
        environment.daemon.execute(command)?;
        Ok(None)
    }

    fn plumb(&mut self, environment: &mut Environment<'_>) -> Done {
        if let Some(local) = environment.etc.local_mac()
            && !self.told_local_mac
        {
            environment
                .daemon
                .execute(Command::SetLocalMac { local: Some(local) })?;
            self.told_local_mac = true;
        }
        let answer = environment.daemon.execute(Command::Plumb {
            logical: self.logical.clone(),
            family: self.family,
            absent: false,
        })?;
        Ok((answer == Answer::AlreadyExists).then(|| {
            let name = listing::display_name(&self.logical);
            Note::Remark(format!("plumb: {name}: already exists"))
        }))
    }

    /// A word that is none must be an address: the first is the logical's own, a second one the other
    /// end's.
    fn address(&mut self, word: &str, environment: &mut Environment<'_>) -> Done {
        let position = self.next.saturating_sub(1);
        if self.addresses > 0 {
            // A word that is mistyped is more likely than another address.
            self.parse(word, environment)?;
            return Err(
                "a second address is the other end of a point-to-point link, \
                 which cannot be in a group"
                    .into(),
            );
        }
        self.set_address(word, position, environment)
    }

    fn set_address(
        &mut self,
        text: &str,
        position: usize,
        environment: &mut Environment<'_>,
    ) -> Done {
        let is_first = self.address.is_none();
        let (ip, length) = self.parse(text, environment)?;
        self.addresses += 1;
        let prefix = self.prefix(ip, length, position, is_first, environment);
        let set = environment.daemon.execute(Command::SetAddress {
            logical: self.logical.clone(),
            address: InterfaceAddress::new(ip, prefix),
        });
        let home = self.logical.clone();
        self.unless_there(set, environment, |there| *there == home)?;
        self.address = Some(ip);
        Ok(None)
    }

    fn add_logical(
        &mut self,
        text: &str,
        position: usize,
        environment: &mut Environment<'_>,
    ) -> Done {
        if self.target.logical.unit != 0 {
            return Err(Refusal::PhysicalOnly.into());
        }
        // Words that follow belong to the new logical, be it created or not.
        self.addresses = 1;
        let (ip, length) = self.parse(text, environment)?;
        let prefix = self.prefix(ip, length, position, false, environment);
        let interface = self.target.logical.interface.clone();
        let added = environment.daemon.execute(Command::AddLogical {
            interface: interface.clone(),
            address: InterfaceAddress::new(ip, prefix),
        });
        let answer = self.unless_there(added, environment, |there| there.interface == interface)?;
        self.address = Some(ip);
        self.created = true;
        let logical = match answer {
            Answer::Created(logical) => logical,
            Answer::AlreadyExists => return Ok(None),
            // Never go on with the words of another logical.
            Answer::Done => {
                let reason = "the daemon does not say which logical it created";
                return Err(Failure::Unreachable(reason.to_owned()).into());
            }
        };
        let note = format!(
            "Created new logical interface {}",
            listing::display_name(&logical)
        );
        self.logical = logical;
        Ok(Some(Note::Result(note)))
    }

    fn netmask(&mut self, argument: &str, environment: &mut Environment<'_>) -> Done {
        let (prefix, note) = if argument == "+" {
            let Some(IpAddr::V4(ip)) = self.current_address(environment) else {
                return Ok(None);
            };
            let Some(prefix) = environment.etc.netmask_of(ip) else {
                return Ok(None);
            };
            let mask = InterfaceAddress::new(ip.into(), prefix)
                .netmask()
                .unwrap_or(Ipv4Addr::UNSPECIFIED);
            let name = listing::display_name(&self.logical);
            let note = format!("Setting netmask of {name} to {mask}");
            (prefix, Some(Note::Result(note)))
        } else {
            let prefix = address::parse_netmask(argument)
                .ok_or_else(|| format!("'{argument}' is not a netmask"))?;
            (prefix, None)
        };
        let family = self.family;
        self.change(environment, |logical| Command::SetPrefix {
            logical,
            family,
            prefix,
        })?;
        Ok(note)
    }

    fn ether(&mut self, environment: &mut Environment<'_>) -> Done {
        let argument = self.words.get(self.next).map(String::as_str);
        let interface = self.target.logical.interface.clone();
        let Some(mac) = argument.filter(|text| words::find(text).is_none()) else {
            let snapshot = environment.daemon.view()?;
            let (on, _) = listing::find(&snapshot, &self.logical, self.family)
                .ok_or(Refusal::NoSuchInterface)?;
            return Ok(listing::ether(on).map(Note::Result));
        };
        self.next += 1;
        let mac: MacAddress = mac.parse().map_err(|error| format!("'{mac}' is {error}"))?;
        environment
            .daemon
            .execute(Command::SetMac { interface, mac })?;
        Ok(None)
    }

    fn parse(
        &self,
        text: &str,
        environment: &Environment<'_>,
    ) -> Result<(IpAddr, Option<u8>), String> {
        address::parse(text, self.family, environment.etc).map_err(|unreadable| match unreadable {
            Unreadable::Reason(reason) => reason,
            Unreadable::NoAddress => {
                let following = self
                    .words
                    .get(self.next)
                    .map(String::as_str)
                    .or(self.after)
                    .unwrap_or_default();
                let whole = format!("{text}{following}");
                let hint = if !text.is_empty() && words::find(&whole).is_some() {
                    format!("; did you mean '{whole}'?")
                } else {
                    String::new()
                };
                format!("'{text}' is neither a subcommand nor an address{hint}")
            }
        })
    }
}

/// How `family` is named on the command line.
pub(super) const fn family_word(family: Family) -> &'static str {
    match family {
        Family::Inet => "inet",
        Family::Inet6 => "inet6",
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is not a number"))
}
