//! Members that are devices on top of others: macvlans, which depend on their lower device as VLANs do and are
//! called like them here, and bridges, which depend on their ports.

use std::time::Duration;

use ipmp_core::snapshot::InterfaceState;
use libtest_mimic::Failed;

use crate::bed::{Bed, same};
use crate::scene::{DATA0, DATA1, Fault, QUICK, by_hand, fd, recovers};

tests![
    members_outlive_loss_of_their_lower_device,
    bridges_are_as_their_ports_are,
];

/// The bound of a failure of the link, as in the other tests of it.
const BOUND: Duration = Duration::from_secs(1);

/// The bound of a silent failure, with what a loaded machine may add.
const SILENT: Duration = Duration::from_secs(3);

/// What is on top fails and returns together with what is below, more often than is damped.
const SETTINGS: &str = "[defaults]\ndampening-half-life = \"off\"\n";

impl Bed {
    /// Two members, called so, with data and test addresses, and an IPv6 address of the first.
    fn sets_up_on(&self, first: &str, second: &str) -> Result<(), Failed> {
        self.host1.write_file("/etc/ipmp.toml", SETTINGS)?;
        self.host2.configure("ge0", "fd00::2/64")?;
        for line in [
            format!("ifconfig {first} plumb 192.168.0.86 group g up"),
            format!("ifconfig {first} addif 192.168.0.87 deprecated -failover up"),
            format!("ifconfig {second} plumb 192.168.0.88 group g up"),
            format!("ifconfig {second} addif 192.168.0.89 deprecated -failover up"),
            format!("ifconfig {first} inet6 plumb group g up"),
            format!("ifconfig {second} inet6 plumb group g up"),
            format!("ifconfig {first} inet6 addif fd00::86/64 up"),
        ] {
            self.types(&line)?;
        }
        self.awaits_probes(&[first, second])?;
        Ok(())
    }

    /// Makes a device on a lower one that is up.
    fn stacks(&self, lower: &str) -> Result<(), Failed> {
        by_hand(&self.host1, &format!("ip link set {lower} up"))?;
        // It is on the same link, where it would answer for all addresses of the host.
        let sysctl = format!("net/ipv4/conf/{lower}/arp_ignore");
        self.host1.set_sysctl(&sysctl, "1")?;
        let line = format!("ip link add link {lower} name {lower}.10 type macvlan mode bridge");
        by_hand(&self.host1, &line)?;
        Ok(())
    }

    /// Both addresses of the first member are there.
    fn awaits_first_at(&self, name: &str) -> Result<(), Failed> {
        self.awaits_holder(DATA0, name)?;
        self.awaits_holder(fd(0x86), name)
    }

    /// Nothing of ours is left in the kernel, and the addresses are at home.
    fn is_torn_down(&self, first: &str, second: &str) -> Result<(), Failed> {
        self.types("ipmp teardown")?;
        self.awaits_no_daemon()?;
        same("nexthops", &self.kernel()?.nexthops.len(), &0)?;
        self.awaits_first_at(first)?;
        self.awaits_holder(DATA1, second)
    }
}

fn members_outlive_loss_of_their_lower_device() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    bed.stacks("ge0")?;
    bed.stacks("ge1")?;
    bed.sets_up_on("ge0.10", "ge1.10")?;
    let pings = [bed.pings(DATA0)?, bed.pings(fd(0x86))?, bed.pings(DATA1)?];

    bed.ge0.cable.pull()?;
    bed.awaits_first_at("ge1.10")?;
    bed.ge0.cable.heal()?;
    bed.awaits_first_at("ge0.10")?;

    by_hand(&bed.host1, "ip link set ge0 down")?;
    bed.awaits_first_at("ge1.10")?;
    by_hand(&bed.host1, "ip link set ge0 up")?;
    bed.awaits_first_at("ge0.10")?;

    // It takes the other one along, which comes back with another number and another hardware address.
    for is_killed in [false, true] {
        bed.host1.unplug_nic("ge0")?;
        bed.awaits_first_at("ge1.10")?;
        if is_killed {
            bed.kills_daemon()?;
        }
        bed.host1.plug_nic("ge0")?;
        bed.stacks("ge0")?;
        if is_killed {
            bed.types("in.mpathd")?;
        }
        bed.awaits_first_at("ge0.10")?;
    }
    for ping in pings {
        recovers(&ping.stop()?, BOUND)?;
    }
    same(
        "what the kernel refused",
        &bed.log()?.contains("Cannot add address"),
        &false,
    )?;
    bed.is_torn_down("ge0.10", "ge1.10")
}

fn bridges_are_as_their_ports_are() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    for (bridge, port) in [("br0", "ge0"), ("br1", "ge1")] {
        for line in [
            format!("ip link add {bridge} type bridge forward_delay 0"),
            format!("ip link set {port} master {bridge}"),
            format!("ip link set {port} up"),
        ] {
            by_hand(&bed.host1, &line)?;
        }
    }
    bed.sets_up_on("br0", "br1")?;
    let pings = [bed.pings(DATA0)?, bed.pings(fd(0x86))?, bed.pings(DATA1)?];

    bed.ge0.cable.pull()?;
    bed.awaits_first_at("br1")?;
    bed.ge0.cable.heal()?;
    bed.awaits_first_at("br0")?;

    by_hand(&bed.host1, "ip link set ge0 nomaster")?;
    bed.awaits_first_at("br1")?;
    by_hand(&bed.host1, "ip link set ge0 master br0")?;
    bed.awaits_first_at("br0")?;

    // As long as another port has its carrier, so has the bridge: probes alone tell.
    for line in [
        "ip link add guest type veth peer name inside",
        "ip link set guest master br0",
        "ip link set inside up",
        "ip link set guest up",
    ] {
        by_hand(&bed.host1, line)?;
    }
    bed.awaits_probes(&["br0", "br1"])?;
    Fault::Pull.strikes(&bed.ge0)?;
    bed.awaits_state("br0", InterfaceState::Failed)?;
    bed.awaits_first_at("br1")?;
    bed.ge0.cable.heal()?;
    bed.awaits_first_at("br0")?;

    // The only port that led somewhere is replaced by another device.
    bed.host1.unplug_nic("ge0")?;
    bed.awaits_first_at("br1")?;
    bed.host1.plug_nic("ge0")?;
    by_hand(&bed.host1, "ip link set ge0 master br0")?;
    by_hand(&bed.host1, "ip link set ge0 up")?;
    bed.awaits_first_at("br0")?;
    for ping in pings {
        recovers(&ping.stop()?, SILENT)?;
    }
    bed.is_torn_down("br0", "br1")
}
