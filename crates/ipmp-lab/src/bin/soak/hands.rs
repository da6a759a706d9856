//! Another hand in the kernel of host1: what an administrator or a program that knows nothing of groups
//! might do.

use std::error::Error;
use std::net::IpAddr;

use ipmp_core::InterfaceAddress;
use ipmp_core::kernel::{Kernel, PROTOCOL, Sysctl};
use ipmp_core::plan::{Operation, Plan};
use ipmp_lab::Host;
use ipmp_linux::rtnl::Rtnl;

use crate::faults::{Fault, Kind};
use crate::stage::DATA;

/// Does it; in how many places. An object that is gone meanwhile is no error.
pub(crate) fn meddle(host: &Host, fault: &Fault) -> Result<usize, Box<dyn Error>> {
    let done = host.enter(|| -> Result<usize, String> {
        let mut rtnl = Rtnl::open().map_err(|error| error.to_string())?;
        let kernel = rtnl.observe().map_err(|error| error.to_string())?;
        if fault.kind == Kind::AddressAdded {
            return Ok(add_address(&mut rtnl, &kernel, fault));
        }
        let plan = Plan {
            operations: operations(&kernel, fault),
        };
        let results = rtnl.apply(&plan);
        Ok(results.iter().filter(|result| result.is_ok()).count())
    })??;
    Ok(done)
}

fn operations(kernel: &Kernel, fault: &Fault) -> Vec<Operation> {
    let link = kernel
        .links
        .values()
        .find(|link| link.name.as_str() == fault.nic);
    let index = link.map(|link| link.index);
    match fault.kind {
        Kind::AddressesDeleted => {
            let addresses = kernel
                .addresses
                .values()
                .filter(|address| Some(address.index) == index && is_data(address.address.ip));
            addresses
                .map(|address| Operation::RemoveAddress {
                    index: address.index,
                    address: address.address,
                })
                .collect()
        }
        Kind::RoutesDeleted => {
            let ours = kernel
                .routes
                .iter()
                .filter(|route| route.protocol == PROTOCOL);
            ours.cloned().map(Operation::RemoveRoute).collect()
        }
        Kind::NexthopsDeleted => {
            let ours = kernel
                .nexthops
                .values()
                .filter(|hop| hop.protocol == PROTOCOL);
            ours.map(|hop| Operation::RemoveNexthop(hop.id)).collect()
        }
        Kind::SysctlsReset => {
            let defaults = Sysctl::ALL.into_iter().zip([0, 0, 1, 0, 0, 0, 0]);
            let Some(link) = link else {
                return Vec::new();
            };
            defaults
                .map(|(sysctl, value)| Operation::SetSysctl {
                    index: link.index,
                    interface: link.name.clone(),
                    sysctl,
                    value,
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Adds a data address of the group to the NIC, one that is elsewhere.
fn add_address(rtnl: &mut Rtnl, kernel: &Kernel, fault: &Fault) -> usize {
    let link = kernel
        .links
        .values()
        .find(|link| link.name.as_str() == fault.nic);
    let Some(link) = link else {
        return 0;
    };
    let elsewhere: Vec<InterfaceAddress> = DATA
        .iter()
        .filter(|data| data.group == fault.group)
        .filter_map(|data| {
            Some(InterfaceAddress::new(
                data.address.parse().ok()?,
                data.prefix,
            ))
        })
        .filter(|address| !kernel.addresses.contains_key(&(link.index, *address)))
        .collect();
    let chosen = usize::try_from(fault.chance)
        .ok()
        .and_then(|chance| chance.checked_rem(elsewhere.len()))
        .and_then(|number| elsewhere.get(number));
    let added = chosen.is_some_and(|address| rtnl.add_plain_address(link.index, *address).is_ok());
    usize::from(added)
}

fn is_data(ip: IpAddr) -> bool {
    DATA.iter().any(|data| data.address.parse() == Ok(ip))
}
