//! The daemon's life in a network namespace of its own: started twice at once, asked, reloaded,
//! dumped, ended, killed, started over damaged state and in a directory that is not its own.
//!
//! The test is its own daemon and its own tool: the name it is called by decides.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test, without the harness by which the lints would know it"
)]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Output, exit};
use std::thread;
use std::time::{Duration, Instant};

use ipmp_api::{Client, RunDirectory, ensure_daemon, saved};
use ipmp_core::{Answer, Command as Ask};
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

const DAEMON: &str = "/sbin/in.mpathd";
const TOOL: &str = "tool";

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    match args.next().unwrap_or_default().to_str() {
        Some(DAEMON) => return ipmp_daemon::main(args),
        Some(TOOL) => return tool(),
        _ => {}
    }
    // As test runners expect of a test that is its own harness.
    if std::env::args().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    ipmp_linux::netns::leave_the_machine().unwrap();
    for path in ["/run", "/etc/default"] {
        let none = None::<&str>;
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    }
    let run = RunDirectory::of_this_namespace().unwrap();
    for (name, test) in [
        (
            "one that is just ending is replaced",
            ending as fn(&RunDirectory),
        ),
        ("nothing of the caller's stays", clean),
        ("two at once", two_at_once),
        ("signals", signals),
        ("state outlives the daemon", state),
        ("a killed daemon is replaced", killed),
        ("damaged state is set aside", damaged),
        ("another namespace inherits nothing", another_namespace),
        ("tools start it", started_by_a_tool),
        ("nothing to adopt", nothing_to_adopt),
        ("a hijacked directory is refused", hijacked),
    ] {
        test(&run);
        eprintln!("ok: {name}");
    }
    ExitCode::SUCCESS
}

fn tool() -> ExitCode {
    match ensure_daemon() {
        Ok(mut client) => exit(i32::from(client.ping().is_err())),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn call(name: &str, args: &[&str]) -> Output {
    Command::new("/proc/self/exe")
        .arg0(name)
        .args(args)
        .output()
        .unwrap()
}

fn start(args: &[&str]) {
    let output = call(DAEMON, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "");
}

fn pid() -> Pid {
    let pong = Client::connect().unwrap().ping().unwrap();
    Pid::from_raw(pong.pid.try_into().unwrap())
}

/// What the daemon does after a signal cannot be waited for from outside.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn end(run: &RunDirectory, signal: Signal) {
    let pid = pid();
    kill(pid, signal).unwrap();
    until("the daemon ends", || {
        !Path::new(&format!("/proc/{pid}/stat")).exists()
    });
    let is_clean = signal != Signal::SIGKILL;
    assert_eq!(run.socket().exists(), !is_clean);
    assert_eq!(run.pid_file().exists(), !is_clean);
}

fn logged(run: &RunDirectory, text: &str) -> bool {
    fs::read_to_string(run.log()).is_ok_and(|log| log.contains(text))
}

/// A daemon that ends has its lock for a moment after it has stopped listening.
fn ending(run: &RunDirectory) {
    run.create().unwrap();
    let file = File::create(run.lock_file()).unwrap();
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    thread::scope(|scope| {
        let starting = scope.spawn(|| start(&[]));
        thread::sleep(Duration::from_millis(300));
        assert!(!starting.is_finished());
        fs::remove_file(run.lock_file()).unwrap();
        drop(lock);
        starting.join().unwrap();
    });
    end(run, Signal::SIGTERM);
}

fn clean(run: &RunDirectory) {
    let path = Path::new("/run/inherited");
    let file = File::create(path).unwrap();
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let before = umask(Mode::from_bits_truncate(0o077));
    let check = || {
        let status = fs::read_to_string(format!("/proc/{}/status", pid())).unwrap();
        let umask = status.lines().find(|line| line.starts_with("Umask:"));
        assert_eq!(umask, Some("Umask:\t0022"));
        assert_eq!(fs::metadata(run.log()).unwrap().mode() & 0o777, 0o644);
    };
    start(&[]);
    check();
    let files = fs::read_dir(format!("/proc/{}/fd", pid())).unwrap();
    let inherited = files
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .any(|open| open == path);
    assert!(!inherited);
    end(run, Signal::SIGTERM);

    fs::remove_file(run.log()).unwrap();
    let mut foreground = Command::new("/proc/self/exe")
        .arg0(DAEMON)
        .arg("--foreground")
        .spawn()
        .unwrap();
    until("it listens", || Client::connect().is_ok());
    check();
    kill(pid(), Signal::SIGTERM).unwrap();
    assert!(foreground.wait().unwrap().success());
    umask(before);
    fs::remove_file(path).unwrap();
}

fn two_at_once(run: &RunDirectory) {
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| start(&[]));
        }
    });
    let pid = pid();
    assert_eq!(
        fs::read_to_string(run.pid_file()).unwrap(),
        format!("{pid}\n")
    );
    until("the other is heard of", || {
        logged(run, "another in.mpathd is active")
    });
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap();
    assert_ne!(parent, std::process::id().to_string());
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/cwd")).unwrap(),
        Path::new("/")
    );
    for fd in 0..3 {
        let stream = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        assert_eq!(stream, Path::new("/dev/null"));
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("CapEff:\t0000000000003000"), "{status}");
}

