//! Netlink framing: messages in datagrams, requests, acknowledgements with the kernel's own words.

use std::io;

use ipmp_core::plan::OperationError;
use netlink_packet_core::{
    Emitable, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NetlinkHeader, NlasIterator,
};
use nix::libc;

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// `NLMSGERR_ATTR_MSG`: a sentence about what went wrong.
const ERROR_TEXT: u16 = 1;

/// One message of a received datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// `nlmsg_type`.
    pub(super) kind: u16,
    /// `nlmsg_flags`.
    pub(super) flags: u16,
    /// `nlmsg_seq`: of the request that it answers or that caused it; 0 if it was none.
    pub(super) sequence: u32,
    /// `nlmsg_pid`: the port of who asked for it; 0 if the kernel does not say.
    pub(super) port: u32,
    /// What follows the header.
    pub(super) payload: &'a [u8],
}

/// Cuts a datagram into messages. Ends at the first header that does not fit.
pub(super) fn messages(mut rest: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let (&header, _) = rest.split_first_chunk::<HEADER>()?;
        let [
            l0,
            l1,
            l2,
            l3,
            k0,
            k1,
            f0,
            f1,
            s0,
            s1,
            s2,
            s3,
            p0,
            p1,
            p2,
            p3,
        ] = header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let payload = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            port: u32::from_ne_bytes([p0, p1, p2, p3]),
            payload,
        })
    })
}

/// Appends a request to `datagram`.
pub(super) fn push_request(
    datagram: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &[u8],
) {
    let length = HEADER + body.len();
    let mut header = NetlinkHeader::default();
    header.length = u32::try_from(length).unwrap_or(u32::MAX);
    header.message_type = kind;
    header.flags = flags;
    header.sequence_number = sequence;
    let mut bytes = [0; HEADER];
    header.emit(&mut bytes);
    datagram.extend_from_slice(&bytes);
    datagram.extend_from_slice(body);
    datagram.resize(datagram.len().next_multiple_of(4), 0);
}

/// The bytes of a message body.
pub(super) fn bytes_of(body: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; body.buffer_len()];
    body.emit(&mut bytes);
    bytes
}

/// Reads an acknowledgement (`NLMSG_ERROR`), or the end of a dump (`NLMSG_DONE`), which carries an
/// error number in the same place.
pub(super) fn acknowledgement(message: Message<'_>) -> Result<(), OperationError> {
    let Some((&code, rest)) = message.payload.split_first_chunk::<4>() else {
        // The end of a dump need not say more than that it is one.
        return if message.kind == NLMSG_DONE {
            Ok(())
        } else {
            Err(error_of(libc::EPROTO))
        };
    };
    let text = error_text(message, rest);
    match i32::from_ne_bytes(code) {
        code if code < 0 => {
            let errno = code.checked_neg().unwrap_or(libc::EPROTO);
            Err(OperationError {
                errno,
                text: text.unwrap_or_else(|| error_of(errno).text),
            })
        }
        _ => {
            if let Some(text) = text {
                tracing::debug!(text, "the kernel accepts with a remark");
            }
            Ok(())
        }
    }
}

/// The kernel's sentence behind an acknowledgement's error number.
fn error_text(message: Message<'_>, rest: &[u8]) -> Option<String> {
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    // An acknowledgement repeats the request, or with NLM_F_CAPPED only its header.
    let skip = if message.kind == NLMSG_DONE {
        0
    } else if message.flags & NLM_F_CAPPED != 0 {
        HEADER
    } else {
        let (&length, _) = rest.split_first_chunk::<4>()?;
        usize::try_from(u32::from_ne_bytes(length))
            .ok()?
            .checked_next_multiple_of(4)?
    };
    NlasIterator::new(rest.get(skip..)?)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == ERROR_TEXT)
        .map(|attribute| text_of(attribute.value()))
        .filter(|text| !text.is_empty())
}

/// A NUL-terminated text.
pub(super) fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// An error number as an operation's error, with the C library's text.
pub(super) fn error_of(errno: i32) -> OperationError {
    OperationError {
        errno,
        text: nix::errno::Errno::from_raw(errno).desc().to_owned(),
    }
}

/// What the operating system said, as an operation's error.
pub(super) fn operation_error(error: &io::Error) -> OperationError {
    error_of(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests;
