//! Packet sockets: whole frames into a device (`packet(7)`).

use std::io;

use etherparse::EtherType;
use nix::libc;
use socket2::{Domain, SockAddr, Socket, Type};

/// Nobody's router may carry neighbour discovery on, and receivers refuse what one has (RFC 4861
/// section 7.1).
pub(crate) const HOP_LIMIT: u8 = 255;

/// A socket to send frames with. Having no protocol it receives nothing until it is bound to one.
/// A device with a full queue is not waited for: sending fails.
pub(crate) fn open() -> io::Result<Socket> {
    Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None)
}

/// The address of a device for frames of a protocol; index 0 is any device, for receiving.
#[expect(unsafe_code, reason = "no library makes this kind of address")]
pub(crate) fn device_address(index: u32, protocol: EtherType) -> io::Result<SockAddr> {
    let index = i32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    // SAFETY: the storage is zeroed, aligned and large enough for every kind of socket address;
    // sockaddr_ll consists of integers, so zeros are one; the length is that of what is written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let address = storage.cast::<libc::sockaddr_ll>();
            (*address).sll_family =
                libc::sa_family_t::try_from(libc::AF_PACKET).unwrap_or_default();
            (*address).sll_protocol = protocol.0.to_be();
            (*address).sll_ifindex = index;
            *length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
            Ok(())
        })
    }?;
    Ok(address)
}
