//! Making and moving links: what a laboratory of namespaces needs besides plans.

use std::os::fd::{AsRawFd, BorrowedFd};

use ipmp_core::{InterfaceAddress, InterfaceName, MacAddress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use nix::libc;

use super::decode::Told;
use super::encode::{self, Request};
use super::wire::bytes_of;
use super::{Dump, Rtnl, RtnlError};

/// One end of a pair of virtual Ethernet links.
#[derive(Clone, Copy, Debug)]
pub struct VethEnd<'a> {
    /// Its name.
    pub name: &'a InterfaceName,
    /// The network namespace it is born in.
    pub namespace: BorrowedFd<'a>,
    /// Its hardware address; without, the kernel chooses one.
    pub mac: Option<MacAddress>,
    /// Its index; without, the lowest that is free. The kernel heeds the second end's only if the first
    /// has one.
    pub index: Option<u32>,
}

impl VethEnd<'_> {
    fn message(&self) -> LinkMessage {
        let mut message = encode::link_message(self.index.unwrap_or(0));
        message.attributes = vec![
            LinkAttribute::IfName(self.name.to_string()),
            LinkAttribute::NetNsFd(self.namespace.as_raw_fd()),
        ];
        let mac = self.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec()));
        message.attributes.extend(mac);
        message
    }
}

impl Rtnl {
    /// Makes a pair of virtual Ethernet links, each in its own namespace.
    pub fn create_veth(
        &mut self,
        first: &VethEnd<'_>,
        second: &VethEnd<'_>,
    ) -> Result<(), RtnlError> {
        let mut message = first.message();
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(second.message()))),
        ]));
        let request = Request {
            kind: libc::RTM_NEWLINK,
            flags: NLM_F_CREATE | NLM_F_EXCL,
            body: bytes_of(&message),
            forgiven: &[],
        };
        let (first, second) = (first.name, second.name);
        self.execute(&format!("make links {first} and {second}"), &request)
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
