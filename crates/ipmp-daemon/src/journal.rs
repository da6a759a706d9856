//! What the journal gets besides the words: why, of which kind, and about what.
//!
//! A message of the engine has the wording that administrators have rules for; its cause stands in the
//! record of the same moment. Records that no message tells of become entries of the journal of their
//! own, there and nowhere else: in syslog they would be new lines among the ones that are known.
//! `docs/messages.md` lists kinds and fields.

use std::collections::BTreeMap;

use ipmp_core::message::Message;
use ipmp_core::record::Cause;
use ipmp_core::{Action, GroupName, InterfaceName, Record};

/// Fields of an entry, beside what every entry has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// `MESSAGE_ID`: which kind of message, for ever.
    pub(crate) id: &'static str,
    /// `IPMP_INTERFACE`.
    pub(crate) interface: Option<String>,
    /// `IPMP_GROUP`.
    pub(crate) group: Option<String>,
    /// `IPMP_CAUSE`, the word that stands in JSON.
    pub(crate) cause: Option<&'static str>,
    /// `IPMP_ADDRESS`.
    pub(crate) address: Option<String>,
}

/// Why each interface is in the state it is in, and its group: moves are told when all addresses are in
/// place, a while after their reason.
#[derive(Debug, Default)]
pub(crate) struct Causes(BTreeMap<InterfaceName, (Option<GroupName>, Cause)>);

impl Causes {
    /// Takes note of the records among what the engine wants.
    pub(crate) fn note(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::Record(Record::Interface {
                interface,
                group,
                to,
                cause,
                ..
            }) = action
            {
                match to {
                    Some(_) => self.0.insert(interface.clone(), (group.clone(), *cause)),
                    None => self.0.remove(interface),
                };
            }
        }
    }

    /// Those of the interface whose change of state made addresses move.
    fn of_move(&self, message: &Message) -> Option<&(Option<GroupName>, Cause)> {
        match message {
            Message::FailedOver {
                from: interface, ..
            }
            | Message::FailedBack { to: interface } => self.0.get(interface),
            _ => None,
        }
    }
}

/// An entry that only the journal gets: an outage that is over, or a change of state that no message
/// tells of.
pub(crate) fn entry(record: &Record, actions: &[Action]) -> Option<Fields> {
    let messages = || {
        actions.iter().filter_map(|action| match action {
            Action::Log(message) => Some(message),
            _ => None,
        })
    };
    let id = match record {
        Record::Outage(_) => OUTAGE,
        Record::Interface { interface, .. }
            if !messages().any(|message| is_turn_of(message, interface.as_str())) =>
        {
            INTERFACE
        }
        Record::Group { group, .. }
            if !messages().any(|message| match message {
                Message::GroupFailed { group: told }
                | Message::GroupRepaired { group: told, .. } => told == group,
                _ => false,
            }) =>
        {
            GROUP
        }
        _ => return None,
    };
    Some(Fields {
        id,
        interface: record.interface().map(ToString::to_string),
        group: record.group().map(ToString::to_string),
        cause: cause_of(record).map(Cause::as_str),
        address: None,
    })
}

fn is_turn_of(message: &Message, name: &str) -> bool {
    match message {
        Message::NicFailed { interface, .. } | Message::NicRepaired { interface, .. } => {
            interface.as_str() == name
        }
        _ => false,
    }
}

/// The fields of a message; `actions` are those of the same moment, the records among them.
pub(crate) fn fields(message: &Message, actions: &[Action], causes: &Causes) -> Fields {
    // Its members by name, as they are written down in recordings.
    let value = serde_json::to_value(message).unwrap_or_default();
    let members = value.as_object().and_then(|kinds| kinds.values().next());
    let member = |name: &str| {
        let text = members.and_then(|members| members.get(name)?.as_str());
        text.map(str::to_owned)
    };
    let records = || {
        actions.iter().filter_map(|action| match action {
            Action::Record(record) => Some(record),
            _ => None,
        })
    };
    let about = records().find(|record| is_about(record, message));
    let before = causes.of_move(message);
    let group = about.and_then(Record::group);
    let group = group.or_else(|| before.and_then(|(group, _)| group.as_ref()));
    let cause = about.and_then(cause_of);
    Fields {
        id: id(message),
        interface: member("interface").or_else(|| member("from").or_else(|| member("to"))),
        group: member("group").or_else(|| group.map(ToString::to_string)),
        cause: cause
            .or_else(|| before.map(|(_, cause)| *cause))
            .map(Cause::as_str),
        address: member("address"),
    }
}

