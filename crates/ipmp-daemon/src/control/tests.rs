use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as Stream;
use std::path::{Path, PathBuf};
use std::thread;

use ipmp_api::CallError;
use ipmp_core::Time;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::geteuid;

use super::*;

/// A server whose loop says Done to everything, except `Online`, which it refuses.
fn server() -> (tempfile::TempDir, PathBuf) {
    server_with(Told::default())
}

fn server_with(told: Told) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut requests = serve(UnixListener::from_std(listener).unwrap(), told);
            while let Some(request) = requests.recv().await {
                match request {
                    Request::Snapshot(client) => drop(client.send(Shown::of(Snapshot::default()))),
                    Request::Execute(Command::Online { .. }, client) => {
                        drop(client.answer.send(Err(Refusal::NotOffline)));
                    }
                    Request::Execute(_, client) => drop(client.answer.send(Ok(Answer::Done))),
                    Request::TellProbes(client) => {
                        let _ = client.send(());
                    }
                }
            }
        });
    });
    (directory, path)
}

fn raw(path: &Path, bytes: &[u8]) -> String {
    let mut stream = Stream::connect(path).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // The server may have hung up on us before it was all sent.
    let _ = stream.write_all(bytes);
    stream.shutdown(std::net::Shutdown::Write).ok();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8(reply).unwrap()
}

#[test]
fn clients_are_answered() {
    let (_directory, path) = server();
    let mut client = ipmp_api::Client::connect_to(&path).unwrap();
    assert_eq!(client.ping().unwrap().pid, std::process::id());
    assert_eq!(client.snapshot().unwrap(), Snapshot::default());
    let offline = Command::Offline {
        interface: "ge0".parse().unwrap(),
    };
    let online = Command::Online {
        interface: "ge0".parse().unwrap(),
    };
    if geteuid().is_root() {
        assert_eq!(client.execute(&offline).unwrap(), Ok(Answer::Done));
        assert_eq!(client.execute(&online).unwrap(), Err(Refusal::NotOffline));
    } else {
        let denied = client.execute(&offline);
        assert!(
            matches!(denied, Err(CallError::PermissionDenied)),
            "{denied:?}"
        );
    }
}

#[test]
fn varlink_clients_find_their_way() {
    let (_directory, path) = server();
    let info = raw(&path, b"{\"method\":\"org.varlink.service.GetInfo\"}\0");
    assert!(
        info.contains("\"interfaces\":[\"org.varlink.service\",\"org.ipmp\"]"),
        "{info}"
    );
    let describe = |name: &str| {
        let call = json!({
            "method": "org.varlink.service.GetInterfaceDescription",
            "parameters": {"interface": name},
        });
        raw(&path, format!("{call}\0").as_bytes())
    };
    assert!(describe("org.ipmp").contains("method Execute(command: object)"));
    assert!(describe("org.varlink.service").contains("method GetInfo()"));
    assert_eq!(
        describe("org.other"),
        "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.other\"}}\0"
    );
    assert_eq!(
        raw(&path, b"{\"method\":\"org.ipmp.Other\"}\0"),
        "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"org.ipmp.Other\"}}\0"
    );
    let missing = raw(
        &path,
        b"{\"method\":\"org.varlink.service.GetInterfaceDescription\"}\0",
    );
    assert!(
        missing.contains("org.varlink.service.InvalidParameter"),
        "{missing}"
    );
    assert_eq!(
        raw(&path, b"{\"method\":\"org.ipmp.Ping\",\"oneway\":true}\0"),
        ""
    );
}

#[test]
fn requests_of_one_client_are_answered_in_order() {
    let (_directory, path) = server();
    let replies = raw(
        &path,
        b"{\"method\":\"org.ipmp.Snapshot\"}\0{\"method\":\"a.B\"}\0{\"method\":\"org.ipmp.Ping\"}\0",
    );
    let replies: Vec<&str> = replies.split_terminator('\0').collect();
    assert_eq!(replies.len(), 3);
    assert!(replies[0].contains("snapshot") && replies[1].contains("a.B"));
    assert!(replies[2].contains("pid"));
}

