//! Being on time: what the kernel says of a process that asked for it. The process is one of its own,
//! as what it becomes it stays.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use ipmp_linux::realtime::{PRIORITY, RealtimeError, be_on_time};

use crate::world::{Test, World};

pub(crate) const TESTS: &[Test] = &[
    ("a_process_on_time", a_process_on_time),
    ("a_process_that_may_not", a_process_that_may_not),
];

/// The name under which this executable is started again to be such a process.
pub(crate) const CHILD: &str = "on-time";

/// Becomes such a process and says what the kernel says of it.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn child() -> ExitCode {
    let refused = be_on_time();
    let own = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    for error in &refused {
        let kind = match error {
            RealtimeError::Priority(_) => "priority",
            RealtimeError::Memory(_) => "memory",
            RealtimeError::TimerSlack(_) => "slack",
        };
        println!("refused {kind}");
    }
    let stat = own("stat");
    // Behind the name: field 40 is the real-time priority, 41 the policy (`proc(5)`).
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    println!("priority {} policy {}", fields[37], fields[38]);
    let locked: u64 = field(&own("status"), "VmLck:").parse().unwrap();
    println!("locked {}", locked > 0);
    println!("slack {}", own("timerslack_ns").trim());
    // A child of it.
    let stat = Command::new("cat").arg("/proc/self/stat").output().unwrap();
    let stat = String::from_utf8(stat.stdout).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    println!("child policy {}", fields[38]);
    ExitCode::SUCCESS
}

fn says(command: &mut Command) -> Vec<String> {
    let output = command.arg0(CHILD).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

/// What is refused depends on where the test runs; what is not refused must be so.
fn a_process_on_time(_: World) {
    let said = says(&mut Command::new("/proc/self/exe"));
    let has = |line: &str| said.iter().any(|said| said == line);
    let priority = format!("priority {PRIORITY} policy 1");
    assert_ne!(has("refused priority"), has(&priority), "{said:?}");
    assert_ne!(has("refused memory"), has("locked true"), "{said:?}");
    // This one needs no right; but real-time processes have none and the file says 0.
    assert!(has("slack 1") || has("slack 0"), "{said:?}");
    assert!(has("child policy 0"), "{said:?}");
}

fn a_process_that_may_not(_: World) {
    // Nobody in particular has no rights.
    let said = says(Command::new("/proc/self/exe").uid(65534).gid(65534));
    let expected = [
        "refused priority",
        "refused memory",
        "priority 0 policy 0",
        "locked false",
        "slack 1",
        "child policy 0",
    ];
    assert_eq!(said, expected);
}