/// Whether a record has the cause of what a message tells.
fn is_about(record: &Record, message: &Message) -> bool {
    match (message, record) {
        (
            Message::NicFailed { interface, .. }
            | Message::NicRepaired { interface, .. }
            | Message::DuplicateMac { interface, .. }
            | Message::UniqueMac { interface }
            | Message::InterfaceRemoved { interface },
            Record::Interface {
                interface: told, ..
            },
        )
        | (
            Message::LinkDown { interface } | Message::LinkUp { interface },
            Record::Link {
                interface: told, ..
            },
        ) => told == interface,
        (
            Message::GroupFailed { group } | Message::GroupRepaired { group, .. },
            Record::Group { group: told, .. },
        ) => told == group,
        (Message::Moved { address, .. }, Record::Address { address: told, .. })
        | (
            Message::AddressTaken { address, .. }
            | Message::AddressFree { address }
            | Message::AddressClaimed { address, .. }
            | Message::AddressUnclaimed { address },
            Record::Conflict { address: told, .. },
        ) => told == address,
        _ => false,
    }
}

/// The cause that stands in a record.
const fn cause_of(record: &Record) -> Option<Cause> {
    match record {
        Record::Interface { cause, .. } | Record::Address { cause, .. } => Some(*cause),
        Record::Group { cause, .. } => *cause,
        Record::Outage(outage) => Some(outage.cause),
        Record::Link { .. }
        | Record::Contest { .. }
        | Record::Conflict { .. }
        | Record::Message { .. } => None,
    }
}

/// An outage is over.
const OUTAGE: &str = "7115b055c1144392ba7fc5c5129ad3cb";
/// An interface changed its state otherwise than by failure and repair.
const INTERFACE: &str = "e4cb6b226a0d49ae8f11f8334772f9c7";
/// A group changed its state otherwise than by failure and repair.
const GROUP: &str = "8e8f14d0fbe44811945ac6935dc40aea";

