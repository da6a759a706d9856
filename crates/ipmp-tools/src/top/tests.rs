//! Pictures of 80 columns and 24 rows, without a terminal.

use insta::assert_snapshot;
use ipmp_api::interface::FinishedProbe;
use ipmp_core::snapshot::{Interface, TargetMode};
use ipmp_core::{Snapshot, Time};
use ratatui::Terminal as Drawing;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::style::Color;

use super::feed::Watching;
use super::view::Picture;
use super::*;
use crate::etc::Etc;
use crate::recorded::{Recorded, transcript};
use crate::sample::{self, lab1, lab1_failed, logical, member, probing};

/// Both members probed.
fn probed(mut snapshot: Snapshot) -> Snapshot {
    for interface in &mut snapshot.interfaces {
        let test = match interface.name.as_str() {
            "ge0" => "192.168.0.87",
            "ge1" => "192.168.0.89",
            _ => continue,
        };
        let mut probing = probing(TargetMode::Routes, test, &["192.168.0.2"]);
        for target in &mut probing.targets {
            target.rtt_average = Some(Duration::from_micros(310));
        }
        interface.probing = vec![probing];
    }
    snapshot
}

/// Probes out of `nic`: of these tenths of milliseconds, or lost.
fn fates(nic: &str, tenths: &[u64]) -> Message {
    let some = sample::probes().remove(0);
    let probes = tenths.iter().zip(100..).map(|(&tenths, sequence)| {
        let rtt = (tenths > 0).then(|| Duration::from_micros(tenths * 100));
        FinishedProbe {
            interface: nic.parse().unwrap(),
            sequence,
            started: Time::from_millis(u64::from(sequence)),
            answered: rtt.is_some(),
            network_rtt: rtt,
            rtt,
            ..some.clone()
        }
    });
    Message::Probes(probes.collect())
}

fn model(messages: Vec<Message>) -> Model {
    let mut model = Model::new("host1".to_owned(), false, true);
    model.clock(Recorded::default().clocks());
    for message in messages {
        assert_eq!(model.take(message), Wish::Nothing);
    }
    model
}

/// What is drawn into a window of this size.
fn drawing(model: &mut Model, columns: u16, rows: u16) -> Drawing<TestBackend> {
    let mut drawing = Drawing::new(TestBackend::new(columns, rows)).unwrap();
    drawing
        .draw(|frame| {
            model.fit(frame.area());
            frame.render_widget(Picture(model), frame.area());
        })
        .unwrap();
    drawing
}

fn picture(model: &mut Model, columns: u16, rows: u16) -> String {
    drawing(model, columns, rows).backend().to_string()
}

fn press(model: &mut Model, codes: &[KeyCode]) {
    for &code in codes {
        let key = KeyEvent::new(code, KeyModifiers::NONE);
        assert_eq!(model.take(Message::Key(key)), Wish::See);
    }
}

fn healthy() -> Model {
    model(vec![
        Message::Watching(Watching::Yes),
        Message::Seen(probed(lab1()).into(), true),
        fates("ge0", &[3, 4, 3, 3, 8, 3, 4, 3]),
        fates("ge1", &[3, 3, 3]),
    ])
}

fn failed() -> Model {
    model(vec![
        Message::Watching(Watching::Yes),
        Message::Seen(probed(lab1_failed()).into(), true),
        Message::Events(sample::events()),
        fates("ge0", &[3, 4, 3, 3, 8, 3, 4, 3, 5, 4]),
        fates("ge1", &[3, 3, 3, 0, 0, 0, 0, 0]),
    ])
}

/// More of everything than fits.
fn many() -> Snapshot {
    let mut snapshot = lab1();
    let nics = (0..40_u8).map(|number| Interface {
        index: Some(u32::from(number) + 2),
        probing: vec![probing(
            TargetMode::Routes,
            &format!("10.0.0.{number}"),
            &["10.0.0.254", "2001:db8:0:1:2:3:4:5"],
        )],
        ..member(
            &format!("eth{number}"),
            2,
            "web",
            vec![logical(
                &format!("eth{number}"),
                &format!("10.0.1.{number}/24"),
                0x100_0843,
            )],
        )
    });
    snapshot.interfaces = nics.collect();
    snapshot.groups = vec![sample::group(
        "web",
        ipmp_core::snapshot::GroupState::Ok,
        10_000,
        [&["eth0"], &[], &[]],
    )];
    snapshot
}

#[test]
fn lab1_healthy() {
    assert_snapshot!(picture(&mut healthy(), 80, 24));
}

#[test]
fn lab1_after_ge1_failed() {
    assert_snapshot!(picture(&mut failed(), 80, 24));
    let mut ascii = failed();
    ascii.blocks = false;
    let drawn = picture(&mut ascii, 80, 24);
    assert!(drawn.is_ascii(), "{drawn}");
    assert!(drawn.contains("xxxxx"), "{drawn}");
}

