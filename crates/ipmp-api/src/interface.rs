//! The varlink interface `org.ipmp`: names of methods and errors, and the values they carry.

use std::net::IpAddr;
use std::time::Duration;

use ipmp_core::time::{optional_milliseconds, time_in_milliseconds};
use ipmp_core::{Answer, Command, InterfaceName, Record, Refusal, Snapshot, Time};
use serde::{Deserialize, Serialize};

/// The interface's name.
pub const NAME: &str = "org.ipmp";
/// The interface's description in varlink's language.
pub const DESCRIPTION: &str = include_str!("org.ipmp.varlink");
/// Name of the interface every varlink service has.
pub const SERVICE: &str = "org.varlink.service";

/// Method: is it there? Answers [`Pong`].
pub const PING: &str = "org.ipmp.Ping";
/// Method: everything there is to see. Answers [`Seen`].
pub const SNAPSHOT: &str = "org.ipmp.Snapshot";
/// Method: change something. Takes [`Execute`], answers [`Executed`] or the error [`REFUSED`].
pub const EXECUTE: &str = "org.ipmp.Execute";
/// Method: what changed. Takes [`EventsAfter`], answers [`Events`]: once, or with `more` again and
/// again, whenever something changes.
pub const EVENTS: &str = "org.ipmp.Events";
/// Method: what became of each probe, as soon as it is known. To be called with `more`; answers
/// [`Probes`] again and again. Only root may ask.
pub const PROBES: &str = "org.ipmp.Probes";
/// Method: who is this? Answers [`Info`].
pub const GET_INFO: &str = "org.varlink.service.GetInfo";
/// Method: an interface's description. Takes [`DescriptionOf`], answers [`Description`].
pub const GET_DESCRIPTION: &str = "org.varlink.service.GetInterfaceDescription";

/// Error: the command was not carried out. Carries [`Refused`].
pub const REFUSED: &str = "org.ipmp.Refused";
/// Error: too many clients, or too many that follow events or probes.
pub const BUSY: &str = "org.ipmp.Busy";
/// Error: only root may ask that.
pub const PERMISSION_DENIED: &str = "org.varlink.service.PermissionDenied";
/// Error: the method answers again and again, and has to be called with `more`.
pub const EXPECTED_MORE: &str = "org.varlink.service.ExpectedMore";
/// Error: there is no such method. Carries its name as `method`.
pub const METHOD_NOT_FOUND: &str = "org.varlink.service.MethodNotFound";
/// Error: there is no such interface. Carries its name as `interface`.
pub const INTERFACE_NOT_FOUND: &str = "org.varlink.service.InterfaceNotFound";
/// Error: the parameters are not the method's. Carries the complaint as `parameter`.
pub const INVALID_PARAMETER: &str = "org.varlink.service.InvalidParameter";

/// What [`PING`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
}

/// What [`SNAPSHOT`] answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Everything.
    pub snapshot: Snapshot,
}

/// What [`EVENTS`] takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsAfter {
    /// Only what came after the event of this number; without it, all that are remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// What [`EVENTS`] answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Events {
    /// Oldest first. The first reply may be without any.
    pub events: Vec<Event>,
}

/// Something that changed, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: one more than that of the event before it. The first of a daemon has number 1.
    pub sequence: u64,
    /// When, in UTC (RFC 3339), to the microsecond.
    pub time: String,
    /// When, in milliseconds on the host's clock that never goes backwards (`CLOCK_MONOTONIC`).
    pub monotonic_ms: f64,
    /// What, as a sentence.
    pub text: String,
    /// What, for programs.
    #[serde(flatten)]
    pub record: Record,
}

/// What [`PROBES`] answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// In the order in which they were answered or found to be lost. The first reply is without any.
    pub probes: Vec<FinishedProbe>,
}

/// A probe to a target that was answered, or was not in time. One that is answered after it was given
/// up comes twice: lost, then answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishedProbe {
    /// When it was started, in UTC (RFC 3339), to the microsecond.
    pub time: String,
    /// The same on the host's clock that never goes backwards (`CLOCK_MONOTONIC`).
    #[serde(rename = "monotonic_ms", with = "time_in_milliseconds")]
    pub started: Time,
    /// Name of the link it was sent on.
    pub interface: InterfaceName,
    /// Whom it was for.
    pub target: IpAddr,
    /// What was sent.
    pub kind: ProbeKind,
    /// Its number among the probes of its interface and family, and that of an echo request on the wire;
    /// starts again at 0 after 65535.
    pub sequence: u16,
    /// Whether it was answered.
    pub answered: bool,
    /// From when it was handed to the kernel to when the kernel took the answer off the link; `None` if
    /// it was lost.
    #[serde(rename = "network_rtt_ms", with = "optional_milliseconds")]
    pub network_rtt: Option<Duration>,
    /// From its start to when the daemon had made something of the answer; `None` if it was lost.
    #[serde(rename = "rtt_ms", with = "optional_milliseconds")]
    pub rtt: Option<Duration>,
    /// Smoothed round trip time of the target, this answer included; `None` until it is measured.
    #[serde(rename = "rtt_average_ms", with = "optional_milliseconds")]
    pub rtt_average: Option<Duration>,
    /// Smoothed mean deviation of it.
    #[serde(rename = "rtt_deviation_ms", with = "optional_milliseconds")]
    pub rtt_deviation: Option<Duration>,
}

/// What a probe is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// An ICMP or `ICMPv6` echo request.
    Echo,
    /// An ARP request or a neighbour solicitation.
    Solicitation,
}

/// What [`EXECUTE`] takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execute {
    /// The change.
    pub command: Command,
}

/// What [`EXECUTE`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// What came of it.
    pub answer: Answer,
}

/// What the error [`REFUSED`] carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why, for programs.
    pub refusal: Refusal,
    /// Why, for people.
    pub reason: String,
}

/// What [`GET_INFO`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Who made it.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// Which version.
    pub version: String,
    /// Where to read on.
    pub url: String,
    /// Its interfaces.
    pub interfaces: Vec<String>,
}

impl Info {
    /// This version of the daemon.
    pub fn of_this_version() -> Self {
        Self {
            vendor: "IPMP for Linux".into(),
            product: "in.mpathd".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            url: String::new(),
            interfaces: vec![SERVICE.into(), NAME.into()],
        }
    }
}

/// What [`GET_DESCRIPTION`] takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptionOf {
    /// Name of an interface.
    pub interface: String,
}

/// What [`GET_DESCRIPTION`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The interface in varlink's language.
    pub description: String,
}

/// The description of every varlink service's own interface.
pub const SERVICE_DESCRIPTION: &str = include_str!("org.varlink.service.varlink");

#[cfg(test)]
mod tests;
