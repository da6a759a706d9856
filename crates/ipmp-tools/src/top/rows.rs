//! The lists, as rows of text.

use std::cmp::Reverse;
use std::time::Duration;

use ipmp_api::interface::Event;
use ipmp_core::message::Severity;
use ipmp_core::record::Record;
use ipmp_core::snapshot::{GroupState, Interface, InterfaceState, TargetMode};
use ipmp_core::time::milliseconds;

use super::feed::Watching;
use super::history::History;
use super::model::{List, Model};
use crate::document;

/// How good or bad what a row tells is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Calm,
    Good,
    Warning,
    Bad,
}

/// A row of a list.
#[derive(Debug)]
pub(super) struct Row<'m> {
    pub(super) text: String,
    pub(super) mood: Mood,
    /// What is drawn behind the text.
    pub(super) probes: Option<&'m History>,
}

impl Row<'_> {
    const fn new(mood: Mood, text: String) -> Self {
        Self {
            text,
            mood,
            probes: None,
        }
    }
}

/// Width of an interface's name, and a blank.
const NAME: usize = 16;

/// Width of targets and addresses at least, and at most.
const ADDRESS: (usize, usize) = (17, 43);

/// The rows of a list.
pub(super) fn of(model: &Model, list: List) -> Vec<Row<'_>> {
    match list {
        List::Interfaces => interfaces(model),
        List::Addresses => addresses(model),
        List::Probes => probes(model),
        List::Events => model.events.iter().map(event).collect(),
    }
}

/// What stands above a list.
pub(super) fn header(model: &Model, list: List) -> String {
    match list {
        List::Interfaces => {
            let name = NAME + 2;
            format!(
                "{:<name$}{:<9}{:<8}{:<9}{:<18}{}",
                "INTERFACE", "STATE", "LINK", "PROBE", "ROLE", "DATA"
            )
        }
        List::Addresses => {
            let width = address_width(&document::addresses(&model.snapshot));
            format!(
                "  {:<width$} {:<NAME$} {:<6}{}",
                "ADDRESS", "ON", "STATE", "HOME"
            )
        }
        List::Probes => {
            let width = target_width(model);
            let (rtt, rest) = match model.watching {
                Watching::Yes => ("RTT", "LOSS  x: LOST"),
                Watching::No => ("AVERAGE", ""),
                Watching::Denied => ("AVERAGE", "(ONLY ROOT SEES SINGLE PROBES)"),
                Watching::Busy => ("AVERAGE", "(TOO MANY WATCH PROBES)"),
            };
            format!("{:<NAME$}{:<width$} {rtt:<10}{rest}", "INTERFACE", "TARGET")
        }
        List::Events => format!("{:<13}EVENT", "TIME (UTC)"),
    }
}

/// What stands in a list without rows.
pub(super) const fn nothing(list: List) -> &'static str {
    match list {
        List::Interfaces => "no group; a first one: ifconfig IF plumb ADDRESS group NAME up",
        List::Addresses => "no data address",
        List::Probes => "nobody is probed",
        List::Events => "nothing has happened",
    }
}

fn interfaces(model: &Model) -> Vec<Row<'_>> {
    let snapshot = &model.snapshot;
    let members = document::members(snapshot);
    let mut rows = Vec::new();
    for group in document::groups(snapshot) {
        let name = match &group.group {
            Some(name) => name.to_string(),
            None => "no group".to_owned(),
        };
        let detection = match group.failure_detection_ms {
            Some(ms) => format!(
                "failures detected within {}.{:02}s",
                ms / 1000,
                ms % 1000 / 10
            ),
            None => "failures detected by link only".to_owned(),
        };
        let width = NAME + 2;
        rows.push(Row::new(
            match group.state {
                GroupState::Ok => Mood::Good,
                GroupState::Degraded => Mood::Warning,
                GroupState::Failed => Mood::Bad,
            },
            format!("{name:<width$}{:<9}{detection}", group.state),
        ));
        let of_group = members.iter().filter(|it| it.group == group.group);
        rows.extend(of_group.map(|interface| member(interface)));
    }
    let others = snapshot.interfaces.iter();
    let mut others: Vec<_> = others.filter(|it| !it.tracked && !it.loopback).collect();
    others.sort_by(|one, other| one.name.cmp(&other.name));
    if !others.is_empty() {
        rows.push(Row::new(Mood::Calm, "not watched".to_owned()));
        rows.extend(others.into_iter().map(member));
    }
    rows
}

fn member<'m>(interface: &Interface) -> Row<'m> {
    let data = || interface.logicals.iter().filter(|it| it.is_data());
    let away = data()
        .filter(|it| it.home.interface != it.name.interface)
        .count();
    let mut notes = vec![data().count().to_string()];
    if away > 0 {
        notes.push(format!("{away} not at home"));
    }
    if interface.duplicate_mac {
        notes.push("duplicate MAC".to_owned());
    }
    if interface.index.is_none() {
        notes.push("absent".to_owned());
    }
    if interface.refused.is_some() {
        notes.push("kernel refuses".to_owned());
    }
    Row::new(
        match interface.state {
            InterfaceState::Ok => Mood::Good,
            InterfaceState::Failed => Mood::Bad,
            InterfaceState::Offline | InterfaceState::Unknown => Mood::Warning,
        },
        format!(
            "  {:<NAME$}{:<9}{:<8}{:<9}{:<18}{}",
            interface.name.as_str(),
            interface.state,
            interface.link,
            interface.probe,
            role(interface),
            notes.join(", ")
        ),
    )
}