#[test]
fn hostile_clients_are_dropped_and_others_served() {
    let (_directory, path) = server();
    assert_eq!(
        raw(&path, b"nonsense\0{\"method\":\"org.ipmp.Ping\"}\0"),
        ""
    );
    assert_eq!(raw(&path, &vec![b' '; MAX_REQUEST + 10]), "");
    assert_eq!(raw(&path, b"\0"), "");
    assert_eq!(raw(&path, b"{\"method\":"), "");
    ipmp_api::Client::connect_to(&path).unwrap().ping().unwrap();
}

#[test]
fn a_crowd_is_turned_away_but_not_root() {
    let (_directory, path) = server();
    let connect = || {
        let mut client = ipmp_api::Client::connect_to(&path).unwrap();
        client.ping().map(|_| client)
    };
    let all = if geteuid().is_root() {
        ANYBODY + ROOT
    } else {
        ANYBODY
    };
    let mut crowd: Vec<ipmp_api::Client> = (0..all).map(|_| connect().unwrap()).collect();
    let busy = connect();
    assert!(matches!(&busy, Err(CallError::Busy)), "{busy:?}");
    for client in &mut crowd {
        client.ping().unwrap();
    }
}

#[test]
fn a_silent_crowd_locks_nobody_out() {
    let (_directory, path) = server();
    let _crowd: Vec<Stream> = (0..ANYBODY + ROOT + 20)
        .map(|_| Stream::connect(&path).unwrap())
        .collect();
    for _ in 0..3 {
        let mut client = ipmp_api::Client::connect_to(&path).unwrap();
        client.ping().unwrap();
        client.snapshot().unwrap();
    }
}

#[test]
fn a_client_that_never_reads_is_dropped() {
    let (_directory, path) = server();
    let mut stream = Stream::connect(&path).unwrap();
    stream.set_write_timeout(Some(PATIENCE * 3)).unwrap();
    let call = b"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\
                 \"parameters\":{\"interface\":\"org.ipmp\"}}\0";
    // Sooner or later the replies that nobody reads fill the socket, then the requests do, and then
    // the server hangs up.
    let broken = loop {
        if let Err(error) = stream.write_all(call) {
            break error;
        }
    };
    let kind = broken.kind();
    assert!(
        matches!(
            kind,
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset
        ),
        "{broken}"
    );
    ipmp_api::Client::connect_to(&path).unwrap().ping().unwrap();
}

fn message(text: &str) -> ipmp_core::Record {
    ipmp_core::Record::Message {
        severity: ipmp_core::message::Severity::Info,
        message: text.to_owned(),
    }
}