fn signals(run: &RunDirectory) {
    let before = pid();
    fs::write(
        "/etc/default/mpathd",
        "FAILBACK=maybe\nFAILURE_DETECTION_TIME=50\n",
    )
    .unwrap();
    kill(before, Signal::SIGHUP).unwrap();
    until("HUP is taken", || {
        logged(run, "failure detection time '50' is too small")
    });
    assert!(logged(run, "mpathd:1: invalid value 'maybe' for FAILBACK"));
    kill(before, Signal::SIGPIPE).unwrap();
    kill(before, Signal::SIGUSR1).unwrap();
    until("USR1 is taken", || logged(run, "interfaces:"));
    assert!(logged(run, "probe statistics:"));
    assert_eq!(pid(), before);
}

fn state(run: &RunDirectory) {
    let local = Ask::SetLocalMac { local: Some(true) };
    let mut client = Client::connect().unwrap();
    assert_eq!(client.execute(&local).unwrap(), Ok(Answer::Done));
    let written = saved::read(&run.state()).unwrap().unwrap();
    assert_eq!(written.asked.local_mac, Some(true));
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        end(run, signal);
        start(&[]);
        assert!(
            Client::connect()
                .unwrap()
                .snapshot()
                .unwrap()
                .local_mac_address
        );
    }
}

fn killed(run: &RunDirectory) {
    end(run, Signal::SIGKILL);
    start(&["-D", "0xff"]);
    assert!(
        Client::connect()
            .unwrap()
            .snapshot()
            .unwrap()
            .local_mac_address
    );
    end(run, Signal::SIGTERM);
}

fn damaged(run: &RunDirectory) {
    let whole = fs::read(run.state()).unwrap();
    fs::write(run.state(), &whole[..whole.len() / 2]).unwrap();
    start(&[]);
    assert!(logged(run, "state is damaged"));
    let aside = run.path().join("state.damaged-1");
    assert_eq!(fs::read(&aside).unwrap(), whole[..whole.len() / 2]);
    end(run, Signal::SIGTERM);

    fs::write(run.state(), "{\"version\": 99}").unwrap();
    start(&[]);
    assert!(logged(run, "has format 99, newer than"));
    assert!(run.path().join("state.damaged-2").exists());
    end(run, Signal::SIGTERM);
}

fn another_namespace(run: &RunDirectory) {
    start(&[]);
    let local = Ask::SetLocalMac { local: Some(true) };
    let mut client = Client::connect().unwrap();
    assert_eq!(client.execute(&local).unwrap(), Ok(Answer::Done));
    end(run, Signal::SIGTERM);
    fs::write(run.path().join("cookie"), "1\n").unwrap();
    start(&[]);
    assert!(logged(
        run,
        "forgot what was saved for an earlier network namespace"
    ));
    end(run, Signal::SIGTERM);
}

fn started_by_a_tool(run: &RunDirectory) {
    for _ in 0..2 {
        let output = call(TOOL, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let command = fs::read(format!("/proc/{}/cmdline", pid())).unwrap();
    assert_eq!(command, b"/sbin/in.mpathd\0");
    end(run, Signal::SIGTERM);
}

fn nothing_to_adopt(run: &RunDirectory) {
    start(&["-a"]);
    assert!(logged(run, "no interface is to be watched"));
    until("it ends", || !run.pid_file().exists());
    assert!(Client::connect().is_err());
    let usage = call(DAEMON, &["-x"]);
    assert_eq!(usage.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&usage.stderr),
        "in.mpathd: unknown argument '-x' (see in.mpathd --help)\n"
    );
}

fn hijacked(run: &RunDirectory) {
    fs::rename(run.path(), "/run/elsewhere").unwrap();
    symlink("/run/elsewhere", run.path()).unwrap();
    let output = call(DAEMON, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let path = run.path().display();
    assert_eq!(
        said,
        format!("in.mpathd: cannot use the run directory: {path}: not a directory\n")
    );
    let output = call(TOOL, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = format!("cannot use the run directory: {path}: not a directory");
    assert_eq!(said, format!("cannot start in.mpathd: {reason}\n"));
}
