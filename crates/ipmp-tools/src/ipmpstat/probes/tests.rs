use std::fmt::Write;
use std::io;
use std::path::Path;

use insta::assert_snapshot;

use super::super::run;
use super::*;
use crate::etc::Etc;
use crate::recorded::{Recorded, Staged, transcript};
use crate::sample::{lab1, probes};

/// What a command line prints on a terminal of so many rows, or into a pipe.
fn ipmpstat(daemon: &mut Recorded, line: &str, rows: &[usize]) -> String {
    let root = tempfile::tempdir().unwrap();
    let etc = Etc::below(root.path());
    std::fs::create_dir(etc.directory()).unwrap();
    std::fs::write(etc.path("hosts"), "192.168.0.2 router\n").unwrap();
    let mut terminal = Staged {
        rows: rows.iter().copied().collect(),
        waits: 0,
    };
    transcript(daemon, &etc, line, |words, environment, console| {
        run(words, &mut terminal, environment, console)
    })
}

fn watched() -> Recorded {
    let mut daemon = Recorded::showing(lab1());
    daemon.probes = Some(probes());
    daemon
}

#[test]
fn rows() {
    let mut text = String::new();
    for line in [
        "-p",
        "-pn",
        "-p -n -o all",
        "-p -o target,rtt,nonsense",
        "-pn -P -o time,interface,probe,netrtt,target",
        "-pP -o rttdev",
        "-p --json",
    ] {
        let printed = ipmpstat(&mut watched(), line, &[]);
        let _ = writeln!(text, "$ ipmpstat {line}\n{printed}");
    }
    assert_snapshot!(text);
}

#[test]
fn refusals() {
    let mut unprobed = watched();
    for group in &mut unprobed.snapshot.groups {
        group.failure_detection_time = None;
    }
    let mut down = Recorded::default();
    down.is_down = true;
    let mut text = String::new();
    for (who, mut daemon, line) in [
        ("no member probes", unprobed, "-p"),
        ("an ordinary user", Recorded::showing(lab1()), "-p --json"),
        ("no daemon", down, "-p"),
        ("", watched(), "-p -g"),
        ("", watched(), "-p --watch"),
        ("", watched(), "-p -P"),
        ("", watched(), "-p -P -o all"),
        ("", watched(), "-p -P -o time,x"),
        ("", watched(), "-p -o x"),
        ("", watched(), "-p --json -o time"),
    ] {
        let printed = ipmpstat(&mut daemon, line, &[]);
        let _ = writeln!(text, "$ ipmpstat {line}   # {who}\n{printed}");
    }
    assert_snapshot!(text);
}

#[test]
fn the_header_stands_atop_every_screen_whatever_its_size_becomes() {
    let printed = |rows: &[usize]| {
        let text = ipmpstat(&mut watched(), "-p -o probe", rows);
        text.split_once("2>").unwrap().0.replace('\n', " ")
    };
    assert_eq!(printed(&[3]), "PROBE 5087 9310 PROBE 5088 9311 PROBE 77 ");
    assert_eq!(printed(&[24]), "PROBE 5087 9310 5088 9311 77 ");
    assert_eq!(
        printed(&[1]),
        "PROBE 5087 PROBE 9310 PROBE 5088 PROBE 9311 PROBE 77 "
    );
}

#[test]
fn a_row_is_out_before_the_next_is_waited_for() {
    /// Counts what was written and not flushed yet.
    #[derive(Default)]
    struct Pipe {
        held: usize,
        flushed: Vec<usize>,
    }
    impl io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.held += bytes.split(|&byte| byte == b'\n').count() - 1;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            if self.held > 0 {
                self.flushed.push(std::mem::take(&mut self.held));
            }
            Ok(())
        }
    }
    let mut pipe = Pipe::default();
    let code = run(
        &["-p".to_owned()],
        &mut Staged::pipe(),
        &mut Environment {
            daemon: &mut watched(),
            etc: &Etc::below(Path::new("/nonexistent")),
            privileged: true,
        },
        &mut Console {
            out: &mut pipe,
            err: &mut Vec::new(),
        },
    );
    assert_eq!(code, FAILED);
    // The first one with the header.
    assert_eq!(pipe.flushed, [2, 1, 1, 1, 1]);
}

#[test]
fn whoever_stops_reading_ends_it_quietly() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut complaints = Vec::new();
    let code = run(
        &["-p".to_owned()],
        &mut Staged::pipe(),
        &mut Environment {
            daemon: &mut watched(),
            etc: &Etc::below(Path::new("/nonexistent")),
            privileged: true,
        },
        &mut Console {
            out: &mut Closed,
            err: &mut complaints,
        },
    );
    assert_eq!((code, complaints.as_slice()), (OK, &b""[..]));
}
