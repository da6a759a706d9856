//! Daemons that end, or die of what they are asked, at the other end of a real socket.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use ipmp_api::interface::{Executed, Pong, Seen};
use ipmp_api::wire::{Call, Decoder, MAX_REPLY, MAX_REQUEST, Reply, encode};
use ipmp_core::{Family, LogicalName, Snapshot};

use super::*;

/// What a daemon does with one connection.
#[derive(Clone)]
enum Connection {
    /// It hangs up on it, as one that is ending.
    Unheard,
    /// It answers so many calls and hangs up on the next.
    Answers(usize),
}

use Connection::{Answers, Unheard};

/// A place where one daemon runs after the other.
struct Place {
    directory: tempfile::TempDir,
    /// What each that is still to be started does with its connections, and then it is gone.
    next: RefCell<VecDeque<Vec<Connection>>>,
    threads: RefCell<Vec<JoinHandle<()>>>,
    /// Connections and calls, in order.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Place {
    /// Where the first of these daemons runs.
    fn with(daemons: impl IntoIterator<Item = Vec<Connection>>) -> Self {
        let place = Self {
            directory: tempfile::tempdir().unwrap(),
            next: RefCell::new(daemons.into_iter().collect()),
            threads: RefCell::default(),
            heard: Arc::default(),
        };
        place.starts();
        place
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    /// Starts the next daemon; whether there was one left.
    fn starts(&self) -> bool {
        let Some(connections) = self.next.borrow_mut().pop_front() else {
            return false;
        };
        let _ = std::fs::remove_file(self.socket());
        let listener = UnixListener::bind(self.socket()).unwrap();
        let heard = Arc::clone(&self.heard);
        let daemon = thread::spawn(move || {
            for connection in connections {
                let (stream, _) = listener.accept().unwrap();
                heard.lock().unwrap().push("connection".to_owned());
                if let Answers(count) = connection {
                    answer(stream, count, &heard);
                }
            }
        });
        self.threads.borrow_mut().push(daemon);
        true
    }

    /// Whoever asks here.
    fn asking(&self, start: Start) -> Asking<&Self> {
        Asking::new(self, start)
    }

    /// What was heard, when all who asked are gone.
    fn heard(self) -> String {
        for daemon in self.threads.take() {
            daemon.join().unwrap();
        }
        self.heard.lock().unwrap().join(" ")
    }
}

impl Door for &Place {
    fn connect(&self) -> Result<Client, CallError> {
        Client::connect_to(&self.socket())
    }

