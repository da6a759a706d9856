//! A crowd of hostile clients: a process of an ordinary user, as which this test program starts
//! itself inside a host.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The word by which the program knows that it is to be a crowd.
pub(crate) const CROWD: &str = "--crowd";

/// What it says when everybody has come.
pub(crate) const ASSEMBLED: &str = "assembled";

/// How many clients there are.
pub(crate) const CLIENTS: usize = 500;

/// From one byte of those who dribble to the next.
const DRIBBLE: Duration = Duration::from_millis(100);

/// What a client does when it has come.
#[derive(Clone, Copy)]
enum Manner {
    /// Asks for more snapshots than its socket holds, and reads none.
    Greedy,
    /// Follows events, and reads none.
    Deaf,
    /// Sends a request that never ends, byte by byte.
    Dribbling,
    /// Says nothing.
    Silent,
}

/// Is a crowd, if that is what the program was started for: until it is killed.
pub(crate) fn main() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().collect();
    let [_, word, socket] = words.as_slice() else {
        return None;
    };
    (word == CROWD).then(|| match be(Path::new(socket)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    })
}

fn be(socket: &Path) -> io::Result<()> {
    let manners = [
        Manner::Greedy,
        Manner::Deaf,
        Manner::Dribbling,
        Manner::Silent,
    ];
    let mut crowd = Vec::new();
    for manner in manners.into_iter().cycle().take(CLIENTS) {
        crowd.push((manner, come(socket, manner)?));
    }
    writeln!(io::stdout(), "{ASSEMBLED}")?;
    // Whoever is put out comes back, so that the crowd stays one.
    loop {
        sleep(DRIBBLE);
        for (manner, stream) in &mut crowd {
            let is_out = match manner {
                Manner::Dribbling => stream.write_all(b" ").is_err(),
                Manner::Silent | Manner::Greedy | Manner::Deaf => is_hung_up(stream),
            };
            if is_out {
                *stream = come(socket, *manner)?;
            }
        }
    }
}

/// Connects, and does what is its manner. Being turned away is no error: it is what is tried out.
fn come(socket: &Path, manner: Manner) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_nonblocking(true)?;
    // Being turned away while it speaks is what it must expect.
    let _cut_short = match manner {
        Manner::Greedy => stream.write_all(&b"{\"method\":\"org.ipmp.Snapshot\"}\0".repeat(1000)),
        Manner::Deaf => stream.write_all(b"{\"method\":\"org.ipmp.Events\",\"more\":true}\0"),
        Manner::Dribbling => stream.write_all(b"{"),
        Manner::Silent => Ok(()),
    };
    Ok(stream)
}

/// Whether the daemon has closed its end; what it said before stays unread.
fn is_hung_up(stream: &UnixStream) -> bool {
    let mut asked = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Reads the line that says the crowd is there.
pub(crate) fn await_assembly(stdout: &mut impl Read) -> io::Result<()> {
    let mut said = [0; ASSEMBLED.len() + 1];
    stdout.read_exact(&mut said)?;
    if said.starts_with(ASSEMBLED.as_bytes()) {
        Ok(())
    } else {
        Err(io::Error::other("no crowd has assembled"))
    }
}
