//! A host: network, files, name and processes of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use ipmp_core::{Family, InterfaceAddress, InterfaceName, MacAddress};
use ipmp_linux::netns::{self, NetNs, Pidfd};
use ipmp_linux::wire::Wire;
use nix::sys::signal::Signal;

use crate::cable::{Cable, Switch};
use crate::enter::start_init;
use crate::error::{About, LabError};
use crate::lab::Core;
use crate::links::Links;

pub use self::process::{Output, Process};

mod files;
mod process;
mod words;

/// How long a command may take that [`Host::run`] waits for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A host. Clones are the same host.
#[derive(Clone, Debug)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    core: Arc<Core>,
    network: NetNs,
    /// Process 1, by which the host is entered.
    pidfd: Pidfd,
    /// The same as our child; `None` once the host is off.
    init: Mutex<Option<Child>>,
    nics: Mutex<BTreeMap<String, Nic>>,
    /// What we have started in it and not yet forgotten.
    processes: Mutex<Vec<Weak<process::Running>>>,
}

/// A NIC of a host. Clones are the same NIC.
#[derive(Clone, Debug)]
pub struct Nic {
    /// The name of its device.
    pub name: InterfaceName,
    /// Its hardware address, also after it has been unplugged and plugged in again.
    pub mac: MacAddress,
    /// The cable that leads from it to its switch.
    pub cable: Cable,
    /// Whether the kernel may tell of a lost carrier up to a second late, as of NICs of hardware.
    ordinary: bool,
}

impl Host {
    pub(crate) fn new(core: Arc<Core>, name: &str, program: &Path) -> Result<Self, LabError> {
        let (init, network) = netns::on_thread(|| {
            netns::unshare_host(name).about(name)?;
            files::furnish(program)?;
            let network = NetNs::current().about(name)?;
            let init = start_init().about(name)?;
            Ok((init, network))
        })?;
        let mut init = Some(init);
        let pidfd = match init.as_ref().map(|init| Pidfd::open(init.id())) {
            Some(Ok(pidfd)) => pidfd,
            Some(Err(error)) => {
                end(&mut init);
                return Err(LabError::new(name, error));
            }
            None => return Err(LabError::new(name, "off")),
        };
        let host = Self(Arc::new(Inner {
            name: name.to_owned(),
            core,
            network,
            pidfd,
            init: Mutex::new(init),
            nics: Mutex::default(),
            processes: Mutex::default(),
        }));
        host.links()?.set_up("lo", true)?;
        Ok(host)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Kills every process in it and takes its network away. What is asked of the host afterwards
    /// fails.
    pub fn power_off(&self) {
        for process in lock(&self.0.processes).drain(..) {
            // They die with process 1 too, but that is not gone before we have waited for them.
            if let Some(process) = process.upgrade() {
                process.end();
            }
        }
        end(&mut lock(&self.0.init));
        // Its network namespace, which answers by itself, lives on while somebody holds a socket.
        for nic in lock(&self.0.nics).values() {
            // One that is unplugged already is gone already.
            let _gone = self.detach(nic);
        }
    }

    // Network

    /// Puts a NIC into the host and lays a cable from it to a switch. It is down, as new NICs are.
    pub fn nic(&self, name: &str, switch: &Switch) -> Result<Nic, LabError> {
        self.nic_with_mac(name, switch, self.0.core.next_mac())
    }

    /// The same, with this hardware address.
    pub fn nic_with_mac(
        &self,
        name: &str,
        switch: &Switch,
        mac: MacAddress,
    ) -> Result<Nic, LabError> {
        self.insert(name, switch, mac, false)
    }

    /// The same, of a kind of which the kernel may tell up to a second late that its carrier is lost, if
    /// any other link of the machine changed shortly before. So it is with NICs of hardware; those that
    /// [`Host::nic`] makes are told of at once.
    pub fn ordinary_nic(&self, name: &str, switch: &Switch) -> Result<Nic, LabError> {
        self.insert(name, switch, self.0.core.next_mac(), true)
    }

    fn insert(
        &self,
        name: &str,
        switch: &Switch,
        mac: MacAddress,
        ordinary: bool,
    ) -> Result<Nic, LabError> {
        let mut nics = lock(&self.0.nics);
        if nics.contains_key(name) {
            return Err(LabError::new(name, "there already"));
        }
        let id = self.0.core.fabric.state().add_cable(switch.id());
        let nic = Nic {
            name: name.parse().about(name)?,
            mac,
            cable: Cable::new(self.0.core.clone(), id),
            ordinary,
        };
        self.attach(&nic)?;
        nics.insert(name.to_owned(), nic.clone());
        Ok(nic)
    }

    /// Takes a NIC out of the running host: its device disappears, and with it all that was
    /// configured on it.
    pub fn unplug_nic(&self, name: &str) -> Result<(), LabError> {
        let nic = self.find_nic(name)?;
        self.detach(&nic)
    }

    fn detach(&self, nic: &Nic) -> Result<(), LabError> {
        let mut links = self.0.core.links();
        let mut state = self.0.core.fabric.state();
        state.attach(nic.cable.id(), None);
        state.forget(nic.cable.id());
        drop(state);
        links.delete(&nic.cable.port())
    }

    /// Puts a NIC back that was taken out: same name, same hardware address, same cable, and down.
    pub fn plug_nic(&self, name: &str) -> Result<(), LabError> {
        let nic = self.find_nic(name)?;
        self.attach(&nic)
    }

    /// The NIC called so.
    pub fn find_nic(&self, name: &str) -> Result<Nic, LabError> {
        let nic = lock(&self.0.nics).get(name).cloned();
        nic.ok_or_else(|| LabError::new(name, format!("not a NIC of {}", self.0.name)))
    }

    /// Makes the device of a NIC, and wires its other end to the fabric.
    fn attach(&self, nic: &Nic) -> Result<(), LabError> {
        let core = &self.0.core;
        let mut links = core.links();
        let port = nic.cable.port();
        let index =
            links.create_veth(&port, nic, &core.backplane, &self.0.network, nic.ordinary)?;
        let wire = core.backplane.run(|| Wire::open(index)).about(&port)?;
        core.fabric.attach(nic.cable.id(), wire).about(&port)?;
        if !core.fabric.state().is_pulled(nic.cable.id()) {
            links.set_up(&port, true)?;
        }
        Ok(())
    }

    /// Devices, addresses and routes of the host.
    fn links(&self) -> Result<Links, LabError> {
        Links::open(&self.0.network)
    }

    /// Gives a NIC an address (`192.168.0.1/24`, `fd00::1/64`) and sets it up.
    pub fn configure(&self, nic: &str, address: &str) -> Result<(), LabError> {
        let address = parse_address(address)?;
        let mut links = self.links()?;
        links.set_up(nic, true)?;
        links.add_address(nic, address)
    }

    /// Sends packets for a network (`0.0.0.0/0`) through a gateway.
    pub fn route(&self, destination: &str, gateway: IpAddr) -> Result<(), LabError> {
        let destination = parse_address(destination)?;
        self.links()?.add_route(destination, gateway)
    }

    /// Sets a device up or down, as the host's administrator would.
    pub fn set_up(&self, nic: &str, up: bool) -> Result<(), LabError> {
        self.links()?.set_up(nic, up)
    }

    /// Writes a sysctl of the host (`net/ipv4/ip_forward`).
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), LabError> {
        let path = Path::new("/proc/sys").join(name);
        self.enter(|| fs::write(path, value))?.about(name)
    }

