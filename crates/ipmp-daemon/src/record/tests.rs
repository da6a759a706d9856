use std::io::BufReader;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::mpsc::{Receiver, channel};

use ipmp_api::recording::Reader;

use super::*;

fn started(path: &Path, limit: u64) -> io::Result<Recorder> {
    Recorder::open(path, limit, &header(7, &Settings::default(), None))
}

fn settings() -> Event {
    Event::Settings(Settings::default())
}

/// The steps of a recording and why it ends.
fn read(path: &Path) -> (usize, Option<String>) {
    let (header, lines) = Reader::new(BufReader::new(File::open(path).unwrap())).unwrap();
    assert_eq!(header.seed, 7);
    let mut steps = 0;
    let mut end = None;
    for line in lines {
        match line.unwrap() {
            Line::Step(_) => steps += 1,
            Line::End(last) => end = Some(last.end),
        }
    }
    (steps, end)
}

#[test]
fn all_that_was_noted_is_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let mut recorder = started(&path, 1 << 20).unwrap();
    for ms in 0..100 {
        recorder.note(Time::from_millis(ms), settings(), &[Action::Observe]);
    }
    recorder.end();
    assert_eq!(read(&path), (100, Some("the daemon ends".to_owned())));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

    // The next daemon keeps it.
    started(&path, 1 << 20).unwrap().end();
    assert_eq!(read(&path).0, 0);
    assert_eq!(read(&old(&path)).0, 100);
}

#[test]
fn it_ends_at_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let limit = 64 << 10;
    let mut recorder = started(&path, limit).unwrap();
    for ms in 0..10_000 {
        recorder.note(Time::from_millis(ms), settings(), &[]);
        // Slowly enough to be written.
        if ms % 1000 == 0 {
            thread::yield_now();
        }
    }
    recorder.end();
    let size = fs::metadata(&path).unwrap().len();
    assert!(size <= limit, "{size}");
    let (steps, end) = read(&path);
    assert!(steps > 100, "{steps}");
    assert_eq!(end.as_deref(), Some("it has the size it may have"));
}

/// A disk that takes nothing until it is told to.
struct Stuck(Receiver<()>, File);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whoever lets go once lets go for ever.
        let _ = self.0.recv();
        self.1.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

#[test]
fn a_disk_that_is_too_slow_ends_it_and_holds_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let (release, stuck) = channel();
    let mut writer = Writer {
        out: BufWriter::new(Stuck(stuck, create(&path).unwrap())),
        left: 64 << 20,
    };
    assert!(
        writer
            .write(&header(7, &Settings::default(), None))
            .unwrap()
    );
    let (queue, noted) = sync_channel(QUEUE);
    let is_full = Arc::new(AtomicBool::new(false));
    let was_full = Arc::clone(&is_full);
    let at = path.clone();
    let mut recorder = Recorder {
        queue: Some(queue),
        is_full,
        thread: thread::spawn(move || writer.run(&at, &noted, &was_full)),
    };
    // More than the queue and the writer's buffer hold. None of this waits: the disk takes nothing.
    let many = 20 * QUEUE;
    for ms in 0..many {
        recorder.note(Time::from_millis(ms as u64), settings(), &[]);
    }
    assert!(recorder.queue.is_none());
    drop(release);
    recorder.end();
    let (steps, end) = read(&path);
    assert!((QUEUE..many).contains(&steps), "{steps}");
    assert_eq!(end.as_deref(), Some("writing is too slow"));
}

#[test]
fn no_link_is_followed_and_nothing_else_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    for target in [&victim, &directory.path().join("nothing")] {
        symlink(target, &path).unwrap();
        let error = started(&path, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    // The old one may be a link, which is replaced itself.
    fs::write(&path, "").unwrap();
    symlink(&victim, old(&path)).unwrap();
    started(&path, 1 << 20).unwrap().end();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(started(&path, 1 << 20).is_err());
    assert!(started(&directory.path().join("no/such"), 1 << 20).is_err());
}
