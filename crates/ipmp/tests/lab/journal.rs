//! The daemon's messages in a journal that takes what it is sent, as systemd's does.

use std::collections::BTreeMap;
use std::fs;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ipmp_core::snapshot::InterfaceState;
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, same};
use crate::scene::{DATA1, QUICK};

tests![journal_entries_have_classic_words_and_fields];

const SOCKET: &str = "/run/systemd/journal/socket";

/// An entry: its fields by name.
type Entry = BTreeMap<String, String>;

/// Takes an entry as it comes over the journal's socket: lines of `NAME=value`, or a name, the length of
/// the value in eight octets, and the value.
fn parsed(mut datagram: &[u8]) -> Result<Entry, Failed> {
    let mut entry = Entry::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|&byte| byte == b'\n');
        let (line, rest) = datagram.split_at(end.ok_or("a line without end")?);
        let rest = rest.get(1..).unwrap_or_default();
        let line = std::str::from_utf8(line)?;
        if let Some((name, value)) = line.split_once('=') {
            entry.insert(name.to_owned(), value.to_owned());
            datagram = rest;
            continue;
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or("no length")?;
        let length = usize::try_from(u64::from_le_bytes(*length))?;
        let value = rest.get(..length).ok_or("a value cut off")?;
        entry.insert(line.to_owned(), String::from_utf8(value.to_vec())?);
        datagram = rest.get(length + 1..).ok_or("no end of a value")?;
    }
    Ok(entry)
}

/// A journal, and what came in, in whatever order.
struct Journal {
    socket: UnixDatagram,
    news: Receiver<Vec<u8>>,
    entries: Vec<Entry>,
}

impl Journal {
    /// One that takes what comes as soon as it comes, as the kernel holds ten entries only.
    fn start(socket: UnixDatagram) -> Result<Self, Failed> {
        let (tell, news) = channel();
        let taken = socket.try_clone()?;
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            // Nothing more comes once the socket was shut down.
            while let Ok(count @ 1..) = taken.recv(&mut buffer) {
                let datagram = buffer.get(..count).unwrap_or_default();
                if tell.send(datagram.to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            socket,
            news,
            entries: Vec::new(),
        })
    }

    /// Takes entries until there is one with this text; that one.
    fn awaits(&mut self, text: &str) -> Result<Entry, Failed> {
        let is_it = |entry: &Entry| {
            let message = entry.get("MESSAGE");
            message.is_some_and(|message| message.contains(text))
        };
        loop {
            if let Some(found) = self.entries.iter().find(|entry| is_it(entry)) {
                return Ok(found.clone());
            }
            let datagram = self
                .news
                .recv_timeout(PATIENCE)
                .map_err(|error| format!("no entry '{text}': {error}; but {:#?}", self.entries))?;
            self.entries.push(parsed(&datagram)?);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Where that fails the thread waits until the tests are over, and harms nobody.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Fails unless an entry has these fields.
fn has(entry: &Entry, fields: &[(&str, &str)]) -> Result<(), Failed> {
    for (name, value) in fields {
        let seen = entry.get(*name).map(String::as_str);
        same(&format!("{name} of {entry:?}"), &seen, &Some(*value))?;
    }
    let id = entry.get("MESSAGE_ID").map_or(0, String::len);
    same("length of MESSAGE_ID", &id, &32)
}

fn journal_entries_have_classic_words_and_fields() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    let socket = bed.host1.enter(|| -> Result<UnixDatagram, Failed> {
        let path = Path::new(SOCKET);
        fs::create_dir_all(path.parent().ok_or("no directory")?)?;
        Ok(UnixDatagram::bind(path)?)
    })??;
    let mut journal = Journal::start(socket)?;
    bed.sets_up_lab1()?;
    let running = journal.awaits("is running")?;
    same(
        "identifier",
        &running.get("SYSLOG_IDENTIFIER").map(String::as_str),
        &Some("in.mpathd"),
    )?;

    bed.ge1.cable.pull()?;
    let failed = journal.awaits("NIC failure detected on ge1 of group testgrp2")?;
    has(
        &failed,
        &[
            ("MESSAGE", "NIC failure detected on ge1 of group testgrp2"),
            ("PRIORITY", "3"),
            ("IPMP_INTERFACE", "ge1"),
            ("IPMP_GROUP", "testgrp2"),
            ("IPMP_CAUSE", "link_down"),
        ],
    )?;
    let moved = journal.awaits("Successfully failed over from NIC ge1 to NIC ge0")?;
    has(
        &moved,
        &[
            ("IPMP_INTERFACE", "ge1"),
            ("IPMP_GROUP", "testgrp2"),
            ("IPMP_CAUSE", "link_down"),
        ],
    )?;
    let outage = journal.awaits("failover from ge1: 1 address")?;
    has(
        &outage,
        &[
            ("PRIORITY", "6"),
            ("IPMP_INTERFACE", "ge1"),
            ("IPMP_CAUSE", "link_down"),
        ],
    )?;
    bed.ge1.cable.heal()?;
    let repaired = journal.awaits("NIC repair detected on ge1 of group testgrp2")?;
    has(&repaired, &[("PRIORITY", "3"), ("IPMP_GROUP", "testgrp2")])?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.awaits_holder(DATA1, "ge1")?;
    bed.types("if_mpadm -d ge1")?;
    let offline = journal.awaits("ge1 is offline")?;
    has(&offline, &[("IPMP_CAUSE", "administrator")])?;

    // A journal that has ended takes nothing, and harms nobody.
    drop(journal);
    bed.types("if_mpadm -r ge1")?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    Ok(())
}
