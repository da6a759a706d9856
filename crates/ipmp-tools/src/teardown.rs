//! `ipmp teardown`: puts the host back as it was before there were groups, and ends the daemon.

use ipmp_core::Answer;

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};
use crate::events::complain;

const TOOL: &str = "ipmp";

/// What `--help` prints.
pub const USAGE: &str = "\
usage: ipmp teardown
  Ends IPMP and puts the host back as it was. Data addresses go home, also to a
  NIC that has failed; those that were there before are as they were, those that
  were typed stay as ordinary ones, and test addresses go. Groups, routes and
  nexthops of IPMP are removed, sysctls and routes of others put back. Then
  in.mpathd ends and remembers nothing. A daemon that does not run is started
  for it. What /etc/hostname.IF says comes back with the next boot.
Examples:
  ipmp teardown
  systemctl disable ipmp && ipmp teardown
";

/// Runs `ipmp teardown` with `arguments`, the verb not among them.
pub fn run(
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    match arguments {
        [] => {}
        [help] if help == "--help" => return console.help(TOOL, USAGE),
        _ => return console.misused(arguments, USAGE),
    }
    match environment.daemon.tear_down() {
        Ok(Answer::AlreadyExists) => {
            let result = console.say(format_args!("nothing of IPMP is here"));
            console.finish(TOOL, result.map(|()| OK))
        }
        Ok(_) => OK,
        Err(Failure::Refused(refusal)) => {
            console.complain(format_args!("{TOOL}: teardown: {refusal}"));
            FAILED
        }
        Err(failure) => {
            complain(&failure, console);
            FAILED
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ipmp_core::{Command, Refusal};

    use super::*;
    use crate::etc::Etc;
    use crate::recorded::{Recorded, refused, transcript};

    fn teardown(line: &str, answer: Result<Answer, Failure>) -> (String, Vec<Command>) {
        let mut daemon = Recorded::default();
        daemon.answers.push_back(answer);
        let etc = Etc::below(Path::new("/nonexistent"));
        let printed = transcript(&mut daemon, &etc, line, run);
        (printed, daemon.commands)
    }

    #[test]
    fn it_asks_for_it_and_says_if_there_was_nothing() {
        let (printed, asked) = teardown("", Ok(Answer::Done));
        assert_eq!(
            (printed.as_str(), &asked[..]),
            ("", &[Command::Teardown][..])
        );
        let (printed, _) = teardown("", Ok(Answer::AlreadyExists));
        assert_eq!(printed, "nothing of IPMP is here\n");
    }

    #[test]
    fn what_is_refused_is_told_in_one_line() {
        let refusal = Refusal::Kernel(13, "Permission denied".into());
        let (printed, _) = teardown("", refused(refusal));
        assert_eq!(printed, "2> ipmp: teardown: Permission denied\nexit 1\n");
        let (printed, _) = teardown("", Err(Failure::PermissionDenied));
        assert_eq!(
            printed,
            "2> ipmp: in.mpathd: permission denied: only root may change anything\nexit 1\n"
        );
    }

    #[test]
    fn surplus_words_ask_nothing() {
        for line in ["now", "-f", "--json --help"] {
            let (printed, asked) = teardown(line, Ok(Answer::Done));
            let complaint = "does not fit; usage: ipmp teardown";
            let expected = format!("2> ipmp teardown: {line}: {complaint}\nexit 1\n");
            assert_eq!((printed, asked.len()), (expected, 0));
        }
    }
}
