//! Everything that comes from outside, as functions of bytes: what each fuzz target does with an input,
//! and what must hold afterwards.
//!
//! `fuzz/` is a workspace of its own, which wants cargo-fuzz; its targets call these functions and are
//! one line each. The inputs it has found (`fuzz/corpus`) are also put through them by an ordinary test,
//! so that they keep their worth on every machine.
//!
//! A function panics if something is not as it must be. It takes any bytes.

#![expect(
    clippy::missing_panics_doc,
    reason = "to panic is what a target is for, as said above"
)]

mod engine;
mod input;

use std::io::BufReader;
use std::path::Path;

use ipmp_api::interface::{DescriptionOf, EventsAfter, Execute, Executed, Seen};
use ipmp_api::wire::{Call, Decoder, MAX_REPLY, MAX_REQUEST, Reply};
use ipmp_api::{recording, saved};
use ipmp_core::detect::Reply as ProbeReply;
use ipmp_core::kernel::Change;
use ipmp_core::{
    Engine, Event, Family, GroupSettings, Kernel, MacAddress, Settings, Snapshot, Time,
};
use ipmp_tools::etc::Etc;
use serde::de::DeserializeOwned;

pub use engine::engine;

/// A target: its name, which is that of its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 10] = [
    ("control", control),
    ("engine", engine),
    ("hostname", hostname),
    ("ipmp_toml", ipmp_toml),
    ("mpathd", mpathd),
    ("neighbours", neighbours),
    ("netlink", netlink),
    ("packet", packet),
    ("recording", recording),
    ("saved", saved),
];

/// `/etc/hostname.IF` and `/etc/hostname6.IF`: every complaint is one line.
pub fn hostname(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return; // refused when the file is read
    };
    let etc = Etc::below(Path::new("/nonexistent"));
    for family in Family::ALL {
        for said in ipmp_tools::boot::check_text(text, family, &etc) {
            assert!(!said.contains('\n'), "more than a line: {said:?}");
        }
    }
}

/// `/etc/default/mpathd`: whatever stands there, the settings are within their ranges.
pub fn mpathd(bytes: &[u8]) {
    settings(bytes, b"");
}

/// `/etc/ipmp.toml`: the same; and a file with an error sets nothing.
pub fn ipmp_toml(bytes: &[u8]) {
    settings(b"", bytes);
}

fn settings(mpathd: &[u8], toml: &[u8]) {
    let configuration = ipmp_config::configuration_of(mpathd, toml);
    let defaults = ipmp_config::configuration_of(b"", b"").settings;
    if !configuration.refused.is_empty() {
        assert!(configuration.has_errors(), "refused without a reason");
        assert_eq!(configuration.settings.groups, defaults.groups);
        assert!(!mpathd.is_empty() || configuration.settings == defaults);
    }
    for problem in &configuration.problems {
        let text = problem.to_string();
        assert!(!text.contains('\n'), "more than a line: {text:?}");
    }
    let settings = configuration.settings;
    for of_group in settings.groups.values().chain([&settings.common]) {
        let least = GroupSettings::MIN_FAILURE_DETECTION_TIME;
        assert!(of_group.failure_detection_time >= least);
        assert!(
            of_group.silence(of_group.failure_detection_time) <= of_group.failure_detection_time
        );
    }
    // It can be run by.
    let mut engine = Engine::new(settings.clone(), None, 1);
    engine.handle(Time::from_millis(1), Event::Settings(settings));
}

/// The saved state: what is read is what would be written, and an engine can go on with it.
pub fn saved(bytes: &[u8]) {
    let Ok(saved) = saved::take(Path::new("state"), bytes) else {
        return;
    };
    let written = serde_json::to_vec(&saved).unwrap_or_default();
    let again = saved::take(Path::new("state"), &written);
    assert_eq!(again.ok().as_ref(), Some(&saved), "not what was written");
    let snapshot = Engine::view(Some(saved.clone()), Kernel::default());
    reads_back(&snapshot);
    let mut engine = Engine::new(Settings::default(), Some(saved), 1);
    let kernel = Event::Kernel(vec![Change::Resync(engine::three_links())]);
    engine.handle(Time::from_millis(1000), kernel);
    engine.handle(Time::from_millis(2000), Event::Tick);
    reads_back(&engine.snapshot());
}

