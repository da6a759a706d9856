use std::fmt::Write as _;

use ipmp_core::Message;
use ipmp_core::detect::{Echo, Probe};

use super::*;

fn header() -> Header {
    Header {
        recording: Header::VERSION,
        daemon: "0.1.0".to_owned(),
        seed: u64::MAX,
        settings: Settings::default(),
        saved: Some(Saved::default()),
    }
}

fn probe(sequence: u16) -> Action {
    Action::Probe(Probe::Echo(Echo {
        interface: "ge0".parse().unwrap(),
        index: 2,
        source: "192.168.0.87".parse().unwrap(),
        target: "192.168.0.2".parse().unwrap(),
        identifier: 7,
        sequence,
        payload: [9; 16],
    }))
}

fn said() -> Action {
    Action::Log(Message::LinkDown {
        interface: "ge0".parse().unwrap(),
    })
}

#[test]
fn what_is_written_is_read() {
    let at = Time::from_millis(1 << 43);
    let settings = Event::Settings(Settings::default());
    let lines = [
        Line::Step(Box::new(Step::new(at, settings, vec![said(), probe(1)]))),
        Line::Step(Box::new(Step::new(at, Event::Tick, vec![]))),
        Line::End(End {
            end: "enough".to_owned(),
        }),
    ];
    let mut text = serde_json::to_string(&header()).unwrap() + "\n";
    for line in &lines {
        writeln!(text, "{}", serde_json::to_string(line).unwrap()).unwrap();
    }
    assert_eq!(text.lines().count(), 4);
    assert!(text.contains("\n{\"at\":8796093022208000000,\"event\":\"tick\"}\n"));
    // A daemon that was killed.
    text += "{\"at\":3,\"ev";
    let (read, reader) = Reader::new(text.as_bytes()).unwrap();
    assert_eq!(read, header());
    let read: Vec<Line> = reader.map(Result::unwrap).collect();
    assert_eq!(read, lines);
}

#[test]
fn probes_are_counted_and_told_apart() {
    let step = |actions| Step::new(Time::ZERO, Event::Tick, actions);
    let one = step(vec![probe(1), said(), probe(2)]);
    assert_eq!(one.actions, [said()]);
    assert_eq!(one.probes.unwrap().count, 2);
    assert_eq!(one, step(vec![said(), probe(1), probe(2)]));
    assert_ne!(one, step(vec![said(), probe(2), probe(1)]));
    assert_ne!(one, step(vec![said(), probe(1), probe(3)]));
    assert_eq!(step(vec![said()]).probes, None);
}

#[test]
fn what_is_no_recording() {
    let message = |text: &str| match Reader::new(text.as_bytes()) {
        Err(error) => error.to_string(),
        Ok((_, mut reader)) => reader.next().unwrap().unwrap_err().to_string(),
    };
    for text in ["", "\n", "{}\n", "{\"recording\":1}\n", "\0\n"] {
        let message = message(text);
        assert!(message.starts_with("not a recording"), "{text}: {message}");
    }
    assert_eq!(
        message("{\"recording\":2,\"what\":\"ever\"}\n"),
        "has format 2, newer than 1"
    );
    let header = serde_json::to_string(&header()).unwrap();
    for line in ["", "{}", "[]", "{\"at\":-1,\"event\":\"tick\"}"] {
        let message = message(&format!("{header}\n{line}\n"));
        assert!(message.starts_with("line 2: "), "{line}: {message}");
    }
}