#[test]
fn events_are_told_once_or_as_they_come() {
    let told = Told::default();
    let (_directory, path) = server_with(told.clone());
    let history = told.history;
    let now = Time::from_millis(1500);
    history.add(now, message("one"));
    history.add(now, message("two"));
    let mut client = ipmp_api::Client::connect_to(&path).unwrap();
    let texts = |events: &[interface::Event]| {
        let texts = events.iter().map(|event| event.text.clone());
        texts.collect::<Vec<_>>()
    };
    assert_eq!(texts(&client.events(None).unwrap()), ["one", "two"]);
    let later = client.events(Some(1)).unwrap();
    assert_eq!(texts(&later), ["two"]);
    assert_eq!((later[0].sequence, later[0].monotonic_ms), (2, 1500.0));

    let mut heard = Vec::new();
    client
        .follow(Some(1), |events| {
            heard.extend(texts(&events));
            if heard.len() == 1 {
                history.add(now, message("three"));
            }
            if heard.len() == 2 {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(heard, ["two", "three"]);
}

#[test]
fn a_follower_that_does_not_read_is_hung_up_on_and_holds_up_nobody() {
    let told = Told::default();
    let (_directory, path) = server_with(told.clone());
    let history = told.history;
    let mut stalled = Stream::connect(&path).unwrap();
    stalled
        .write_all(b"{\"method\":\"org.ipmp.Events\",\"more\":true}\0")
        .unwrap();
    // It follows, as its first reply has come.
    let mut first = [0; 1];
    stalled.read_exact(&mut first).unwrap();
    let text = "x".repeat(1000);
    for _ in 0..20_000 {
        history.add(Time::ZERO, message(&text));
    }
    ipmp_api::Client::connect_to(&path).unwrap().ping().unwrap();
    // It is hung up on without having read anything, and what was on its way by then is not all.
    let mut waited = [PollFd::new(stalled.as_fd(), PollFlags::empty())];
    assert_eq!(poll(&mut waited, PollTimeout::from(60_000_u16)).unwrap(), 1);
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest);
    assert!(rest.len() < 20_000 * text.len());
}

/// A probe that was lost.
fn lost(sequence: u16) -> ipmp_core::detect::Probed {
    ipmp_core::detect::Probed {
        interface: "ge0".parse().unwrap(),
        sequence,
        target: "192.168.0.2".parse().unwrap(),
        solicitation: true,
        sent: Time::ZERO,
        received: None,
        rtt_average: None,
        rtt_deviation: None,
    }
}

#[test]
fn probes_are_told_to_root_as_they_come() {
    let told = Told::default();
    let (_directory, path) = server_with(told.clone());
    let mut sequences = Vec::new();
    let watched = ipmp_api::Client::connect_to(&path)
        .unwrap()
        .probes(|probes| {
            sequences.extend(probes.iter().map(|probe| probe.sequence));
            if sequences.is_empty() {
                for sequence in 0..1000 {
                    assert!(told.watchers.tell(Time::ZERO, Time::ZERO, lost(sequence)));
                }
            }
            if sequences.len() == 1000 {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        });
    if geteuid().is_root() {
        watched.unwrap();
        assert!(sequences.into_iter().eq(0..1000));
    } else {
        assert!(
            matches!(watched, Err(CallError::PermissionDenied)),
            "{watched:?}"
        );
    }
}

#[test]
fn probes_are_told_again_and_again_or_not_at_all() {
    let (_directory, path) = server();
    let reply = raw(&path, b"{\"method\":\"org.ipmp.Probes\"}\0");
    let expected = if geteuid().is_root() {
        "org.varlink.service.ExpectedMore"
    } else {
        "org.varlink.service.PermissionDenied"
    };
    assert!(reply.contains(expected), "{reply}");
}

/// A client that is served as if it were root's, whoever runs the test.
fn roots_client(told: Told) -> Stream {
    let (ours, theirs) = Stream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (requests, mut receiver) = mpsc::channel(QUEUE);
            let client = Client {
                stream: UnixStream::from_std(theirs).unwrap(),
                decoder: Decoder::new(MAX_REQUEST),
                uid: 0,
                pid: None,
                requests,
                place: Places::default().take(true, Instant::now()).unwrap(),
                denied: Denied::default(),
                told,
                telling: None,
            };
            tokio::spawn(client.serve());
            while let Some(request) = receiver.recv().await {
                if let Request::TellProbes(client) = request {
                    let _ = client.send(());
                }
            }
        });
    });
    ours
}

#[test]
fn a_watcher_that_does_not_read_is_hung_up_on() {
    let told = Told::default();
    let mut stalled = roots_client(told.clone());
    stalled
        .write_all(b"{\"method\":\"org.ipmp.Probes\",\"more\":true}\0")
        .unwrap();
    let mut first = [0; 1];
    stalled.read_exact(&mut first).unwrap();
    // Told for as long as it is there; it goes without having read anything.
    let mut times = 0;
    while told.watchers.tell(Time::ZERO, Time::ZERO, lost(0)) {
        times += 1;
    }
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest);
    assert!(rest.len() < times * 100);
}
