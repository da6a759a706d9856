//! A TCP connection that is kept busy.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::{LINGER, LOOK, Pace, Stop, outcome, readable_before};
use crate::error::{About, LabError};
use crate::host::Host;

/// How long making the connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection over which one host sends and the other echoes.
#[derive(Debug)]
pub struct TcpConnection {
    object: String,
    stop: Stop,
    exchanges: Arc<AtomicU64>,
    /// Told when the client has ended: an echo that went first would reset the connection.
    server_stop: Stop,
    client: JoinHandle<io::Result<TcpReport>>,
    server: JoinHandle<io::Result<()>>,
}

/// How a [`TcpConnection`] fared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpReport {
    /// Messages that came back.
    pub exchanges: u64,
    /// The longest time a message took to come back, or has been out when it was stopped.
    pub longest_stall: Duration,
    /// Why the connection broke; `None` if it lived to the end.
    pub broken: Option<String>,
}

impl TcpConnection {
    /// Connects from the first address to the second, each of which the host beside it has, and
    /// sends a message every so often, unless the one before is still out. Ends by
    /// [`TcpConnection::stop`] or after `limit`.
    pub fn start(
        (here, here_at): (&Host, IpAddr),
        (there, there_at): (&Host, IpAddr),
        every: Duration,
        limit: Duration,
    ) -> Result<Self, LabError> {
        let object = format!("tcp {here_at} {there_at}");
        let listen = || {
            let listener = TcpListener::bind((there_at, 0))?;
            let address = listener.local_addr()?;
            Ok::<_, io::Error>((listener, address))
        };
        let (listener, address) = there.enter(listen)?.about(&object)?;
        // The kernel completes the connection by itself, so that it is there to be accepted.
        let client = here.enter(|| connect(here_at, address))?.about(&object)?;
        let (server, _) = listener.accept().about(&object)?;
        server.set_nodelay(true).about(&object)?;
        let stop = Stop::default();
        let pace = Pace::new(every, limit, &stop);
        let server_stop = Stop::default();
        let until = Pace::new(every, limit + LINGER, &server_stop);
        let exchanges = Arc::new(AtomicU64::new(0));
        let count = exchanges.clone();
        Ok(Self {
            client: here.thread(move || exchange(client, pace, &count))?,
            server: there.thread(move || echo(server, &until))?,
            object,
            stop,
            exchanges,
            server_stop,
        })
    }

    /// Messages that have come back so far.
    pub fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// Stops sending and tells how the connection fared. A message that is out is not waited for.
    pub fn stop(self) -> Result<TcpReport, LabError> {
        self.stop.tell();
        self.finish()
    }

    /// Lets it run to its limit or until it breaks, and tells how it fared.
    pub fn finish(self) -> Result<TcpReport, LabError> {
        let report = outcome(self.client, &self.object);
        self.server_stop.tell();
        outcome(self.server, &self.object)?;
        report
    }
}

fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), CONNECT)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// The sending end.
fn exchange(mut stream: TcpStream, mut pace: Pace, count: &AtomicU64) -> io::Result<TcpReport> {
    let mut report = TcpReport::default();
    while let Some(tick) = pace.next() {
        // Nothing is under way: what can be read now is the connection's end.
        if readable_before(&stream, tick)? {
            report.broken = Some("the other end closed it".into());
            return Ok(report);
        }
        let sent = Instant::now();
        let message = report.exchanges.to_be_bytes();
        let came_back = send_and_wait(&mut stream, message, &pace);
        report.longest_stall = report.longest_stall.max(sent.elapsed());
        match came_back {
            Ok(true) => {
                report.exchanges += 1;
                count.store(report.exchanges, Ordering::Relaxed);
            }
            Ok(false) => return Ok(report),
            Err(error) => {
                report.broken = Some(error.to_string());
                return Ok(report);
            }
        }
    }
    Ok(report)
}

/// Sends a message and waits until it is back; `false` if it was not when we were told to stop.
fn send_and_wait(stream: &mut TcpStream, message: [u8; 8], pace: &Pace) -> io::Result<bool> {
    stream.write_all(&message)?;
    while !readable_before(stream, Instant::now() + LOOK)? {
        if pace.is_over() {
            return Ok(false);
        }
    }
    let mut back = [0; 8];
    stream.read_exact(&mut back)?;
    if back == message {
        Ok(true)
    } else {
        Err(io::Error::new(
            ErrorKind::InvalidData,
            "another message came back",
        ))
    }
}

/// The echoing end. How the connection ends is for the other to tell.
fn echo(mut stream: TcpStream, pace: &Pace) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while !pace.is_over() {
        if !readable_before(&stream, Instant::now() + LOOK)? {
            continue;
        }
        let Ok(length @ 1..) = stream.read(&mut buffer) else {
            return Ok(());
        };
        let written = stream.write_all(buffer.get(..length).unwrap_or_default());
        if written.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
