//! The listings of the labs, byte for byte. Lines that end in a blank end in `$` here.

use ipmp_core::Snapshot;

use super::*;
use crate::sample::{lab1, lab1_failed, lab2, lab2_failed, logical, loopback, member, troubled};

fn listed(snapshot: &Snapshot) -> String {
    list(snapshot, &Selection::default(), true).replace(" \n", " $\n")
}

const LO0: &str = "\
lo0: flags=1000849<UP,LOOPBACK,RUNNING,MULTICAST,IPv4> mtu 8232 index 1
\tinet 127.0.0.1 netmask ff000000 $
";

#[test]
fn lab1_before_the_failure() {
    let expected = "\
ge0: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 6
\tinet 192.168.0.86 netmask ffffff00 broadcast 192.168.0.255
\tgroupname testgrp2
\tether 8:0:20:c0:ff:ec $
ge0:1: flags=9040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER> mtu 1500 index 6
\tinet 192.168.0.87 netmask ffffff00 broadcast 192.168.0.255
ge1: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 7
\tinet 192.168.0.88 netmask ffffff00 broadcast 192.168.0.255
\tgroupname testgrp2
\tether 8:0:20:c0:ff:ed $
ge1:1: flags=9040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER> mtu 1500 index 7
\tinet 192.168.0.89 netmask ffffff00 broadcast 192.168.0.255
";
    assert_eq!(listed(&lab1()), format!("{LO0}{expected}"));
}

#[test]
fn lab1_after_ge1_failed() {
    let expected = "\
ge0: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 6
\tinet 192.168.0.86 netmask ffffff00 broadcast 192.168.0.255
\tgroupname testgrp2
\tether 8:0:20:c0:ff:ec $
ge0:1: flags=9040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER> mtu 1500 index 6
\tinet 192.168.0.87 netmask ffffff00 broadcast 192.168.0.255
ge0:2: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 6
\tinet 192.168.0.88 netmask ffffff00 broadcast 192.168.0.255
ge1: flags=19000842<BROADCAST,RUNNING,MULTICAST,IPv4,NOFAILOVER,FAILED> mtu 0 index 7
\tinet 0.0.0.0 netmask 0 $
\tgroupname testgrp2
\tether 8:0:20:c0:ff:ed $
ge1:1: flags=19040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,FAILED> mtu 1500 index 7
\tinet 192.168.0.89 netmask ffffff00 broadcast 192.168.0.255
";
    assert_eq!(listed(&lab1_failed()), format!("{LO0}{expected}"));
}

#[test]
fn an_address_that_another_host_has() {
    let expected = "\
ge0: flags=4001000842<BROADCAST,RUNNING,MULTICAST,IPv4,DUPLICATE> mtu 1500 index 6
\tinet 192.168.0.86 netmask ffffff00 broadcast 192.168.0.255
\tgroupname testgrp2
\tether 8:0:20:c0:ff:ec $
";
    let text = listed(&troubled());
    assert!(text.contains(expected), "{text}");
}

#[test]
fn lab2_idle() {
    let expected = "\
ge0: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 6
\tinet 192.168.0.86 netmask ffffff00 broadcast 192.168.0.255
\tgroupname testgrp2
ge0:1: flags=9040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER> mtu 1500 index 6
\tinet 192.168.0.87 netmask ffffff00 broadcast 192.168.0.255
ge1: flags=69040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,STANDBY,INACTIVE> mtu 1500 index 5
\tinet 192.168.0.88 netmask ffffff00 broadcast 192.168.0.255
\tgroupname testgrp2
";
    assert_eq!(listed(&lab2()), format!("{LO0}{expected}"));
}

#[test]
fn lab2_after_ge0_failed() {
    let expected = "\
ge0: flags=19000842<BROADCAST,RUNNING,MULTICAST,IPv4,NOFAILOVER,FAILED> mtu 0 index 6
\tinet 0.0.0.0 netmask 0 $
\tgroupname testgrp2
ge0:1: flags=19040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,FAILED> mtu 1500 index 6
\tinet 192.168.0.87 netmask ffffff00 broadcast 192.168.0.255
ge1: flags=29040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,STANDBY> mtu 1500 index 5
\tinet 192.168.0.88 netmask ffffff00 broadcast 192.168.0.255
\tgroupname testgrp2
ge1:1: flags=21000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4,STANDBY> mtu 1500 index 5
\tinet 192.168.0.86 netmask ffffff00 broadcast 192.168.0.255
";
    assert_eq!(listed(&lab2_failed()), format!("{LO0}{expected}"));
}

#[test]
fn ipv6_after_ipv4_and_metric_where_there_is_one() {
    let mut other = logical("ge0", "fe80::a00:20ff:fec0:ffec/64", 0x200_0841);
    other.metric = 2;
    let snapshot = Snapshot {
        interfaces: vec![
            member(
                "ge0",
                6,
                "web",
                vec![
                    logical("ge0", "192.168.0.86/24", 0x100_0843),
                    other,
                    logical("ge0:1", "2001:db8::1/64", 0x200_0841),
                ],
            ),
            member(
                "ge1",
                7,
                "",
                vec![logical("ge1", "192.168.0.88/16", 0x100_0843)],
            ),
        ],
        ..Snapshot::default()
    };
    let expected = "\
ge0: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 6
\tinet 192.168.0.86 netmask ffffff00 broadcast 192.168.0.255
\tgroupname web
\tether 8:0:20:c0:ff:ec $
ge1: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 7
\tinet 192.168.0.88 netmask ffff0000 broadcast 192.168.255.255
\tether 8:0:20:c0:ff:ed $
ge0: flags=2000841<UP,RUNNING,MULTICAST,IPv6> metric 2 mtu 1500 index 6
\tinet6 fe80::a00:20ff:fec0:ffec/10 $
\tgroupname web
\tether 8:0:20:c0:ff:ec $
ge0:1: flags=2000841<UP,RUNNING,MULTICAST,IPv6> mtu 1500 index 6
\tinet6 2001:db8::1/64 $
";
    assert_eq!(listed(&snapshot), expected);
}

#[test]
fn absent_interfaces_are_not_listed() {
    let mut snapshot = lab1();
    snapshot.interfaces[1].index = None;
    snapshot.interfaces[2].index = None;
    assert_eq!(listed(&snapshot), LO0);
}

#[test]
fn selections() {
    let mut snapshot = lab1_failed();
    snapshot.interfaces[0] = loopback();
    let names = |selection: &Selection| {
        let of = selection.of(&snapshot);
        of.map(|(_, logical)| display_name(&logical.name))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let all = Selection::default();
    assert_eq!(names(&all), "lo0 ge0 ge0:1 ge0:2 ge1 ge1:1");
    let up = |up| Selection {
        up: Some(up),
        ..Selection::default()
    };
    assert_eq!(names(&up(true)), "lo0 ge0 ge0:1 ge0:2 ge1:1");
    assert_eq!(names(&up(false)), "ge1");
    let only = Selection {
        logical: Some("ge0:2".parse().unwrap()),
        ..Selection::default()
    };
    assert_eq!(names(&only), "ge0:2");
    let ipv6 = Selection {
        family: Some(Family::Inet6),
        ..Selection::default()
    };
    assert_eq!(names(&ipv6), "");
}
