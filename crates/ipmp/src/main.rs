//! The one executable of IPMP for Linux; the name it is called by picks the tool.
//!
//! Called as `in.mpathd`, `ifconfig`, `ipmpstat`, `if_mpadm` or `eeprom` it is that tool; by any
//! other name its first word says which one, or what else to do.

mod demo;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use ipmp_tools::console::{Console, FAILED, OK};
use ipmp_tools::etc::Etc;
use ipmp_tools::local::{Local, Start};
use ipmp_tools::terminal::Tty;
use ipmp_tools::{
    Environment, boot, completions, eeprom, events, explain, if_mpadm, ifconfig, ipmpstat, metrics,
    move_address, replay, status, teardown, top,
};
use nix::unistd::geteuid;

const USAGE: &str = "\
usage: ipmp VERB ...
  demo                        watch NICs fail and addresses live on
  status [--json]             groups, interfaces, and where each address is
  top                         the same and more, as it changes; q ends it
  explain IF|ADDRESS          why it is as it is, and what would change it
  offline IF, online IF       take an interface out of service, put it back
  move ADDRESS IF             move a data address to another member of its group
  teardown                    end IPMP and put the host back as it was
  events [--follow] [--json]  what changed, when, and why
  metrics [--output FILE]     the same in numbers, for Prometheus
  exporter [--listen ADDRESS:PORT]
                              serves them over HTTP, on loopback
  boot [--root DIR]           configure interfaces from /etc/hostname.IF
  check [--root DIR]          say what is wrong with them and the settings
  replay FILE                 decide again what a daemon recorded
  completions bash|zsh|fish   what a shell completes, for that shell to read
  ifconfig ...                configure and list interfaces
  ipmpstat ...                show groups, interfaces, addresses, probes
  if_mpadm -d|-r IF           take an interface out of service, put it back
  eeprom 'local-mac-address?[=true|false]'
                              how interfaces get their hardware address
  in.mpathd ...               the daemon
  --version
Examples:
  ipmp demo
  ipmp status
Each verb tells more with --help. Called by the name of one of the five tools,
ipmp is that tool.
";

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let called = arguments.next().unwrap_or_default();
    let called = Path::new(&called).file_name().unwrap_or_default();
    let mut rest: Vec<OsString> = arguments.collect();
    if called == ipmp_lab::INIT {
        // Does not return: this process is process 1 of a host of the demo.
        return demo::main(&rest);
    }
    if let Some(code) = called.to_str().and_then(|tool| run(tool, &rest)) {
        return code;
    }
    // `ipmp help VERB` is `ipmp VERB --help`.
    if let [help, verb] = rest.as_slice()
        && help == "help"
        && verb != "help"
    {
        rest = vec![verb.clone(), "--help".into()];
    }
    let verb = rest.split_first();
    let verb = verb.and_then(|(verb, rest)| Some((verb.to_str()?, rest)));
    let code = match verb {
        Some(("boot", rest)) => ask(rest, Start::IfNeeded, |words, local, _, console| {
            boot::run(words, local, console)
        }),
        Some(("check", rest)) => ask(rest, Start::Never, |words, _, _, console| {
            boot::check(words, console)
        }),
        Some(("demo", rest)) => return demo::main(rest),
        Some(("replay", rest)) => ask(rest, Start::Never, |words, _, _, console| {
            replay::run(words, console)
        }),
        Some(("status", rest)) => ask(rest, Start::Never, |words, local, etc, console| {
            let environment = &mut environment(local, etc);
            status::run(words, &Tty::default(), environment, console)
        }),
        Some(("events", rest)) => ask(rest, Start::Never, |words, local, etc, console| {
            let environment = &mut environment(local, etc);
            events::run(words, &Tty::default(), environment, console)
        }),
        Some(("completions", rest)) => ask(rest, Start::Never, |words, _, _, console| {
            completions::run(words, console)
        }),
        Some(("exporter", rest)) => return ipmp_exporter::main(rest.to_vec()),
        Some(("metrics", rest)) => ask(rest, Start::Never, |words, local, etc, console| {
            metrics::run(words, &mut environment(local, etc), console)
        }),
        Some(("top", rest)) => ask(rest, Start::Never, |words, _, _, console| {
            let connect = || Local::new(Start::Never);
            top::run(words, &Tty::default(), connect, console)
        }),
        Some(("explain", rest)) => ask(rest, Start::Never, |words, local, etc, console| {
            explain::run(words, &mut environment(local, etc), console)
        }),
        Some(("move", rest)) => ask(rest, Start::Never, |words, local, etc, console| {
            move_address::run(words, &mut environment(local, etc), console)
        }),
        Some(("teardown", rest)) => ask(rest, Start::IfNeeded, |words, local, etc, console| {
            teardown::run(words, &mut environment(local, etc), console)
        }),
        Some((verb @ ("offline" | "online"), rest)) => {
            ask(rest, Start::Never, |words, local, etc, console| {
                let environment = &mut environment(local, etc);
                if_mpadm::native(verb == "online", words, environment, console)
            })
        }
        Some(("--help" | "help", _)) => say(USAGE),
        Some(("--version", _)) => say(concat!("ipmp ", env!("CARGO_PKG_VERSION"), "\n")),
        Some((tool, rest)) if let Some(code) = run(tool, rest) => return code,
        Some((verb, _)) => ask(&[], Start::Never, |_, _, _, console| {
            console.complain(format_args!("ipmp: {verb}: no such verb (see ipmp --help)"));
            FAILED
        }),
        None => ask(&[], Start::Never, |_, _, _, console| {
            console.misused(&[], USAGE)
        }),
    };
    ExitCode::from(code)
}

