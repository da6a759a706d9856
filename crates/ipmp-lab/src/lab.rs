//! The lab: what its hosts have in common.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ipmp_core::MacAddress;
use ipmp_linux::netns::NetNs;
use ipmp_linux::realtime;

use crate::cable::Switch;
use crate::error::{About, LabError};
use crate::fabric::Fabric;
use crate::host::Host;
use crate::links::Links;

/// The switches' real-time priority. They stand for hardware, which waits for no program of a host, nor for
/// the daemon: what is found is to be the fault in a cable, never that the machine is loaded.
const PRIORITY: i32 = realtime::PRIORITY + 1;

/// A lab. When it is dropped its hosts are switched off and nothing of it remains. If the process is
/// killed instead, the kernel sees to that.
#[derive(Debug)]
pub struct Lab {
    core: Arc<Core>,
    program: PathBuf,
    hosts: Mutex<Vec<Host>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// What hosts, switches and cables of one lab share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) fabric: Fabric,
    /// Where the switch ends of all cables are; nobody lives there.
    pub(crate) backplane: NetNs,
    links: Mutex<Links>,
    macs: AtomicU32,
}

impl Core {
    /// The devices of the backplane.
    pub(crate) fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A hardware address that no other NIC of the lab has: locally administered, in order.
    pub(crate) fn next_mac(&self) -> MacAddress {
        let number = self.macs.fetch_add(1, Ordering::Relaxed) + 1;
        let [a, b, c, d] = number.to_be_bytes();
        MacAddress([0x02, 0x00, a, b, c, d])
    }
}

impl Lab {
    /// An empty lab. `program` is the executable that all tools of its hosts are links to.
    /// [`crate::enter()`] has to be called before.
    pub fn new(program: &Path) -> Result<Self, LabError> {
        Self::with_seed(program, 1)
    }

    /// The same, with the seed of all chance in it.
    pub fn with_seed(program: &Path, seed: u64) -> Result<Self, LabError> {
        let program = program.canonicalize().about(program.display())?;
        let backplane = NetNs::create().about("backplane")?;
        // Port devices are ends of cables, not stations: they must not speak.
        backplane
            .run(|| {
                ["all", "default"].iter().try_for_each(|which| {
                    let file = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
                    match std::fs::write(file, "1") {
                        // A kernel without IPv6.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                        other => other,
                    }
                })
            })
            .about("backplane")?;
        let links = Links::open(&backplane)?;
        let core = Arc::new(Core {
            fabric: Fabric::new(seed).about("switches")?,
            backplane,
            links: Mutex::new(links),
            macs: AtomicU32::new(0),
        });
        let thread = std::thread::Builder::new()
            .name("lab-fabric".into())
            .spawn({
                let core = core.clone();
                move || {
                    // Without the right to it, a loaded machine makes frames late.
                    let _ordinary = realtime::set_priority(PRIORITY);
                    core.fabric.run()
                }
            })
            .about("switches")?;
        Ok(Self {
            core,
            program,
            hosts: Mutex::default(),
            thread: Some(thread),
        })
    }

    /// A new host, switched on, with nothing but `lo`. The lab keeps it on until the end or until
    /// [`Host::power_off`].
    pub fn host(&self, name: &str) -> Result<Host, LabError> {
        let host = Host::new(self.core.clone(), name, &self.program)?;
        self.hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(host.clone());
        Ok(host)
    }

    /// A new switch.
    pub fn switch(&self) -> Switch {
        Switch::new(self.core.clone())
    }

    /// A new host that forwards packets, of both families, between `nets`: its NIC `net0` has the
    /// first address and leads to the first switch, and so on.
    pub fn router(&self, name: &str, nets: &[(&Switch, &str)]) -> Result<Host, LabError> {
        let host = self.host(name)?;
        host.set_sysctl("net/ipv4/ip_forward", "1")?;
        host.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
        for (number, (switch, address)) in nets.iter().enumerate() {
            let nic = format!("net{number}");
            host.nic(&nic, switch)?;
            host.configure(&nic, address)?;
        }
        Ok(host)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let hosts = self.hosts.get_mut();
        for host in hosts.unwrap_or_else(PoisonError::into_inner) {
            host.power_off();
        }
        self.core.fabric.stop();
        if let Some(thread) = self.thread.take() {
            // Whether the switches worked to the end has shown in what the hosts could reach.
            let _ended = thread.join();
        }
    }
}
