use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use ipmp_core::{Family, LogicalName};

use super::*;
use crate::wire::Reply;

/// A daemon that says `replies`, one for each call, and then hangs up; it returns the calls.
fn daemon(replies: Vec<Vec<u8>>) -> (tempfile::TempDir, PathBuf, JoinHandle<Vec<Call>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut decoder = Decoder::new(MAX_REQUEST);
        let mut calls = Vec::new();
        for reply in replies {
            let mut chunk = [0; 4096];
            calls.push(loop {
                if let Some(call) = decoder.message().unwrap() {
                    break call;
                }
                let count = stream.read(&mut chunk).unwrap();
                decoder.feed(&chunk[..count]);
            });
            stream.write_all(&reply).unwrap();
        }
        calls
    });
    (directory, path, thread)
}

fn frame(reply: Result<Reply, FrameError>) -> Vec<u8> {
    crate::wire::encode(&reply.unwrap(), MAX_REPLY).unwrap()
}

fn plumb() -> Command {
    Command::Plumb {
        logical: "ge0".parse::<LogicalName>().unwrap(),
        family: Family::Inet,
        absent: false,
    }
}

#[test]
fn calls_and_replies() {
    let refusal = Refusal::NoSuchInterface;
    let (_directory, path, daemon) = daemon(vec![
        frame(Reply::result(&Pong {
            version: "1".into(),
            pid: 7,
        })),
        frame(Reply::result(&Seen {
            snapshot: Snapshot::default(),
        })),
        frame(Reply::result(&Executed {
            answer: Answer::Done,
        })),
        frame(Reply::error(
            interface::REFUSED,
            &Refused {
                reason: refusal.to_string(),
                refusal: refusal.clone(),
            },
        )),
        frame(Reply::error(interface::PERMISSION_DENIED, &())),
        frame(Reply::error("org.other.Error", &())),
    ]);
    let mut client = Client::connect_to(&path).unwrap();
    assert_eq!(client.ping().unwrap().pid, 7);
    assert_eq!(client.snapshot().unwrap(), Snapshot::default());
    assert_eq!(client.execute(&plumb()).unwrap(), Ok(Answer::Done));
    assert_eq!(client.execute(&plumb()).unwrap(), Err(refusal));
    assert!(matches!(
        client.execute(&plumb()),
        Err(CallError::PermissionDenied)
    ));
    assert!(matches!(client.ping(), Err(CallError::Unexpected(name)) if name == "org.other.Error"));
    assert!(matches!(client.ping(), Err(CallError::Closed)));
    let calls = daemon.join().unwrap();
    assert_eq!(
        serde_json::to_string(&calls[2]).unwrap(),
        r#"{"method":"org.ipmp.Execute","parameters":{"command":{"plumb":{"absent":false,"family":"inet","logical":"ge0"}}}}"#
    );
}

#[test]
fn nonsense_is_an_error() {
    let (_directory, path, _daemon) = daemon(vec![b"nonsense\0".to_vec()]);
    let mut client = Client::connect_to(&path).unwrap();
    assert!(matches!(
        client.ping(),
        Err(CallError::Protocol(FrameError::Json(_)))
    ));
}

/// There is nothing more to say, and nobody to say it to.
#[test]
fn following_ends_with_its_audience() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let listener = UnixListener::bind(&path).unwrap();
    let daemon = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let told = Reply::result(&Events { events: Vec::new() });
        stream.write_all(&frame(told.map(Reply::and_more))).unwrap();
        // Until the client hangs up.
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let (reader, writer) = io::pipe().unwrap();
    let mut client = Client::connect_to(&path).unwrap();
    client.set_audience(writer.into());
    let mut reader = Some(reader);
    let told = client.follow(None, |_| {
        reader.take();
        ControlFlow::Continue(())
    });
    assert!(told.is_ok(), "{told:?}");
    assert!(reader.is_none(), "it was told once");
    daemon.join().unwrap();
}

#[test]
fn nobody_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    assert!(matches!(
        Client::connect_to(&path),
        Err(CallError::NotRunning)
    ));
    // A daemon that was killed leaves its socket.
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(
        Client::connect_to(&path),
        Err(CallError::NotRunning)
    ));
}
