//! Sockets that the loop waits for as for one thing: they share an epoll instance.
//!
//! They are opened when they are first needed, and stay open: they are few, and closing a packet socket
//! would hold up the loop for some 10 ms.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::io::unix::AsyncFd;

use crate::driver::watched;

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Sockets {
    epoll: AsyncFd<Instance>,
    /// What of the sockets wakes the loop: datagrams, or nothing.
    interest: EpollFlags,
}

/// An epoll instance with the number tokio wants to see.
#[derive(Debug)]
struct Instance(Epoll);

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Sockets {
    /// None yet. To be called inside the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self {
            epoll: watched(Instance(epoll))?,
            interest: EpollFlags::EPOLLIN,
        })
    }

    /// The socket of a slot, opened if it is not yet.
    pub(crate) fn opened<'s, S: AsFd>(
        &self,
        slot: &'s mut Option<S>,
        open: impl FnOnce() -> io::Result<S>,
    ) -> io::Result<&'s mut S> {
        let socket = if let Some(socket) = slot.take() {
            socket
        } else {
            let socket = open()?;
            // Which one it is does not matter: there are so few that all are looked at.
            let event = EpollEvent::new(self.interest, 0);
            self.epoll.get_ref().0.add(&socket, event)?;
            socket
        };
        Ok(slot.insert(socket))
    }

    /// Whether datagrams on all of them are to end [`Sockets::readable`] from now on, those that are there
    /// already included.
    pub(crate) fn watch<'s>(
        &mut self,
        wanted: bool,
        all: impl IntoIterator<Item = Option<BorrowedFd<'s>>>,
    ) -> io::Result<()> {
        let interest = if wanted {
            EpollFlags::EPOLLIN
        } else {
            EpollFlags::empty()
        };
        if interest == self.interest {
            return Ok(());
        }
        self.interest = interest;
        for socket in all.into_iter().flatten() {
            let mut event = EpollEvent::new(interest, 0);
            self.epoll.get_ref().0.modify(socket, &mut event)?;
        }
        if !wanted {
            // The kernel wakes for what is there when it is asked to watch again only if it does not count
            // as known, which it does until it was looked for in vain.
            self.epoll
                .get_ref()
                .0
                .wait(&mut [EpollEvent::empty()], 0u8)?;
        }
        Ok(())
    }

    /// Waits until there may be something on one of them.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.epoll.readable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn what_came_while_nobody_watched_wakes() {
        let (near, far) = UnixDatagram::pair().unwrap();
        let mut sockets = Sockets::new().unwrap();
        let mut slot = None;
        sockets.opened(&mut slot, || Ok(far)).unwrap();
        let all = || [slot.as_ref().map(AsFd::as_fd)];
        for _ in 0..3 {
            near.send(b"watched").unwrap();
            timeout(Duration::from_secs(10), sockets.readable())
                .await
                .unwrap()
                .unwrap();
            sockets.watch(false, all()).unwrap();
            near.send(b"unwatched").unwrap();
            let early = timeout(Duration::from_millis(20), sockets.readable()).await;
            assert!(early.is_err(), "woken though nobody watched");
            sockets.watch(true, all()).unwrap();
            timeout(Duration::from_secs(10), sockets.readable())
                .await
                .expect("not woken")
                .unwrap();
        }
    }
}
