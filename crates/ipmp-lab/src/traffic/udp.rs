//! A stream of datagrams both ways at an exact pace.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipmp_linux::set_receive_buffer;

use super::{LINGER, LOOK, Pace, Stop, Trail, outcome, readable_before};
use crate::error::{About, LabError};
use crate::host::Host;

/// Bytes of datagrams that wait until an end has the processor: a second's worth of one each millisecond,
/// and some. What arrived is not to be lost for want of that.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Datagrams from each of two hosts to the other, one every so often each way.
#[derive(Debug)]
pub struct UdpStream {
    object: String,
    stop: Stop,
    forth: Arc<Mutex<Trail>>,
    back: Arc<Mutex<Trail>>,
    threads: [JoinHandle<io::Result<()>>; 2],
}

/// What became of the datagrams of a [`UdpStream`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpReport {
    /// From the first host to the second.
    pub forth: Trail,
    /// From the second host to the first.
    pub back: Trail,
}

impl UdpReport {
    /// What was sent at or after a moment: what happened since a fault.
    #[must_use]
    pub fn since(&self, moment: Instant) -> Self {
        Self {
            forth: self.forth.since(moment),
            back: self.back.since(moment),
        }
    }

    /// Datagrams lost, both ways.
    pub fn lost(&self) -> usize {
        self.forth.lost() + self.back.lost()
    }

    /// The longest time without service in either direction ([`Trail::longest_outage`]).
    pub fn longest_outage(&self) -> Duration {
        let (forth, back) = (self.forth.longest_outage(), self.back.longest_outage());
        forth.max(back)
    }
}

/// One end of the stream.
#[derive(Debug)]
struct End {
    socket: UdpSocket,
    to: SocketAddr,
    sent: Arc<Mutex<Trail>>,
    received: Arc<Mutex<Trail>>,
}

impl UdpStream {
    /// Starts the stream between two addresses, each of which the host beside it has, until
    /// [`UdpStream::stop`] or until `limit` has passed.
    pub fn start(
        (here, here_at): (&Host, IpAddr),
        (there, there_at): (&Host, IpAddr),
        every: Duration,
        limit: Duration,
    ) -> Result<Self, LabError> {
        let object = format!("udp {here_at} {there_at}");
        let open = |host: &Host, ip: IpAddr| -> Result<(UdpSocket, SocketAddr), LabError> {
            let opened = host.enter(|| {
                let socket = UdpSocket::bind((ip, 0))?;
                socket.set_nonblocking(true)?;
                set_receive_buffer(&socket, RECEIVE_BUFFER)?;
                let address = socket.local_addr()?;
                Ok::<_, io::Error>((socket, address))
            })?;
            opened.about(format!("{}: {object}", host.name()))
        };
        let (here_socket, here_address) = open(here, here_at)?;
        let (there_socket, there_address) = open(there, there_at)?;
        let (forth, back) = (Arc::default(), Arc::default());
        let stop = Stop::default();
        let near = End {
            socket: here_socket,
            to: there_address,
            sent: Arc::clone(&forth),
            received: Arc::clone(&back),
        };
        let far = End {
            socket: there_socket,
            to: here_address,
            sent: Arc::clone(&back),
            received: Arc::clone(&forth),
        };
        let paces = [(); 2].map(|()| Pace::new(every, limit, &stop));
        let [near_pace, far_pace] = paces;
        let threads = [
            here.thread(move || near.run(near_pace))?,
            there.thread(move || far.run(far_pace))?,
        ];
        Ok(Self {
            object,
            stop,
            forth,
            back,
            threads,
        })
    }

    /// Takes out what was sent before a moment, which should be long enough ago for all of it to have
    /// arrived. The stream goes on; neither [`UdpStream::stop`] nor the next call tells of it again.
    pub fn take(&self, before: Instant) -> UdpReport {
        UdpReport {
            forth: lock(&self.forth).take(before),
            back: lock(&self.back).take(before),
        }
    }

    /// Stops sending, waits up to a second for what is under way, and tells what became of all.
    pub fn stop(self) -> Result<UdpReport, LabError> {
        self.stop.tell();
        self.finish()
    }

    /// Lets it run to its limit, and tells what became of all.
    pub fn finish(self) -> Result<UdpReport, LabError> {
        for thread in self.threads {
            outcome(thread, &self.object)?;
        }
        let report = UdpReport {
            forth: lock(&self.forth).clone(),
            back: lock(&self.back).clone(),
        };
        Ok(report)
    }
}

impl End {
    fn run(&self, pace: Pace) -> io::Result<()> {
        for tick in pace {
            while readable_before(&self.socket, tick)? {
                self.receive();
            }
            let number = lock(&self.sent).send();
            // While the address is on no NIC, or no route leads there, the datagram is lost.
            let _unsent = self.socket.send_to(&number.to_be_bytes(), self.to);
        }
        lock(&self.sent).end();
        let deadline = Instant::now() + LINGER;
        while self.expects_more() && Instant::now() < deadline {
            // The other end may find out meanwhile that it has sent its last one.
            if readable_before(&self.socket, Instant::now() + LOOK)? {
                self.receive();
            }
        }
        Ok(())
    }

    fn expects_more(&self) -> bool {
        let received = lock(&self.received);
        !received.has_ended() || !received.is_complete()
    }

    fn receive(&self) {
        let mut number = [0; 8];
        // Anything else than a number is not from us.
        if let Ok((8, _)) = self.socket.recv_from(&mut number) {
            let at = Instant::now();
            lock(&self.received).arrive(u64::from_be_bytes(number), at);
        }
    }
}

fn lock(trail: &Mutex<Trail>) -> MutexGuard<'_, Trail> {
    trail.lock().unwrap_or_else(PoisonError::into_inner)
}
