//! Making and moving links: what a laboratory of namespaces needs besides plans.

use std::os::fd::{AsRawFd, BorrowedFd};

use ipmp_core::{InterfaceAddress, InterfaceName, MacAddress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo};
use nix::libc;

use super::decode::Told;
use super::encode::{self, Request};
use super::wire::bytes_of;
use super::{Dump, Rtnl, RtnlError};

impl Rtnl {
    /// Makes a pair of virtual Ethernet links, each in its own namespace. `name` gets `mac`, or one of
    /// the kernel's choice as `peer` always does. `peer` gets that index, or the lowest free one.
    pub fn create_veth(
        &mut self,
        name: &InterfaceName,
        namespace: BorrowedFd<'_>,
        mac: Option<MacAddress>,
        peer: &InterfaceName,
        peer_namespace: BorrowedFd<'_>,
        peer_index: Option<u32>,
    ) -> Result<(), RtnlError> {
        // Only the device that the message is about can be given an index.
        let mut one = encode::link_message(0);
        one.attributes = vec![
            LinkAttribute::IfName(name.to_string()),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        ];
        one.attributes
            .extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        let mut message = encode::link_message(peer_index.unwrap_or(0));
        message.attributes = vec![
            LinkAttribute::IfName(peer.to_string()),
            LinkAttribute::NetNsFd(peer_namespace.as_raw_fd()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(one))),
            ]),
        ];
        let request = Request {
            kind: libc::RTM_NEWLINK,
            flags: NLM_F_CREATE | NLM_F_EXCL,
            body: bytes_of(&message),
            forgiven: &[],
        };
        self.execute(&format!("make links {name} and {peer}"), &request)
    }

    /// The index of the link called `name` in the socket's namespace; `None` if there is none.
    pub fn link_index(&mut self, name: &InterfaceName) -> Result<Option<u32>, RtnlError> {
        let links = self.dump(Dump::Links)?;
        Ok(links.into_iter().find_map(|told| match told {
            Told::Link(link, _) if link.name == *name => Some(link.index),
            _ => None,
        }))
    }

    /// Deletes a link, and with a virtual Ethernet link its peer.
    pub fn delete_link(&mut self, index: u32) -> Result<(), RtnlError> {
        let request = Request {
            kind: libc::RTM_DELLINK,
            flags: 0,
            body: bytes_of(&encode::link_message(index)),
            forgiven: &[],
        };
        self.execute(&format!("delete link {index}"), &request)
    }

    /// Adds an address that bears no mark of ours (`IFA_PROTO`), as an administrator would, and that
    /// no duplicate address detection delays.
    pub fn add_plain_address(
        &mut self,
        index: u32,
        address: InterfaceAddress,
    ) -> Result<(), RtnlError> {
        let what = format!("add {address} to link {index}");
        self.execute(&what, &encode::add_plain_address(index, address))
    }

    /// Sets a link administratively up or down.
    pub fn set_link_up(&mut self, index: u32, up: bool) -> Result<(), RtnlError> {
        let what = format!("set link {index} {}", if up { "up" } else { "down" });
        self.execute(&what, &encode::set_up(index, up))
    }

    /// Gives a link another hardware address; some must be down for it.
    pub fn set_mac(&mut self, index: u32, mac: MacAddress) -> Result<(), RtnlError> {
        let what = format!("set hardware address of link {index} to {mac}");
        self.execute(&what, &encode::set_mac(index, mac))
    }

    /// Gives a link another name; kernels before 6.2 want it down for that.
    pub fn rename_link(&mut self, index: u32, name: &InterfaceName) -> Result<(), RtnlError> {
        let mut message = encode::link_message(index);
        message.attributes = vec![LinkAttribute::IfName(name.to_string())];
        self.execute(
            &format!("rename link {index} to {name}"),
            &encode::set_link(&message),
        )
    }

    /// Moves a link into another namespace, where it may get another index.
    pub fn move_link(&mut self, index: u32, namespace: BorrowedFd<'_>) -> Result<(), RtnlError> {
        let mut message = encode::link_message(index);
        message.attributes = vec![LinkAttribute::NetNsFd(namespace.as_raw_fd())];
        self.execute(
            &format!("move link {index} to another namespace"),
            &encode::set_link(&message),
        )
    }
}