#[test]
fn many_interfaces_are_scrolled() {
    let mut model = model(vec![
        Message::Seen(many().into(), true),
        Message::Watching(Watching::Yes),
        Message::Events(sample::events()),
    ]);
    press(&mut model, &[KeyCode::Down, KeyCode::Down]);
    assert_snapshot!("many", picture(&mut model, 80, 24));
    press(&mut model, &[KeyCode::PageDown, KeyCode::Tab, KeyCode::End]);
    assert_snapshot!("many_addresses_at_their_end", picture(&mut model, 80, 24));
    // As far up as it goes, and into the list before the first.
    press(
        &mut model,
        &[KeyCode::Home, KeyCode::Up, KeyCode::Left, KeyCode::Left],
    );
    assert_snapshot!("many_events", picture(&mut model, 80, 24));
    // What is chosen is seen in whatever becomes of the window.
    press(&mut model, &[KeyCode::Right, KeyCode::End]);
    let chosen = ">eth39";
    for rows in [24, 12, 6, 60, 24] {
        // The list of interfaces ends with this one.
        let drawn = picture(&mut model, 80, rows);
        assert!(
            drawn.contains(">  eth39") || drawn.contains(chosen),
            "{drawn}"
        );
    }
}

#[test]
fn windows_of_any_size() {
    for (name, columns, rows) in [("tiny", 30, 8), ("tinier", 12, 3)] {
        assert_snapshot!(name, picture(&mut failed(), columns, rows));
    }
    assert_snapshot!("wide", picture(&mut failed(), 120, 30));
    for columns in 0..90 {
        for rows in 0..30 {
            let mut model = failed();
            press(&mut model, &[KeyCode::Tab, KeyCode::Tab, KeyCode::End]);
            drawing(&mut model, columns, rows);
        }
    }
}

#[test]
fn without_a_daemon() {
    assert_snapshot!("asking", picture(&mut model(vec![]), 80, 24));
    let gone = || Message::Seen(lab1_failed().into(), false);
    assert_snapshot!("not_running", picture(&mut model(vec![gone()]), 80, 24));
    let mut model = failed();
    model.take(Message::Unseen("in.mpathd does not answer".to_owned()));
    assert_snapshot!("unseen", picture(&mut model, 80, 24));
    // It is there again: what it knows of the past is not told twice, and what is new is.
    let before = model.events.len();
    let mut events = sample::events();
    let mut new = events[0].clone();
    (new.sequence, new.monotonic_ms) = (1, new.monotonic_ms + 1.0);
    events.push(new);
    model.take(Message::Events(events));
    model.take(Message::Seen(probed(lab1()).into(), true));
    assert_eq!(model.events.len(), before + 1);
    assert!(!picture(&mut model, 80, 24).contains("trying again"));
}

#[test]
fn an_ordinary_user_sees_averages() {
    let mut model = model(vec![
        Message::Watching(Watching::Denied),
        Message::Seen(probed(lab1()).into(), true),
    ]);
    assert_snapshot!(picture(&mut model, 80, 24));
}

#[test]
fn whoever_reads_older_events_stays_with_them() {
    let mut model = failed();
    press(
        &mut model,
        &[KeyCode::BackTab, KeyCode::Down, KeyCode::Down],
    );
    picture(&mut model, 80, 24);
    let chosen = |model: &Model| {
        let place = model.places[model::List::Events as usize];
        model.events[place.chosen].sequence
    };
    let before = chosen(&model);
    let mut new = sample::events().remove(0);
    new.monotonic_ms += 1.0;
    model.take(Message::Events(vec![new]));
    picture(&mut model, 80, 24);
    assert_eq!(chosen(&model), before);
}

#[test]
fn colours_where_they_are_welcome_and_nowhere_else() {
    for colours in [false, true] {
        let mut model = failed();
        model.colours = colours;
        let drawing = drawing(&mut model, 80, 24);
        let cells = &drawing.backend().buffer().content;
        assert!(cells.iter().all(|cell| cell.bg == Color::Reset));
        let red = cells.iter().any(|cell| cell.fg == Color::Red);
        let plain = cells.iter().all(|cell| cell.fg == Color::Reset);
        assert_eq!((red, plain), (colours, !colours));
    }
}

#[test]
fn keys_that_end_it_and_keys_that_do_nothing() {
    let mut model = healthy();
    let mut take = |code, modifiers| model.take(Message::Key(KeyEvent::new(code, modifiers)));
    let (none, control) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
    assert_eq!(take(KeyCode::Char('q'), none), Wish::End);
    assert_eq!(take(KeyCode::Esc, none), Wish::End);
    assert_eq!(take(KeyCode::Char('c'), control), Wish::End);
    assert_eq!(take(KeyCode::Char('l'), control), Wish::Redraw);
    assert_eq!(take(KeyCode::Char('c'), none), Wish::Nothing);
    assert_eq!(take(KeyCode::F(1), none), Wish::Nothing);
    let released = KeyEvent::new_with_kind(KeyCode::Esc, none, KeyEventKind::Release);
    assert_eq!(model.take(Message::Key(released)), Wish::Nothing);
    assert_eq!(model.take(Message::End), Wish::End);
}

#[test]
fn usage_and_refusal() {
    let top = |line: &str| {
        transcript(
            &mut Recorded::default(),
            &Etc::below(std::path::Path::new("/nonexistent")),
            line,
            |words, _, console| {
                run(
                    words,
                    &crate::recorded::Staged::pipe(),
                    Recorded::default,
                    console,
                )
            },
        )
    };
    assert_snapshot!("usage", top("--help"));
    assert!(USAGE.lines().all(|line| line.len() <= 80));
    assert!(top("more").starts_with("2> ipmp top: more: does not fit; usage: ipmp top\n"));
    assert_eq!(
        top(""),
        "2> ipmp: top: standard output is no terminal (see ipmp status)\nexit 1\n"
    );
}
