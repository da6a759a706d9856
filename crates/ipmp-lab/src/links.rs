//! Devices, addresses and routes, as an administrator would set them up.

use std::net::IpAddr;
use std::os::fd::AsFd;

use ipmp_core::kernel::{Route, TABLE_MAIN, Via};
use ipmp_core::plan::{Operation, Plan};
use ipmp_core::{InterfaceAddress, InterfaceName};
use ipmp_linux::netns::NetNs;
use ipmp_linux::rtnl::{Rtnl, VethEnd};

use crate::error::{About, LabError};
use crate::host::Nic;

/// Who our routes are from: somebody who typed them (`RTPROT_STATIC`).
const STATIC: u8 = 4;

/// The index of the first port in the backplane. Unless it is wanted, ports must not have the index that
/// their NIC has in its host: the kernel would take the NIC for an ordinary one then, whose loss of
/// carrier may be told up to a second late when another link changed shortly before
/// (`linkwatch_urgent_event`).
const FIRST_PORT: u32 = 1000;

/// The links of one network namespace.
#[derive(Debug)]
pub(crate) struct Links(Rtnl);

impl Links {
    pub(crate) fn open(network: &NetNs) -> Result<Self, LabError> {
        let rtnl = network.run(|| Ok(Rtnl::open())).about("netlink")?;
        rtnl.map(Self).about("netlink")
    }

    /// Makes the device of a NIC in a host's namespace and its port here; the port's index. For an
    /// ordinary NIC both have the same.
    pub(crate) fn create_veth(
        &mut self,
        port: &str,
        nic: &Nic,
        here: &NetNs,
        host: &NetNs,
        ordinary: bool,
    ) -> Result<u32, LabError> {
        let port: InterfaceName = port.parse().about(port)?;
        let index = u32::try_from(nic.cable.id().0)
            .ok()
            .map(|id| FIRST_PORT + id);
        self.0
            .create_veth(
                &VethEnd {
                    name: &port,
                    namespace: here.as_fd(),
                    mac: None,
                    index,
                },
                &VethEnd {
                    name: &nic.name,
                    namespace: host.as_fd(),
                    mac: Some(nic.mac),
                    index: index.filter(|_| ordinary),
                },
            )
            .about(&nic.name)?;
        self.index(&port)
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<(), LabError> {
        let index = self.index_of(name)?;
        self.0.delete_link(index).about(name)
    }

    pub(crate) fn set_up(&mut self, name: &str, up: bool) -> Result<(), LabError> {
        let index = self.index_of(name)?;
        self.0.set_link_up(index, up).about(name)
    }

    /// Adds an address without any mark of ours: to a daemon in the host it is somebody else's.
    pub(crate) fn add_address(
        &mut self,
        name: &str,
        address: InterfaceAddress,
    ) -> Result<(), LabError> {
        let index = self.index_of(name)?;
        self.0.add_plain_address(index, address).about(name)
    }

    /// Adds a route through a gateway, over the link that has an address in the gateway's subnet.
    pub(crate) fn add_route(
        &mut self,
        destination: InterfaceAddress,
        gateway: IpAddr,
    ) -> Result<(), LabError> {
        let kernel = self.0.observe().about(destination)?;
        let index = kernel
            .addresses
            .values()
            .find(|address| address.address.contains(gateway))
            .map(|address| address.index)
            .ok_or_else(|| LabError::new(gateway, "on no network of the host"))?;
        let operation = Operation::AddRoute(Route {
            table: TABLE_MAIN,
            destination,
            metric: match gateway {
                IpAddr::V4(_) => 0,
                IpAddr::V6(_) => 1024,
            },
            protocol: STATIC,
            via: Via::Link {
                index,
                gateway: Some(gateway),
            },
            source: None,
        });
        let plan = Plan {
            operations: vec![operation],
        };
        self.0
            .apply(&plan)
            .into_iter()
            .collect::<Result<(), _>>()
            .about(destination)
    }

    pub(crate) fn index_of(&mut self, name: &str) -> Result<u32, LabError> {
        let name: InterfaceName = name.parse().about(name)?;
        self.index(&name)
    }

    fn index(&mut self, name: &InterfaceName) -> Result<u32, LabError> {
        let found = self.0.link_index(name).about(name)?;
        found.ok_or_else(|| LabError::new(name, "no such link"))
    }
}
