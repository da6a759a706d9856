//! Per-interface sysctls, through `/proc/sys/net`, which shows the network namespace of the thread
//! that looks.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use ipmp_core::kernel::Sysctl;
use ipmp_core::{Family, InterfaceName};

/// Reads a sysctl; `None` where there is no such file or no number in it (no IPv6, a link just gone).
pub(crate) fn read(interface: &InterfaceName, sysctl: Sysctl) -> Option<i32> {
    fs::read_to_string(path(interface, sysctl))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Writes a sysctl.
pub(crate) fn write(interface: &InterfaceName, sysctl: Sysctl, value: i32) -> io::Result<()> {
    // Not fs::write: that would create a file if /proc were not there.
    let mut file = OpenOptions::new()
        .write(true)
        .open(path(interface, sysctl))?;
    file.write_all(value.to_string().as_bytes())
}

fn path(interface: &InterfaceName, sysctl: Sysctl) -> String {
    let (family, file) = sysctl.file();
    let family = match family {
        Family::Inet => "ipv4",
        Family::Inet6 => "ipv6",
    };
    format!("/proc/sys/net/{family}/conf/{interface}/{file}")
}
