//! Classic BPF programs: what of a socket's packets is let through to us.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use etherparse::{icmpv4, icmpv6};
use nix::libc;
use socket2::SockFilter;

/// A program: its instructions.
pub(super) type Program = Vec<SockFilter>;

/// Offset from which on a program reads what the kernel knows of a packet (`SKF_AD_OFF`), and in it
/// for whom the packet was (`SKF_AD_PKTTYPE`).
const PACKET_TYPE: u32 = 0xffff_f000 + 4;

/// For this host by its hardware address (`PACKET_HOST`): not broadcast, not somebody else's.
const FOR_THIS_HOST: u32 = 0;

/// For several, this host among them (`PACKET_MULTICAST`). What is greater is for somebody else; so is what
/// belongs to a VLAN of which there is no link here.
const FOR_A_GROUP: u32 = 2;

/// The flag of a neighbour advertisement that says so (RFC 4861 section 4.4).
const SOLICITED: u32 = 0x40;

/// Identifiers of probes: some in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identifiers {
    first: u16,
    /// How many come after the first.
    more: u16,
}

impl Identifiers {
    pub(super) const fn only(identifier: u16) -> Self {
        Self {
            first: identifier,
            more: 0,
        }
    }

    pub(super) const fn contains(self, identifier: u16) -> bool {
        identifier.wrapping_sub(self.first) <= self.more
    }

    /// These and another one, and what lies between them the shorter way round.
    pub(super) const fn and(self, identifier: u16) -> Self {
        if self.contains(identifier) {
            return self;
        }
        let forth = identifier.wrapping_sub(self.first);
        let back = self.first.wrapping_sub(identifier);
        match self.more.checked_add(back) {
            Some(more) if more < forth => Self {
                first: identifier,
                more,
            },
            _ => Self {
                first: self.first,
                more: forth,
            },
        }
    }
}

/// Whose packets pass, by the last 32 bits of their addresses: targets that answer, or addresses of ours that
/// others claim. A flood of anybody else's ends in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// These.
    Some(BTreeSet<u32>),
    /// There are so many that a program would be long.
    All,
}

impl Addresses {
    /// Most that are told apart. The kernel takes 4096 instructions; whether it has memory for that many is
    /// found out by [`LinkSocket::pass`](super::link::LinkSocket::pass).
    const MOST: usize = 1024;

    /// Nobody's.
    pub(super) const fn none() -> Self {
        Self::Some(BTreeSet::new())
    }

    /// These and another one; `None` if it is among them.
    pub(super) fn with(&self, address: u32) -> Option<Self> {
        match self {
            Self::All => None,
            Self::Some(addresses) if addresses.contains(&address) => None,
            Self::Some(addresses) if addresses.len() < Self::MOST => {
                let mut addresses = addresses.clone();
                addresses.insert(address);
                Some(Self::Some(addresses))
            }
            Self::Some(_) => Some(Self::All),
        }
    }

    /// Passes if the word at this offset is one of them, else does not.
    fn pass_word_at(&self, offset: u32) -> Program {
        let Self::Some(addresses) = self else {
            return vec![pass()];
        };
        let mut program = vec![statement(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            offset,
        )];
        let addresses: Vec<u32> = addresses.iter().copied().collect();
        program.extend(pass_one_of(&addresses));
        program
    }
}

impl FromIterator<u32> for Addresses {
    fn from_iter<I: IntoIterator<Item = u32>>(addresses: I) -> Self {
        let addresses = BTreeSet::from_iter(addresses);
        if addresses.len() > Self::MOST {
            return Self::All;
        }
        Self::Some(addresses)
    }
}

/// Passes if what was loaded is one of these, which are in order. They are halved until few are left: a
/// flood is not to be compared with each.
fn pass_one_of(words: &[u32]) -> Program {
    /// So few that halving them saves nothing.
    const FEW: usize = 4;
    let (lower, upper) = words.split_at(words.len() / 2);
    let Some(&middle) = upper.first().filter(|_| words.len() > FEW) else {
        let compared = words.iter().flat_map(|&word| [unless(word, 1), pass()]);
        return compared.chain([drop()]).collect();
    };
    let lower = pass_one_of(lower);
    let mut program = match u8::try_from(lower.len()) {
        Ok(length) => vec![if_at_least(middle, length)],
        // Further than a comparison jumps.
        Err(_) => vec![unless_at_least(middle, 1), jump(lower.len())],
    };
    program.extend(lower);
    program.extend(pass_one_of(upper));
    program
}