    // Processes

    /// Runs a command line in the host and waits for its end, at most a minute. It is split into
    /// words as a shell would; there is no shell.
    pub fn run(&self, line: &str) -> Result<Output, LabError> {
        self.run_within(PATIENCE, line)
    }

    /// The same, waiting at most `within`; then it is killed and that is an error.
    pub fn run_within(&self, within: Duration, line: &str) -> Result<Output, LabError> {
        self.spawn(line)?.output(within)
    }

    /// Runs a command line as an ordinary user, by number, with the group of the same number. Fails
    /// in a lab that an ordinary user of the machine made: there is no other user in it than root.
    pub fn run_as(&self, user: u32, line: &str) -> Result<Output, LabError> {
        self.start(line, Some(user))?.output(PATIENCE)
    }

    /// Starts a command line as an ordinary user, as [`Host::run_as`] does, with its output in pipes.
    pub fn spawn_as(&self, user: u32, line: &str) -> Result<Process, LabError> {
        self.start(line, Some(user))
    }

    /// Starts a command line on a terminal: its standard input, output and error. As an ordinary user
    /// where one is given.
    pub fn spawn_on(
        &self,
        terminal: &OwnedFd,
        user: Option<u32>,
        line: &str,
    ) -> Result<Process, LabError> {
        self.keep(|| process::Process::start_on(terminal, line, user))
    }

    /// Starts a command line in the host, with its output in pipes.
    pub fn spawn(&self, line: &str) -> Result<Process, LabError> {
        self.start(line, None)
    }

    fn start(&self, line: &str, user: Option<u32>) -> Result<Process, LabError> {
        self.keep(|| process::Process::start(line, user))
    }

    /// Starts a process inside, which ends with the host.
    fn keep(
        &self,
        start: impl FnOnce() -> Result<Process, LabError> + Send,
    ) -> Result<Process, LabError> {
        // Held, so that the host cannot be switched off between start and entry in the list.
        let mut processes = lock(&self.0.processes);
        let process = self.inside(start)?;
        processes.retain(|process| process.strong_count() > 0);
        processes.push(Arc::downgrade(process.running()));
        Ok(process)
    }

