//! How much the kernel keeps of what came in at a socket until it is read.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

/// Asks for so many bytes of room for what was not read yet; the kernel doubles them and counts its own
/// bookkeeping (socket(7), `SO_RCVBUF`). More than the system's limit is had with `CAP_NET_ADMIN` in the first
/// user namespace only; without it, as much as everybody may have.
pub fn set_receive_buffer(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    setsockopt(socket, sockopt::RcvBufForce, &bytes)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &bytes))
        .map_err(io::Error::from)
}