/// What a client sends, and what a daemon answers: framed, decoded, and carried out.
pub fn control(bytes: &[u8]) {
    let mut decoder = Decoder::new(MAX_REPLY);
    decoder.feed(bytes);
    while let Ok(Some(reply)) = decoder.message::<Reply>() {
        let parameters: serde_json::Value = reply.parameters.into();
        tries::<Seen>(&parameters);
        tries::<Executed>(&parameters);
    }
    let mut engine = engine::set_up();
    // As a socket might cut it.
    let mut decoder = Decoder::new(MAX_REQUEST);
    for chunk in bytes.chunks(7) {
        decoder.feed(chunk);
        let call = loop {
            match decoder.message::<Call>() {
                Ok(Some(call)) => carries_out(&mut engine, call),
                other => break other,
            }
        };
        if call.is_err() {
            return; // the daemon hangs up
        }
    }
}

fn carries_out(engine: &mut Engine, call: Call) {
    let parameters: serde_json::Value = call.parameters.into();
    tries::<EventsAfter>(&parameters);
    tries::<DescriptionOf>(&parameters);
    if let Ok(Execute { command }) = serde_json::from_value(parameters) {
        let event = Event::Command { id: 1, command };
        engine.handle(Time::from_millis(10_000), event);
        reads_back(&engine.snapshot());
    }
}

/// Reads it as that, if it can be.
fn tries<T: DeserializeOwned>(value: &serde_json::Value) {
    let _read: Option<T> = serde_json::from_value(value.clone()).ok();
}

/// A recording: read, and decided again.
pub fn recording(bytes: &[u8]) {
    if let Ok((_, reader)) = recording::Reader::new(bytes) {
        // Read to the end; the replay stops at the first difference.
        for line in reader {
            if line.is_err() {
                break;
            }
        }
    }
    // A recording that differs, or is none, is an error to be told.
    let _told = ipmp_tools::replay::replay(BufReader::new(bytes), |_| {});
}

/// Packets off the probe sockets: an answer is from somebody else than us, and brings what was in the
/// packet; a claim names somebody and an address that he can have.
pub fn packet(bytes: &[u8]) {
    for reply in ipmp_linux::fuzzing::packet(bytes) {
        match reply {
            ProbeReply::Echo(echo) => {
                let payload = echo.payload;
                assert!(bytes.windows(payload.len()).any(|part| part == payload));
            }
            ProbeReply::Advertisement(told) => {
                let own = MacAddress([2, 0, 0, 0, 0, 1]);
                assert!(told.mac.is_unicast() && told.mac != own, "{told:?}");
                assert!(!told.target.is_multicast(), "{told:?}");
            }
        }
    }
    for claim in ipmp_linux::fuzzing::claims(bytes) {
        assert!(claim.mac.is_unicast(), "{claim:?}");
        assert!(
            !claim.ip.is_multicast() && !claim.ip.is_unspecified(),
            "{claim:?}"
        );
        let mac = claim.mac.0;
        assert!(
            bytes.windows(mac.len()).any(|part| part == mac),
            "{claim:?}"
        );
    }
}

/// Datagrams off a netlink socket: what they tell can be taken in.
pub fn netlink(bytes: &[u8]) {
    let (changes, _) = ipmp_linux::fuzzing::netlink(bytes);
    let mut kernel = engine::three_links();
    for change in &changes {
        kernel.apply(change.clone());
    }
    let mut engine = engine::set_up();
    engine.handle(Time::from_millis(10_000), Event::Kernel(changes));
    engine.handle(Time::from_millis(20_000), Event::Tick);
    reads_back(&engine.snapshot());
}

/// Parts of a dump of the neighbour table: neighbours are single hosts.
pub fn neighbours(bytes: &[u8]) {
    for neighbour in ipmp_linux::fuzzing::neighbours(bytes) {
        assert!(!neighbour.address.is_multicast(), "{neighbour:?}");
        assert!(!neighbour.address.is_unspecified(), "{neighbour:?}");
    }
}

/// What is shown can be sent.
fn reads_back(snapshot: &Snapshot) {
    let written = serde_json::to_vec(snapshot).unwrap_or_default();
    let read: Result<Snapshot, _> = serde_json::from_slice(&written);
    assert!(read.is_ok_and(|read| read == *snapshot), "{snapshot:?}");
}
