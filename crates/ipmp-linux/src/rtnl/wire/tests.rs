use netlink_packet_core::NLMSG_ERROR;

use super::*;

/// `RTM_NEWADDR` refused with EEXIST and a sentence, as the kernel sends it with `NLM_F_CAPPED`.
fn refusal(flags: u16, request: &[u8]) -> Vec<u8> {
    let mut body = (-17_i32).to_ne_bytes().to_vec();
    body.extend_from_slice(request);
    let text = b"ipv4: Address already assigned\0";
    body.extend_from_slice(&u16::try_from(text.len() + 4).unwrap().to_ne_bytes());
    body.extend_from_slice(&ERROR_TEXT.to_ne_bytes());
    body.extend_from_slice(text);
    let mut datagram = Vec::new();
    push_request(&mut datagram, NLMSG_ERROR, flags, 7, &body);
    datagram
}

fn outcome(datagram: &[u8]) -> Result<(), OperationError> {
    let all: Vec<_> = messages(datagram).collect();
    assert_eq!(all.len(), 1);
    acknowledgement(all[0])
}

#[test]
fn the_kernels_sentence_is_found() {
    let mut header = Vec::new();
    push_request(&mut header, 20, 5, 7, &[]);
    let mut whole = Vec::new();
    push_request(&mut whole, 20, 5, 7, &[1, 2, 3, 4, 5, 6, 7, 8]);
    for datagram in [
        refusal(NLM_F_ACK_TLVS | NLM_F_CAPPED, &header),
        refusal(NLM_F_ACK_TLVS, &whole),
    ] {
        let error = outcome(&datagram).unwrap_err();
        assert_eq!(error.errno, 17);
        assert_eq!(error.text, "ipv4: Address already assigned");
    }
    // Without one, the C library's.
    let error = outcome(&refusal(NLM_F_CAPPED, &header)).unwrap_err();
    assert_eq!(error.text, "File exists");
}

#[test]
fn success_and_ends_of_dumps() {
    for (kind, body, expected) in [
        (NLMSG_ERROR, vec![0; 20], Ok(())),
        (NLMSG_DONE, vec![], Ok(())),
        (NLMSG_DONE, vec![0; 4], Ok(())),
        (NLMSG_DONE, (-2_i32).to_ne_bytes().to_vec(), Err(2)),
        (NLMSG_ERROR, vec![], Err(libc::EPROTO)),
        (
            NLMSG_ERROR,
            i32::MIN.to_ne_bytes().to_vec(),
            Err(libc::EPROTO),
        ),
    ] {
        let mut datagram = Vec::new();
        push_request(&mut datagram, kind, 0, 1, &body);
        assert_eq!(outcome(&datagram).map_err(|error| error.errno), expected);
    }
}

#[test]
fn datagrams_are_cut_into_messages() {
    let mut datagram = Vec::new();
    push_request(&mut datagram, 16, 2, 1, &[1, 2, 3]);
    push_request(&mut datagram, 17, 0, 2, &[]);
    let all: Vec<_> = messages(&datagram).collect();
    let [first, second] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!((first.kind, first.flags, first.sequence), (16, 2, 1));
    assert_eq!(first.payload, [1, 2, 3]);
    assert_eq!((second.kind, second.sequence), (17, 2));
    assert!(second.payload.is_empty());
}

#[test]
fn broken_datagrams_end_early() {
    let mut header = Vec::new();
    push_request(&mut header, 20, 5, 7, &[]);
    let whole = refusal(NLM_F_ACK_TLVS | NLM_F_CAPPED, &header);
    for length in 0..whole.len() {
        for message in messages(&whole[..length]) {
            let _ = acknowledgement(message);
        }
    }
    for position in 0..whole.len() {
        for value in [0, 1, 3, 15, 0x80, 0xff] {
            let mut broken = whole.clone();
            broken[position] = value;
            for message in messages(&broken) {
                let _ = acknowledgement(message);
            }
        }
    }
    // A length shorter than the header itself.
    assert_eq!(
        messages(&[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).count(),
        0
    );
}
