//! What stands in a probe behind its ICMP header: an unpredictable cookie, what the probe is for, and
//! its sequence number again.

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To one target: does the interface work?
    Failure = 0x1234,
    /// To one target, because an answer is overdue: does the interface work?
    Burst = 0xdef0,
    /// To everybody, or to somebody not known yet: who is there?
    Discovery = 0x5678,
    /// To one target: how long does it take?
    RoundTrip = 0x9abc,
}

pub(super) fn encode(cookie: u64, kind: Kind, sequence: u16) -> [u8; 16] {
    let low = u64::from(kind as u32) << 32 | u64::from(sequence);
    (u128::from(cookie) << 64 | u128::from(low)).to_be_bytes()
}

/// Cookie and kind; `None` if this is no probe of ours.
pub(super) fn decode(payload: [u8; 16]) -> Option<(u64, Kind)> {
    let [cookie @ .., k0, k1, k2, k3, _, _, _, _] = payload;
    let kind = u32::from_be_bytes([k0, k1, k2, k3]);
    [Kind::Failure, Kind::Burst, Kind::Discovery, Kind::RoundTrip]
        .into_iter()
        .find(|&known| known as u32 == kind)
        .map(|kind| (u64::from_be_bytes(cookie), kind))
}