/// The last 32 bits of an IPv6 address.
pub(super) const fn last_word(ip: Ipv6Addr) -> u32 {
    let [.., a, b, c, d] = ip.octets();
    u32::from_be_bytes([a, b, c, d])
}

/// Lets echo replies with these identifiers pass. The program sees an IPv4 packet from its IP header
/// on, an IPv6 one from its ICMP header on.
pub(super) fn echo_replies(is_v4: bool, identifiers: Identifiers) -> Program {
    let (mode, kind) = if is_v4 {
        (libc::BPF_IND, icmpv4::TYPE_ECHO_REPLY)
    } else {
        (libc::BPF_ABS, icmpv6::TYPE_ECHO_REPLY)
    };
    let mut program = Vec::new();
    if is_v4 {
        // X = length of the IP header
        program.push(statement(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0));
    }
    program.extend([
        statement(libc::BPF_LD | libc::BPF_B | mode, 0),
        unless(kind.into(), 5),
        statement(libc::BPF_LD | libc::BPF_H | mode, 4),
        statement(libc::BPF_ALU | libc::BPF_SUB, identifiers.first.into()),
        // Numbers of 16 bits, in registers of 32.
        statement(libc::BPF_ALU | libc::BPF_AND, u16::MAX.into()),
        if_greater(identifiers.more.into(), 1),
        pass(),
        drop(),
    ]);
    program
}

/// Lets ARP replies of these pass that are addressed to this host. The program sees whole frames.
pub(super) fn arp_replies(targets: &Addresses) -> Program {
    let mut program = vec![
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, PACKET_TYPE),
        if_equal(FOR_THIS_HOST, 1),
        drop(),
        // Ethernet and IPv4
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 14),
        if_equal(0x0001_0800, 1),
        drop(),
        // the operation
        statement(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 20),
        if_equal(2, 1),
        drop(),
    ];
    // the sender's address
    program.extend(targets.pass_word_at(28));
    program
}

/// Lets ARP requests and replies pass in which one of these is the sender, if this host was to see them.
/// The program sees whole frames.
pub(super) fn arp_claims(addresses: &Addresses) -> Program {
    let mut program = vec![
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, PACKET_TYPE),
        unless_greater(FOR_A_GROUP, 1),
        drop(),
        // Ethernet and IPv4
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 14),
        if_equal(0x0001_0800, 1),
        drop(),
    ];
    // the sender's address
    program.extend(addresses.pass_word_at(28));
    program
}

/// Lets neighbour advertisements of these pass; if so told, only those that say that they were
/// solicited. The program sees them from the ICMP header on.
pub(super) fn neighbour_advertisements(addresses: &Addresses, solicited: bool) -> Program {
    let mut program = vec![
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0),
        if_equal(icmpv6::TYPE_NEIGHBOR_ADVERTISEMENT.into(), 1),
        drop(),
    ];
    if solicited {
        program.extend([
            statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 4),
            if_any_bit(SOLICITED, 1),
            drop(),
        ]);
    }
    // the end of the target's address
    program.extend(addresses.pass_word_at(20));
    program
}

/// Lets nothing pass.
pub(super) fn nothing() -> Program {
    vec![drop()]
}

fn statement(code: u32, k: u32) -> SockFilter {
    SockFilter::new(narrow(code), 0, 0, k)
}

/// Goes on if equal, else jumps over so many instructions.
fn unless(k: u32, jump: u8) -> SockFilter {
    SockFilter::new(narrow(libc::BPF_JMP | libc::BPF_JEQ), 0, jump, k)
}

/// Jumps over so many instructions if equal.
fn if_equal(k: u32, jump: u8) -> SockFilter {
    SockFilter::new(narrow(libc::BPF_JMP | libc::BPF_JEQ), jump, 0, k)
}

/// Jumps over so many instructions if one of these bits is set.
fn if_any_bit(k: u32, jump: u8) -> SockFilter {
    SockFilter::new(narrow(libc::BPF_JMP | libc::BPF_JSET), jump, 0, k)
}

/// Jumps over so many instructions unless greater.
fn unless_greater(k: u32, jump: u8) -> SockFilter {
    SockFilter::new(narrow(libc::BPF_JMP | libc::BPF_JGT), 0, jump, k)
}

