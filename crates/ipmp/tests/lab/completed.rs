//! What shells offer of a host: the data addresses of its groups, and its NICs whatever they are called.

use std::env;
use std::io::{self, Write};

use libtest_mimic::Failed;

use crate::bed::{Bed, same};

tests![
    shells_offer_data_addresses,
    nics_are_those_of_the_network_namespace,
    names_of_nics_are_not_carried_out,
];

const SLOW: u32 = 10_000;

/// Types this at a bash that completes, M-* putting all that it offers into the line.
fn bash(bed: &Bed, typed: &str) -> Result<String, Failed> {
    let typed = format!(
        "cd /etc; source <(ipmp completions bash); said() {{ printf '%s\\n' \"$@\"; }}\n{typed}\n"
    );
    bed.host1.write_file("/etc/typed", &typed)?;
    bed.types("sh -c 'bash --norc --noprofile -i </etc/typed 2>/dev/null'")
}

fn shells_offer_data_addresses() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    bed.types("ifconfig ge0 inet6 plumb up")?;
    bed.types("ifconfig ge0 inet6 addif 2001:db8::86/64 up")?;
    // A word in front of the line (C-a) makes the shell say what stands there.
    let said = bash(&bed, "ipmp explain 192.168.0.8\x1b*\x01said ")?;
    let expected = "ipmp\nexplain\n192.168.0.86\n192.168.0.88\n";
    same("IPv4 in bash", said.as_str(), expected)?;
    // Colons break words there.
    for beginning in ["2", "2001:", "2001:db8::8"] {
        let said = bash(&bed, &format!("ipmp move {beginning}\x1b*\x01said "))?;
        same(beginning, said.as_str(), "ipmp\nmove\n2001:db8::86\n")?;
    }
    if !bed.host1.run("sh -c 'command -v fish'")?.success() {
        // CI has all of them.
        same("CI without fish", &env::var_os("CI").is_some(), &false)?;
        writeln!(io::stderr(), "LEFT OUT: no fish")?;
        return Ok(());
    }
    bed.host1.write_file(
        "/etc/typed",
        "ipmp completions fish | source\ncomplete -C 'ipmp move 2001:db8'\ntrue\n",
    )?;
    let output = bed.host1.run("fish --no-config /etc/typed")?;
    same("complaints of fish", output.stderr.as_str(), "")?;
    same("IPv6 in fish", output.stdout.as_str(), "2001:db8::86\n")
}

fn nics_are_those_of_the_network_namespace() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let typed = "ipmp offline \x1b*\x01said ";
    let said = bash(&bed, typed)?;
    for name in ["ge0", "ge1", "lo"] {
        same(&said, &said.lines().any(|line| line == name), &true)?;
    }
    // One that was entered without a look at its /sys.
    let within = "unshare -n bash --norc --noprofile -i </etc/typed 2>/dev/null";
    let said = bed.types(&format!("sh -c '{within}'"))?;
    same("NICs", said.as_str(), "ipmp\noffline\n--help\nlo\n")
}

fn names_of_nics_are_not_carried_out() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let name = "$(>done)";
    bed.host1.nic("ge2", &bed.switch)?;
    bed.types("ip link set ge2 down")?;
    bed.types(&format!("ip link set ge2 name '{name}'"))?;
    let said = bash(&bed, "ipmp offline \x1b*\x01said ")?;
    same(&said, &said.lines().any(|line| line == name), &true)?;
    let is_done = bed.host1.run("test -e /etc/done")?.success();
    same("whether it was carried out", &is_done, &false)
}