/// Runs `tool`; `None` if there is no such tool.
fn run(tool: &str, arguments: &[OsString]) -> Option<ExitCode> {
    let code = match tool {
        "in.mpathd" => return Some(ipmp_daemon::main(arguments.to_vec())),
        "ifconfig" => {
            let forbidden = env::var_os("SUNW_NO_MPATHD");
            let start = ifconfig::start(forbidden.as_deref());
            ask(arguments, start, |words, local, etc, console| {
                ifconfig::run(words, &mut environment(local, etc), console)
            })
        }
        "ipmpstat" => ask(arguments, Start::Never, |words, local, etc, console| {
            let environment = &mut environment(local, etc);
            ipmpstat::run(words, &mut Tty::default(), environment, console)
        }),
        "if_mpadm" => ask(arguments, Start::Never, |words, local, etc, console| {
            if_mpadm::run(words, &mut environment(local, etc), console)
        }),
        "eeprom" => ask(arguments, Start::Never, |words, local, etc, console| {
            eeprom::run(words, &mut environment(local, etc), console)
        }),
        _ => return None,
    };
    Some(ExitCode::from(code))
}

/// Runs `tool` on this host and its terminal.
fn ask(
    arguments: &[OsString],
    start: Start,
    tool: impl FnOnce(&[String], &mut Local, &Etc, &mut Console<'_>) -> u8,
) -> u8 {
    let mut console = Console {
        // Listings have thousands of lines.
        out: &mut io::BufWriter::new(io::stdout().lock()),
        err: &mut io::stderr().lock(),
    };
    let etc = Etc::below(Path::new("/"));
    tool(
        &texts(arguments),
        &mut Local::new(start),
        &etc,
        &mut console,
    )
}

fn environment<'a>(local: &'a mut Local, etc: &'a Etc) -> Environment<'a> {
    Environment {
        daemon: local,
        etc,
        privileged: geteuid().is_root(),
    }
}

/// Arguments as text. What is not UTF-8 is no name of anything here and refused as such.
fn texts(arguments: &[OsString]) -> Vec<String> {
    let texts = arguments.iter().map(|text| text.to_string_lossy());
    texts.map(Into::into).collect()
}

/// Prints a text; that nobody reads it is no failure.
fn say(text: &str) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => FAILED,
        _ => OK,
    }
}
