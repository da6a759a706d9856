//! The end of a virtual cable: whole Ethernet frames in and out of a device, with the kernel's notes
//! about unfinished checksums and segments left on them.

#![expect(
    unsafe_code,
    reason = "packet socket options and addresses that no library wraps"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "constants of the kernel, and sizes of a few bytes"
)]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socket};

use crate::set_receive_buffer;

/// Bytes of `virtio_net_hdr` in front of every frame (`linux/virtio_net.h`). It travels with the
/// frame, so that checksums and segmentation which the sending host left to its NIC are understood
/// by the receiving one.
pub const HEADER: usize = 10;

/// Room for the largest frame that segmentation offload makes, and its header.
pub const LARGEST: usize = HEADER + 14 + 65_536;

/// Bytes of frames the kernel keeps for us while we are busy: some hundred full-size segments.
const RECEIVE_BUFFER: usize = 16 << 20;

/// A packet socket that receives what comes out of one device and sends into it.
#[derive(Debug)]
pub struct Wire(OwnedFd);

impl Wire {
    /// The device `index` of the calling thread's network namespace. It may be down and come and
    /// go; the wire only ends when the device is deleted.
    pub fn open(index: u32) -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        set(&fd, libc::PACKET_VNET_HDR)?;
        // What we send ourselves has not come from the host.
        set(&fd, libc::PACKET_IGNORE_OUTGOING)?;
        // A device that got its carrier this moment drops what comes by way of its queue, until the
        // kernel's link watch has had its turn (`dev_activate`).
        set(&fd, libc::PACKET_QDISC_BYPASS)?;
        set_receive_buffer(&fd, RECEIVE_BUFFER)?;

        // SAFETY: sockaddr_ll consists of integers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as libc::c_ushort;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = i32::try_from(index).map_err(|_| Errno::ENODEV)?;
        // SAFETY: the address is a sockaddr_ll of the length given and outlives the call.
        let result = unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                mem::size_of_val(&address) as libc::socklen_t,
            )
        };
        Errno::result(result)?;
        Ok(Self(fd))
    }

    /// Takes the next frame into `buffer`; its length, header included. `WouldBlock` when there is
    /// none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0.as_raw_fd(), buffer, MsgFlags::empty())?)
    }

    /// Sends a frame with its header. Fails at once when the device cannot take it.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn set(fd: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is a c_int of the length given and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    Errno::result(result)?;
    Ok(())
}