/// What an interface is there for, and whether it is in use.
const fn role(interface: &Interface) -> &'static str {
    match (interface.standby, interface.active, interface.inactive) {
        (true, true, _) => "standby, active",
        (true, _, true) => "standby, waits",
        (true, ..) => "standby, unusable",
        (false, true, _) => "active",
        (false, _, true) => "waits",
        (false, ..) => "unusable",
    }
}

/// Addresses that are not at home first: they are what one looks for.
fn addresses(model: &Model) -> Vec<Row<'_>> {
    let mut addresses = document::addresses(&model.snapshot);
    let width = address_width(&addresses);
    let is_away = |it: &document::Address| it.logical.interface != it.home.interface;
    addresses.sort_by_key(|it| Reverse(is_away(it)));
    let rows = addresses.into_iter().map(|address| {
        let away = is_away(&address);
        let is_unheard = address.up && address.inbound.is_none();
        let mood = match (is_unheard, away) {
            (true, _) => Mood::Bad,
            (_, true) => Mood::Warning,
            _ => Mood::Calm,
        };
        let home = match (is_unheard, away) {
            (true, _) => format!("{}; not received", address.home),
            (_, true) => format!("{}, not there", address.home),
            _ => String::new(),
        };
        let text = format!(
            "{} {:<width$} {:<NAME$} {:<6}{home}",
            if away { '*' } else { ' ' },
            text_of(&address),
            address.logical.to_string(),
            if address.up { "up" } else { "down" },
        );
        Row::new(mood, text.trim_end().to_owned())
    });
    rows.collect()
}

fn text_of(address: &document::Address) -> String {
    format!("{}/{}", address.address, address.prefix_length)
}

/// How wide addresses are, so that everybody fits and as much as possible is left for the rest.
fn address_width(addresses: &[document::Address]) -> usize {
    widest(addresses.iter().map(|address| text_of(address).len()))
}

fn target_width(model: &Model) -> usize {
    let probings = model.snapshot.interfaces.iter().flat_map(|it| &it.probing);
    let targets = probings.flat_map(|probing| &probing.targets);
    widest(targets.map(|target| target.address.to_string().len()))
}

fn widest(lengths: impl Iterator<Item = usize>) -> usize {
    let (least, most) = ADDRESS;
    lengths.max().unwrap_or(0).clamp(least, most)
}

fn probes(model: &Model) -> Vec<Row<'_>> {
    let width = target_width(model);
    let mut rows = Vec::new();
    for probing in document::targets(&model.snapshot) {
        let name = probing.interface.as_str();
        if probing.targets.is_empty() {
            rows.push(match probing.mode {
                TargetMode::Disabled => Row::new(Mood::Calm, format!("{name:<NAME$}not probed")),
                _ => Row::new(Mood::Warning, format!("{name:<NAME$}no target is found")),
            });
        }
        for target in &probing.targets {
            let key = (probing.interface.clone(), target.address);
            let history = model.probes.get(&key);
            let last = history.and_then(|it| it.newest_first().flatten().next());
            let rtt = last.map(milliseconds).or(target.rtt_average_ms);
            let rtt = rtt.map_or_else(|| "--".to_owned(), |ms| format!("{ms:.2}ms"));
            let loss = history.and_then(History::loss);
            let loss = loss.filter(|_| model.watching == Watching::Yes);
            let text = format!(
                "{name:<NAME$}{:<width$} {rtt:<10}{:<6}",
                target.address.to_string(),
                loss.map(|percent| format!("{percent}%"))
                    .unwrap_or_default(),
            );
            rows.push(Row {
                mood: match loss {
                    None | Some(0) => Mood::Calm,
                    Some(100) => Mood::Bad,
                    Some(_) => Mood::Warning,
                },
                probes: history.filter(|_| model.watching == Watching::Yes),
                text,
            });
        }
    }
    rows
}

fn event(event: &Event) -> Row<'_> {
    // Of `2026-11-24T00:31:02.000000Z` the time of day, to the millisecond.
    let time = event.time.get(11..23).unwrap_or(&event.time);
    let mood = match &event.record {
        Record::Interface { to: Some(to), .. } if *to == InterfaceState::Failed => Mood::Bad,
        Record::Group { to: Some(to), .. } if *to == GroupState::Failed => Mood::Bad,
        Record::Group { to: Some(to), .. } if *to == GroupState::Degraded => Mood::Warning,
        Record::Message { severity, .. } if *severity == Severity::Error => Mood::Bad,
        _ => Mood::Calm,
    };
    Row::new(mood, format!("{time} {}", event.text))
}

/// How high the bar of a round trip is beside the longest one shown: from 1 to 8.
pub(super) fn bar(rtt: Duration, longest: Duration) -> u64 {
    let share = rtt.as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE);
    (1_u8..8)
        .find(|&eighths| share * 8.0 <= f64::from(eighths))
        .map_or(8, u64::from)
}
