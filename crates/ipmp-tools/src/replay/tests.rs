use std::fs;

use ipmp_core::kernel::{Change, Kernel};
use ipmp_core::{Command, Family, Settings};

use super::*;

/// A recording of a daemon that was asked to plumb an interface that is not there, line by line.
fn recorded() -> Vec<String> {
    let header = Header {
        recording: Header::VERSION,
        daemon: "0.1.0".to_owned(),
        seed: 7,
        settings: Settings::default(),
        saved: None,
    };
    let mut engine = Engine::new(Settings::default(), None, 7);
    let plumb = |absent| Command::Plumb {
        logical: "ge0".parse().unwrap(),
        family: Family::Inet,
        absent,
    };
    let events = [
        (1000, Event::Kernel(vec![Change::Resync(Kernel::default())])),
        (
            1500,
            Event::Command {
                id: 0,
                command: plumb(false),
            },
        ),
        (
            2250,
            Event::Command {
                id: 1,
                command: plumb(true),
            },
        ),
        (2500, Event::Tick),
    ];
    let mut lines = vec![serde_json::to_string(&header).unwrap()];
    for (ms, event) in events {
        let at = Time::from_millis(ms);
        let actions = engine.handle(at, event.clone());
        lines.push(serde_json::to_string(&Step::new(at, event, actions)).unwrap());
    }
    lines.push("{\"end\":\"the daemon ends\"}".to_owned());
    lines
}

/// What `ipmp replay` of a file with these lines prints, and its exit code.
fn replayed(lines: &[String]) -> (String, u8) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events").display().to_string();
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
    };
    let code = run(std::slice::from_ref(&file), &mut console);
    out.extend(err);
    let text = String::from_utf8(out).unwrap();
    (text.replace(&file, "events"), code)
}

#[test]
fn a_recording_is_told_and_decided_as_it_was() {
    let (text, code) = replayed(&recorded());
    assert_eq!(
        text,
        "\
recorded by in.mpathd 0.1.0
      0.500000  request 0: {\"plumb\":{\"logical\":\"ge0\",\"family\":\"inet\",\"absent\":false}}
      0.500000  request 0 is refused: no such interface
      1.250000  request 1: {\"plumb\":{\"logical\":\"ge0\",\"family\":\"inet\",\"absent\":true}}
      1.250000  request 1 is done
same decisions: 4 actions and 0 probes of 4 events in 1.5 s; the daemon ends
"
    );
    assert_eq!(code, OK);
}

#[test]
fn the_first_other_decision_is_a_failure() {
    let mut lines = recorded();
    lines[3] = lines[3].replace("done", "already-exists");
    let (text, code) = replayed(&lines);
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("ipmp: events: line 4: other decisions after 1.250000 s: recorded [["),
        "{text}"
    );
    assert!(last.contains("already-exists"), "{text}");
    assert_eq!(code, FAILED);

    // Another seed, other times: no decision depends on them here, as nothing is probed.
    let mut lines = recorded();
    lines[0] = lines[0].replace("\"seed\":7", "\"seed\":8");
    assert_eq!(replayed(&lines).1, OK);
}

#[test]
fn a_daemon_that_was_killed_and_what_is_no_recording() {
    let mut lines = recorded();
    lines.truncate(4);
    let (text, code) = replayed(&lines);
    assert!(
        text.ends_with("in 1.2 s; the recording breaks off\n"),
        "{text}"
    );
    assert_eq!(code, OK);

    lines[2] = "{\"at\":1500000000,\"event\":\"flood\"}".to_owned();
    let (text, code) = replayed(&lines);
    assert!(
        text.contains("ipmp: events: line 3: unknown variant `flood`"),
        "{text}"
    );
    assert_eq!(code, FAILED);

    let (text, code) = replayed(&["hello".to_owned()]);
    assert!(
        text.starts_with("ipmp: events: not a recording of in.mpathd: "),
        "{text}"
    );
    assert_eq!(code, FAILED);

    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
    };
    for words in [&[][..], &["-x".to_owned()], &["/no/such".to_owned()]] {
        assert_eq!(run(words, &mut console), FAILED);
    }
    assert_eq!(run(&["--help".to_owned()], &mut console), OK);
    let err = String::from_utf8(err).unwrap();
    assert!(
        err.ends_with("ipmp: /no/such: No such file or directory (os error 2)\n"),
        "{err}"
    );
    assert!(USAGE.lines().all(|line| line.len() <= 80));
}