    fn ensure(&self) -> Result<Client, Failure> {
        if !self.starts() {
            return Err(Failure::Unreachable("it does not start".to_owned()));
        }
        self.heard.lock().unwrap().push("started".to_owned());
        Ok(self.connect()?)
    }
}

/// Answers so many calls and reads one more.
fn answer(mut stream: UnixStream, count: usize, heard: &Mutex<Vec<String>>) {
    let mut decoder = Decoder::new(MAX_REQUEST);
    for number in 0..=count {
        let mut chunk = [0; 4096];
        let call: Call = loop {
            if let Some(call) = decoder.message().unwrap() {
                break call;
            }
            match stream.read(&mut chunk) {
                Ok(read @ 1..) => decoder.feed(&chunk[..read]),
                _ => return,
            }
        };
        let method = call.method.trim_start_matches("org.ipmp.").to_owned();
        let reply = match method.as_str() {
            "Ping" => Reply::result(&Pong {
                version: "1".to_owned(),
                pid: 7,
            }),
            "Snapshot" => Reply::result(&Seen {
                snapshot: Snapshot::default(),
            }),
            "Execute" => Reply::result(&Executed {
                answer: Answer::Done,
            }),
            // The first of many.
            _ => Reply::result(&serde_json::json!({"events": []})).map(Reply::and_more),
        };
        heard.lock().unwrap().push(method);
        if number < count {
            let reply = encode(&reply.unwrap(), MAX_REPLY).unwrap();
            stream.write_all(&reply).unwrap();
        }
    }
}

/// A change that may be asked for twice.
const AGAIN_AND_AGAIN: Command = Command::AwaitChecks;

/// One that may not.
fn only_once() -> Command {
    Command::Unplumb {
        logical: "ge0:1".parse::<LogicalName>().unwrap(),
        family: Family::Inet,
    }
}

fn closed() -> Failure {
    Failure::Unreachable("in.mpathd closed the connection".to_owned())
}

fn untold() -> Failure {
    Failure::Unreachable(UNTOLD.to_owned())
}

#[test]
fn what_is_to_be_seen_is_asked_until_a_daemon_answers() {
    let ending = vec![Unheard, Answers(0), Unheard, Answers(2)];
    let place = Place::with([ending]);
    let mut asking = place.asking(Start::Never);
    assert_eq!(asking.ask(Client::snapshot), Ok(Snapshot::default()));
    // The connection that worked is used again.
    assert_eq!(asking.ask(Client::snapshot), Ok(Snapshot::default()));
    drop(asking);
    assert_eq!(
        place.heard(),
        "connection connection Snapshot connection connection Snapshot Snapshot"
    );
}

#[test]
fn looking_starts_no_daemon() {
    for start in [Start::Never, Start::IfNeeded] {
        let place = Place::with([vec![Answers(0)], vec![Answers(9)]]);
        let mut asking = place.asking(start);
        assert_eq!(asking.ask(Client::snapshot), Err(Failure::NotRunning));
        drop(asking);
        assert_eq!(place.heard(), "connection Snapshot");
    }
}

#[test]
fn who_has_changed_something_starts_the_next_daemon_to_look_at_it() {
    let place = Place::with([vec![Answers(1)], vec![Answers(9)]]);
    let mut asking = place.asking(Start::IfNeeded);
    assert_eq!(asking.execute(&only_once()), Err(untold()));
    assert_eq!(asking.ask(Client::snapshot), Ok(Snapshot::default()));
    drop(asking);
    assert_eq!(
        place.heard(),
        "connection Ping Execute started connection Snapshot"
    );
}

#[test]
fn a_daemon_that_goes_on_ending_is_given_up() {
    let place = Place::with([vec![Unheard; 10_000]]);
    let mut asking = place.asking(Start::Never);
    assert_eq!(asking.ask(Client::snapshot), Err(closed()));
    let so_often = place.heard.lock().unwrap().len();
    assert!((2..10_000).contains(&so_often), "{so_often} times");
}

#[test]
fn a_change_that_may_be_made_twice_is_asked_again_of_the_next_daemon() {
    // One that is ending, which takes connections until it is gone, and one that dies of it.
    for (first, heard) in [
        (vec![Unheard, Unheard], "connection connection started"),
        (vec![Answers(0)], "connection Execute started"),
    ] {
        let place = Place::with([first, vec![Answers(2)]]);
        let mut asking = place.asking(Start::IfNeeded);
        assert_eq!(asking.execute(&AGAIN_AND_AGAIN), Ok(Answer::Done));
        drop(asking);
        assert_eq!(place.heard(), format!("{heard} connection Ping Execute"));
    }
}

#[test]
fn a_change_that_may_be_made_twice_is_asked_again_amid_others() {
    let place = Place::with([vec![Answers(3)], vec![Answers(9)]]);
    let mut asking = place.asking(Start::IfNeeded);
    for _ in 0..5 {
        assert_eq!(asking.execute(&AGAIN_AND_AGAIN), Ok(Answer::Done));
    }
    drop(asking);
    assert_eq!(
        place.heard(),
        "connection Execute Execute Execute Execute started connection Ping Execute Execute"
    );
}

#[test]
fn what_daemons_die_of_kills_two_of_them() {
    let mortal = vec![Answers(0)];
    let place = Place::with([mortal.clone(), vec![Answers(1)], mortal]);
    let mut asking = place.asking(Start::IfNeeded);
    assert_eq!(asking.execute(&AGAIN_AND_AGAIN), Err(untold()));
    drop(asking);
    assert_eq!(
        place.heard(),
        "connection Execute started connection Ping Execute"
    );
}

#[test]
fn another_change_is_asked_once_of_a_daemon_that_answers() {
    let place = Place::with([vec![Unheard, Answers(2)]]);
    let mut asking = place.asking(Start::IfNeeded);
    assert_eq!(asking.execute(&only_once()), Ok(Answer::Done));
    drop(asking);
    assert_eq!(place.heard(), "connection connection Ping Execute");

    let place = Place::with([vec![Answers(1)], vec![Answers(9)]]);
    let mut asking = place.asking(Start::IfNeeded);
    assert_eq!(asking.execute(&only_once()), Err(untold()));
    drop(asking);
    assert_eq!(place.heard(), "connection Ping Execute");
}

#[test]
fn where_no_daemon_may_be_started_none_is() {
    let place = Place::with([vec![Answers(0)], vec![Answers(9)]]);
    let mut asking = place.asking(Start::Never);
    let asked = asking.execute(&AGAIN_AND_AGAIN);
    assert_eq!(asked, Err(Failure::NotRunning));
    drop(asking);
    assert_eq!(place.heard(), "connection Execute");
}

#[test]
fn who_follows_finds_a_daemon_that_answers() {
    let place = Place::with([vec![Unheard, Answers(2)]]);
    let mut asking = place.asking(Start::Never);
    let mut times = 0;
    let followed = asking.connection().unwrap().follow(None, |_| {
        times += 1;
        ControlFlow::Break(())
    });
    assert!(followed.is_ok() && times == 1, "{followed:?}");
    drop(asking);
    assert_eq!(place.heard(), "connection connection Ping Events");
}