/// Jumps over so many instructions if not less.
fn if_at_least(k: u32, jump: u8) -> SockFilter {
    SockFilter::new(narrow(libc::BPF_JMP | libc::BPF_JGE), jump, 0, k)
}

/// Jumps over so many instructions if less.
fn unless_at_least(k: u32, jump: u8) -> SockFilter {
    SockFilter::new(narrow(libc::BPF_JMP | libc::BPF_JGE), 0, jump, k)
}

/// Jumps over so many instructions, few or many.
fn jump(over: usize) -> SockFilter {
    let over = u32::try_from(over).unwrap_or(u32::MAX);
    statement(libc::BPF_JMP | libc::BPF_JA, over)
}

/// Goes on unless greater, else jumps over so many instructions.
fn if_greater(k: u32, jump: u8) -> SockFilter {
    SockFilter::new(narrow(libc::BPF_JMP | libc::BPF_JGT), jump, 0, k)
}

fn pass() -> SockFilter {
    statement(libc::BPF_RET, u32::MAX)
}

fn drop() -> SockFilter {
    statement(libc::BPF_RET, 0)
}

/// Operation codes of BPF fit 16 bits; the C library's constants are wider.
fn narrow(code: u32) -> u16 {
    u16::try_from(code).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use socket2::SockRef;

    use super::*;

    #[test]
    fn programs_are_as_long_as_their_jumps_say() {
        assert_eq!(echo_replies(true, Identifiers::only(1)).len(), 9);
        assert_eq!(echo_replies(false, Identifiers::only(1)).len(), 8);
    }

    /// Which of these words a program lets pass that looks for it in the first four bytes of a packet.
    fn passing(addresses: &Addresses, words: &[u32]) -> Vec<u32> {
        let (near, far) = UnixDatagram::pair().unwrap();
        let filtered = SockRef::from(&far);
        filtered.attach_filter(&addresses.pass_word_at(0)).unwrap();
        far.set_nonblocking(true).unwrap();
        let passes = |word: &u32| {
            near.send(&word.to_be_bytes()).unwrap();
            far.recv(&mut [0; 4]).is_ok()
        };
        words.iter().copied().filter(passes).collect()
    }

    #[test]
    fn addresses_are_told_apart_up_to_a_number() {
        let mut addresses = Addresses::none();
        for address in 0..1024 {
            addresses = addresses.with(address).unwrap();
            assert_eq!(addresses.with(address), None, "{address} is there already");
        }
        // The kernel takes 4096 instructions.
        assert!(arp_claims(&addresses).len() < 4000);
        assert_eq!((0..1024).collect::<Addresses>(), addresses);
        addresses = addresses.with(1024).unwrap();
        assert_eq!(addresses, Addresses::All);
        assert_eq!(addresses.with(1025), None);
        assert_eq!((0..1025).collect::<Addresses>(), Addresses::All);
    }

    #[test]
    fn whatever_their_number_addresses_pass_and_nobody_else() {
        let of = |words: &[u32]| words.iter().copied().collect::<Addresses>();
        for number in [0, 1, 2, 3, 4, 5, 8, 9, 100, 127, 200, 333, 1024] {
            // Every third, up to the largest number there is.
            let words: Vec<u32> = (0..number).map(|n| u32::MAX - n * 3).rev().collect();
            let between: Vec<u32> = words.iter().map(|word| word - 1).chain([0, 1]).collect();
            assert_eq!(passing(&of(&words), &words), words, "{number}");
            assert_eq!(passing(&of(&words), &between), [], "{number}");
            assert_eq!(passing(&Addresses::All, &between), between);
        }
    }

    #[test]
    fn identifiers_grow_the_shorter_way() {
        let both = |a: u16, b| Identifiers::only(a).and(b);
        assert_eq!(both(10, 14), Identifiers { first: 10, more: 4 });
        assert_eq!(both(14, 10), Identifiers { first: 10, more: 4 });
        assert_eq!(
            both(0xffff, 1),
            Identifiers {
                first: 0xffff,
                more: 2
            }
        );
        assert_eq!(
            both(1, 0xffff),
            Identifiers {
                first: 0xffff,
                more: 2
            }
        );
        for start in [0, 1, 0x7fff, 0x8000, 0xffff] {
            for other in (0..=u16::MAX).step_by(257) {
                for third in [0, 0x4000, 0x8000, 0xc000, 0xffff] {
                    let all = both(start, other).and(third);
                    assert!(all.contains(start) && all.contains(other) && all.contains(third));
                }
            }
        }
    }
}