    /// Runs an interactive command line on the terminal of this process and waits for its end. The
    /// terminal is ours again afterwards.
    pub fn shell(&self, line: &str) -> Result<ExitStatus, LabError> {
        let terminal = io::stdin();
        let before = if terminal.is_terminal() {
            nix::unistd::tcgetpgrp(&terminal).ok()
        } else {
            None
        };
        let mut child = self.inside(|| process::command(line)?.spawn().about(line))?;
        let status = child.wait().about(line);
        if let Some(group) = before {
            netns::take_terminal(terminal.as_fd(), group).about("terminal")?;
        }
        status
    }

    /// The processes whose program is called so, by the numbers they have inside. A process that has
    /// ended does not count.
    pub fn pids_of(&self, program: &str) -> Result<Vec<i32>, LabError> {
        self.enter(|| -> io::Result<Vec<i32>> {
            let mut pids = Vec::new();
            for entry in fs::read_dir("/proc")? {
                let name = entry?.file_name();
                let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                // A process may end while it is being looked at; what has ended has no command line.
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let first = line.split(|&byte| byte == 0).next().unwrap_or_default();
                let first = String::from_utf8_lossy(first);
                if first.rsplit('/').next() == Some(program) {
                    pids.push(pid);
                }
            }
            pids.sort_unstable();
            Ok(pids)
        })?
        .about(&self.0.name)
    }

    /// Sends a signal to a process, by the number it has inside.
    pub fn kill(&self, pid: i32, signal: Signal) -> Result<(), LabError> {
        self.enter(|| {
            let process = fs::File::open(format!("/proc/{pid}"))?;
            netns::send_signal(&process, signal)
        })?
        .about(format!("{}: process {pid}", self.0.name))
    }

    // Files

    /// Writes a file below `/etc`, `/run` or `/var/lib`, in place of the one that may be there.
    pub fn write_file(&self, path: &str, text: &str) -> Result<(), LabError> {
        let path = self.own(path)?;
        self.enter(|| {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            // A link may lead to the machine's own file.
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::write(&path, text)
        })?
        .about(path.display())
    }

    /// Removes a file below `/etc`, `/run` or `/var/lib`.
    pub fn remove_file(&self, path: &str) -> Result<(), LabError> {
        let path = self.own(path)?;
        self.enter(|| fs::remove_file(&path))?.about(path.display())
    }

    /// Reads a file as the host sees it.
    pub fn read_file(&self, path: &str) -> Result<String, LabError> {
        self.enter(|| fs::read_to_string(path))?.about(path)
    }

    fn own(&self, path: &str) -> Result<PathBuf, LabError> {
        let path = PathBuf::from(path);
        if files::is_own(&path) {
            Ok(path)
        } else {
            let reason = format!("not among the files of {}", self.0.name);
            Err(LabError::new(path.display(), reason))
        }
    }

    // Threads

    /// Runs `work` on a thread in the host's network, with its files and its name, and waits for it.
    /// Sockets opened there stay in the host's network.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        netns::on_thread(|| {
            self.joined(self.0.pidfd.join_network())?;
            Ok(work())
        })
    }

    /// The same without waiting: the thread is in the host when this returns.
    pub fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, LabError> {
        // A thread is born where its parent is.
        self.enter(|| Builder::new().name(self.0.name.clone()).spawn(work))?
            .about(&self.0.name)
    }

    fn joined(&self, result: io::Result<()>) -> Result<(), LabError> {
        if result.is_err() && lock(&self.0.init).is_none() {
            return Err(LabError::new(&self.0.name, "switched off"));
        }
        result.about(&self.0.name)
    }

    /// Runs `work` on a thread whose children are born inside the host.
    fn inside<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, LabError> + Send,
    ) -> Result<T, LabError> {
        netns::on_thread(|| {
            self.joined(self.0.pidfd.join_host())?;
            work()
        })
    }
}

/// Ends process 1, and with it all the others.
fn end(init: &mut Option<Child>) {
    if let Some(mut init) = init.take() {
        // It is there until it has been waited for, and SIGKILL is not refused.
        let _killed = init.kill();
        let _status = init.wait();
    }
}

/// An address or network with its prefix length.
fn parse_address(text: &str) -> Result<InterfaceAddress, LabError> {
    let parsed = || {
        let (ip, prefix) = text.split_once('/')?;
        let (ip, prefix): (IpAddr, u8) = (ip.parse().ok()?, prefix.parse().ok()?);
        (prefix <= Family::of(ip).bits()).then(|| InterfaceAddress::new(ip, prefix))
    };
    parsed().ok_or_else(|| LabError::new(text, "not an address with its prefix length"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
