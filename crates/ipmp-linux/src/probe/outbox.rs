//! Sending datagrams, many at a time, each to its own address and out of its own link.

use std::io;
use std::mem::{offset_of, zeroed};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use socket2::{SockAddr, Socket};

/// A datagram to be sent.
#[derive(Debug)]
pub(super) struct Letter<Bytes, Info> {
    pub(super) bytes: Bytes,
    pub(super) to: SockAddr,
    /// What else the kernel is told.
    pub(super) info: Info,
}

/// What the kernel is told of a datagram besides its address: nothing, or where it comes from.
pub(super) trait Info: Copy {
    /// Level and type of the control message (`cmsg(3)`); `None` if there is none.
    const KIND: Option<(libc::c_int, libc::c_int)>;
}

impl Info for () {
    const KIND: Option<(libc::c_int, libc::c_int)> = None;
}

impl Info for libc::in_pktinfo {
    const KIND: Option<(libc::c_int, libc::c_int)> = Some((libc::IPPROTO_IP, libc::IP_PKTINFO));
}

impl Info for libc::in6_pktinfo {
    const KIND: Option<(libc::c_int, libc::c_int)> = Some((libc::IPPROTO_IPV6, libc::IPV6_PKTINFO));
}

/// A control message as it lies in memory: the value comes behind the header where the alignment of
/// both, which is at most the header's own, puts it.
#[repr(C)]
struct Control<T> {
    header: libc::cmsghdr,
    value: T,
}

/// Sends what `letter` makes of these, in order. `unsent` is told which ones do not leave, and why.
pub(super) fn post<Probe, Bytes: AsRef<[u8]>, I: Info>(
    socket: &Socket,
    probes: &[&Probe],
    mut letter: impl FnMut(&Probe) -> io::Result<Letter<Bytes, I>>,
    mut unsent: impl FnMut(&Probe, io::Error),
) {
    let mut written = Vec::with_capacity(probes.len());
    let mut letters = Vec::with_capacity(probes.len());
    for &probe in probes {
        match letter(probe) {
            Ok(letter) => {
                written.push(probe);
                letters.push(letter);
            }
            Err(error) => unsent(probe, error),
        }
    }
    send_all(socket, &letters, |at, error| {
        if let Some(probe) = written.get(at) {
            unsent(probe, error);
        }
    });
}

fn send_all<Bytes: AsRef<[u8]>, I: Info>(
    socket: &Socket,
    letters: &[Letter<Bytes, I>],
    mut unsent: impl FnMut(usize, io::Error),
) {
    let mut controls: Vec<Control<I>> = letters.iter().filter_map(control).collect();
    let mut slices: Vec<libc::iovec> = letters.iter().map(slice).collect();
    let mut messages: Vec<libc::mmsghdr> = letters.iter().map(message).collect();
    for (message, slice) in messages.iter_mut().zip(&mut slices) {
        message.msg_hdr.msg_iov = slice;
    }
    for (message, control) in messages.iter_mut().zip(&mut controls) {
        message.msg_hdr.msg_control = (&raw mut *control).cast();
        message.msg_hdr.msg_controllen = size_of::<Control<I>>() as _;
    }
    let mut at = 0;
    while let Some(rest) = messages.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match send_some(socket, rest) {
            // An error that comes later is told when its message is the first.
            Ok(sent) => at += sent.max(1),
            Err(Errno::EINTR) => {}
            Err(errno) => {
                unsent(at, errno.into());
                at += 1;
            }
        }
    }
}

/// Sends until one does not leave; how many did. An error is the first one's.
#[expect(
    unsafe_code,
    reason = "libraries send many with one control message for all"
)]
fn send_some(socket: &Socket, messages: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
    let count = libc::c_uint::try_from(messages.len()).unwrap_or(libc::c_uint::MAX);
    // SAFETY: there are `count` headers, or more. What they point to, addresses, slices and control
    // messages, is borrowed or owned by the only caller until this is over, and only read.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT,
        )
    };
    Errno::result(sent).map(|sent| usize::try_from(sent).unwrap_or_default())
}

#[expect(
    unsafe_code,
    reason = "the header has padding of its own on some systems"
)]
fn control<Bytes, I: Info>(letter: &Letter<Bytes, I>) -> Option<Control<I>> {
    let (level, kind) = I::KIND?;
    // SAFETY: it consists of integers, for which zeros are good.
    let mut header: libc::cmsghdr = unsafe { zeroed() };
    header.cmsg_len = (offset_of!(Control<I>, value) + size_of::<I>()) as _;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    Some(Control {
        header,
        value: letter.info,
    })
}

fn slice<Bytes: AsRef<[u8]>, I>(letter: &Letter<Bytes, I>) -> libc::iovec {
    let bytes = letter.bytes.as_ref();
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

/// A header that names the address and one slice that is still to be put in.
#[expect(
    unsafe_code,
    reason = "the header has padding of its own on some systems"
)]
fn message<Bytes, I>(letter: &Letter<Bytes, I>) -> libc::mmsghdr {
    // SAFETY: it consists of integers and pointers that may be null.
    let mut message: libc::mmsghdr = unsafe { zeroed() };
    message.msg_hdr.msg_name = letter.to.as_ptr().cast_mut().cast();
    message.msg_hdr.msg_namelen = letter.to.len();
    message.msg_hdr.msg_iovlen = 1;
    message
}