/// The identity of each kind of message: numbers out of a hat, which stay what they are.
const fn id(message: &Message) -> &'static str {
    match message {
        Message::NicFailed { .. } => "0043e66253ad49d1a90163128c8e5bdd",
        Message::NicRepaired { .. } => "0f1fb6e2e4da4684bf10eb4fab40e76e",
        Message::FailedOver { .. } => "04d1bad27692457d9f9b8fe731259f1d",
        Message::FailedBack { .. } => "9ac28d9db4af414bb4c17aafceb3b676",
        Message::Moved { .. } => "a3b24f7ac1c340f187ca23805d6ada64",
        Message::GroupFailed { .. } => "baf37952fcd44b388d84025049f9600b",
        Message::GroupRepaired { .. } => "f11348a06b10491b944c201f4cfa96cf",
        Message::LinkDown { .. } => "fe6faa1ba0da47298d066e8bfec85e1d",
        Message::LinkUp { .. } => "436426fbf37e4a4ab1b47cd7a2e4430b",
        Message::FlapHold { .. } => "0ed88d24435749699b6823db341e88d2",
        Message::FlapDamped { .. } => "6dbfa3b7fbe8461eb3dbd2ee5a5b3d7b",
        Message::TargetsSilent { .. } => "b76283500f4f41a48a4e68ce812943b3",
        Message::HostsSilent { .. } => "10184cc373b949f79a703a200be85726",
        Message::DetectionTimeRaised { .. } => "d07d377998d64eb68330f6fe1ef54efb",
        Message::DetectionTimeImproved { .. } => "06a6c2bbbcb0405fb9f7ed68c38d6c50",
        Message::NoTestAddress { .. } => "2493f74ca9434111b47a7103277f17a4",
        Message::TestAddress { .. } => "81b89883bf9a41a78652c7d32d00b366",
        Message::TestAddressNotUnique { .. } => "f65f6007aa4a48378e4565139e588d20",
        Message::TestAddressUnique { .. } => "773a406d513e4cfc96bb28be62adb82f",
        Message::FamilyMissing { .. } => "319edb3434b14b1fb6a7b49c666ab24d",
        Message::FamilyConsistent { .. } => "9df211b026f44884996e10d1783f6815",
        Message::InterfaceRemoved { .. } => "dedc3b3ad74c4370baa5847d51a71527",
        Message::DuplicateMac { .. } => "1096fc8343e74bdf846cf70269f8a36a",
        Message::UniqueMac { .. } => "15787b2f278842219e56b7540669af08",
        Message::SubnetAcrossGroups { .. } => "5ddd6da2248e4754be071d4f65653412",
        Message::OnlyStandbys { .. } => "c40eb52a906a495c8b57063a5d1223f9",
        Message::Undone { .. } => "27ad1897494041158d002444fdf6fe0c",
        Message::Contested { .. } => "f6bdb97491c84991b887bab56f585952",
        Message::Uncontested { .. } => "a511e39b32aa402fa831bdcd32cd503e",
        Message::AddressTaken { .. } => "eb62747257fe48b985b6911dbe76d7e8",
        Message::AddressFree { .. } => "4db527c7b46a471687e777a128a1e24d",
        Message::AddressUnasked { .. } => "66eb713bb739439192619aef55fb63c9",
        Message::AddressClaimed { .. } => "3b98cd3681bc43f0b33b53b85ab00bcb",
        Message::AddressUnclaimed { .. } => "2ee93d42947147efa0d40931cfb938da",
        Message::OperationFailed { .. } => "d83be3ef724545f9b5c03a70a7217e1b",
    }
}

#[cfg(test)]
mod tests {
    use ipmp_core::snapshot::InterfaceState;

    use super::*;

    #[test]
    fn every_kind_and_field_is_documented() {
        let documented = include_str!("../../../docs/messages.md");
        let source = include_str!("journal.rs");
        let ids: Vec<&str> = source
            .split('"')
            .filter(|text| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .collect();
        assert!(ids.len() > 20);
        for id in &ids {
            assert!(documented.contains(id), "{id}");
            let count = ids.iter().filter(|other| *other == id).count();
            assert_eq!(count, 1, "{id} stands for two kinds");
        }
    }

    #[test]
    fn the_cause_is_that_of_the_record() {
        let failed = Message::NicFailed {
            interface: "ge1".parse().unwrap(),
            group: Some("web".parse().unwrap()),
        };
        let of = |nic: &str, cause| {
            Action::Record(Record::Interface {
                interface: nic.parse().unwrap(),
                group: None,
                from: None,
                to: Some(InterfaceState::Failed),
                cause,
            })
        };
        let actions = [of("ge0", Cause::LinkUp), of("ge1", Cause::ProbesLost)];
        let mut causes = Causes::default();
        causes.note(&actions);
        let over = Message::FailedOver {
            from: "ge1".parse().unwrap(),
            to: "ge0".parse().unwrap(),
        };
        let later = fields(&over, &[], &causes);
        assert_eq!(later.cause, Some("probes_lost"));
        let fields = fields(&failed, &actions, &causes);
        assert_eq!(fields.cause, Some("probes_lost"));
        assert_eq!(fields.interface.as_deref(), Some("ge1"));
        assert_eq!(fields.group.as_deref(), Some("web"));
        // What the message tells is no entry of its own; the other one is.
        let all = [Action::Log(failed), actions[0].clone(), actions[1].clone()];
        let entries = all.iter().filter_map(|action| match action {
            Action::Record(record) => entry(record, &all),
            _ => None,
        });
        let interfaces: Vec<_> = entries.filter_map(|fields| fields.interface).collect();
        assert_eq!(interfaces, ["ge0"]);
    }
}
