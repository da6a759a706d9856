//! `ipmp completions`: what a shell can complete of the tools' words.

use std::fmt::Write as _;

use crate::console::{Console, OK};

const TOOL: &str = "ipmp";

const USAGE: &str = "\
usage: ipmp completions bash|zsh|fish
  Prints what teaches the shell to complete the words of ipmp, ipmpstat,
  if_mpadm and in.mpathd: verbs, options, interfaces and addresses.
Examples:
  source <(ipmp completions bash)
  ipmp completions fish > ~/.config/fish/conf.d/ipmp.fish
  ipmp completions zsh > /usr/local/share/zsh/site-functions/_ipmp
";

/// What may stand after a tool's own words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operand {
    Nothing,
    Interface,
    /// An interface or a data address.
    Either,
    File,
}

/// The verbs of `ipmp`, with the words that each knows and what else may follow.
const VERBS: &[(&str, &str, Operand)] = &[
    ("demo", "--lab --fault --detection --keep", Operand::Nothing),
    ("status", "--json", Operand::Nothing),
    ("top", "", Operand::Nothing),
    ("explain", "", Operand::Either),
    ("offline", "", Operand::Interface),
    ("online", "", Operand::Interface),
    ("move", "", Operand::Either),
    ("events", "--follow --json", Operand::Nothing),
    ("metrics", "--output", Operand::File),
    ("exporter", "--listen", Operand::Nothing),
    ("boot", "--root --check", Operand::File),
    ("check", "--root", Operand::File),
    ("replay", "", Operand::File),
    ("teardown", "", Operand::Nothing),
    ("completions", "bash zsh fish", Operand::Nothing),
    (
        "ifconfig",
        "-a inet inet6 plumb unplumb addif removeif netmask broadcast up down group deprecated \
         -deprecated -failover failover standby -standby failed -failed ether metric mtu configinfo",
        Operand::Interface,
    ),
    (
        "ipmpstat",
        "-a -g -i -p -t -n -o -P --json --watch",
        Operand::Nothing,
    ),
    ("if_mpadm", "-d -r", Operand::Interface),
    (
        "eeprom",
        "local-mac-address? local-mac-address?=true local-mac-address?=false",
        Operand::Nothing,
    ),
    ("in.mpathd", "-a -d -D -l -m -r --foreground", Operand::File),
];

/// Tools that have a name of their own which nobody else's program has: of `ifconfig` and `eeprom` there
/// are others.
const TOOLS: &str = "ipmp ipmpstat if_mpadm in.mpathd";

/// What lists the data addresses of groups, one a line.
const ADDRESSES: &str = "ipmp ipmpstat -P -n -o address -a 2>/dev/null";

/// What lists the NICs of the network namespace, one a line. The names in /sys may be those of the namespace in
/// which it was mounted.
const INTERFACES: &str = r"sed -n 's/^ *\([^:]*\):.*/\1/p' /proc/net/dev";

/// Runs `ipmp completions` with `arguments`, the verb not among them.
pub fn run(arguments: &[String], console: &mut Console<'_>) -> u8 {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let text = match words.as_slice() {
        ["bash"] => bash(),
        ["zsh"] => zsh(),
        ["fish"] => fish(),
        ["--help"] => return console.help(TOOL, USAGE),
        _ => return console.misused(arguments, USAGE),
    };
    let result = console.out.write_all(text.as_bytes()).map(|()| OK);
    console.finish(TOOL, result)
}

/// All verbs, apart by blanks.
fn verbs() -> String {
    let names: Vec<&str> = VERBS.iter().map(|(verb, ..)| *verb).collect();
    names.join(" ")
}

fn bash() -> String {
    let mut text = format!(
        "\
# Completion of IPMP for Linux in bash.
_ipmp_interfaces() {{ {INTERFACES}; }}
_ipmp_addresses() {{ {ADDRESSES}; }}
_ipmp() {{
    local tool=${{1##*/}} word=$2 before= operands= candidate typed
    local -a words=() more=()
    COMPREPLY=()
    # Bash breaks words at colons and the like. What stands before the last of them stays as it is.
    typed=${{COMP_LINE:0:COMP_POINT}} typed=${{typed##*[[:blank:]]}}
    [[ $typed == *[:=]* ]] && before=${{typed%\"$2\"}} word=$typed
    if [[ $tool == ipmp ]] && ((COMP_CWORD == 1)); then
        tool= words=({} --help --version)
    elif [[ $tool == ipmp ]]; then
        tool=${{COMP_WORDS[1]}}
    fi
    case $tool in
",
        verbs()
    );
    for (verb, words, operand) in VERBS {
        let operands = match operand {
            Operand::Nothing => "",
            Operand::Interface => " operands='interfaces'",
            Operand::Either => " operands='interfaces addresses'",
            Operand::File => " operands='files'",
        };
        let words: Vec<String> = with_help(words)
            .split(' ')
            .map(|word| word.replace('?', r"\?"))
            .collect();
        let words = words.join(" ");
        let _ = writeln!(text, "        {verb}) words=({words}){operands} ;;");
    }
    let _ = write!(
        text,
        "    esac
    [[ $operands == *interfaces* ]] && mapfile -t more < <(_ipmp_interfaces) && words+=(\"${{more[@]}}\")
    [[ $operands == *addresses* ]] && mapfile -t more < <(_ipmp_addresses) && words+=(\"${{more[@]}}\")
    # Not by compgen -W, which would expand what it is given: a NIC may be called $(reboot).
    for candidate in \"${{words[@]}}\"; do
        [[ $candidate == \"$word\"* ]] || continue
        printf -v candidate %q \"${{candidate#\"$before\"}}\"
        COMPREPLY+=(\"$candidate\")
    done
    if [[ $operands == files && $word != -* ]]; then
        compopt -o filenames
        mapfile -t more < <(compgen -f -- \"$2\")
        COMPREPLY+=(\"${{more[@]}}\")
    fi
    return 0
}}
complete -F _ipmp {TOOLS}
"
    );
    text
}

fn zsh() -> String {
    let mut text = format!(
        "\
#compdef {TOOLS}
# Completion of IPMP for Linux in zsh.
_ipmp_interfaces() {{ compadd -- ${{(f)\"$({INTERFACES})\"}} }}
_ipmp_addresses() {{ compadd -- ${{(f)\"$({ADDRESSES})\"}} }}
_ipmp() {{
    local tool=$service
    if [[ $tool == ipmp ]]; then
        if (( CURRENT == 2 )); then
            compadd -- {} --help --version
            return
        fi
        tool=$words[2]
    fi
    case $tool in
",
        verbs()
    );
    for (verb, words, operand) in VERBS {
        let operands = match operand {
            Operand::Nothing => "",
            Operand::Interface => "; _ipmp_interfaces",
            Operand::Either => "; _ipmp_interfaces; _ipmp_addresses",
            Operand::File => "; _files",
        };
        let words: Vec<String> = with_help(words)
            .split(' ')
            .map(|word| format!("'{word}'"))
            .collect();
        let words = words.join(" ");
        let _ = writeln!(text, "        {verb}) compadd -- {words}{operands} ;;");
    }
    let _ = write!(
        text,
        "    esac
}}
if [[ $funcstack[1] == _ipmp ]]; then
    _ipmp \"$@\"
else
    compdef _ipmp {TOOLS}
fi
"
    );
    text
}

fn fish() -> String {
    let mut text = format!(
        "\
# Completion of IPMP for Linux in fish.
function __ipmp_interfaces; {INTERFACES}; end
function __ipmp_addresses; {ADDRESSES}; end
complete -c ipmp -f
complete -c ipmp -n __fish_use_subcommand -a '{} --help --version'
",
        verbs()
    );
    for (verb, words, operand) in VERBS {
        // Fish takes it for a wildcard.
        let words = with_help(words).replace('?', r"\?");
        let own = TOOLS.split(' ').any(|tool| tool == *verb);
        let commands = [
            Some(format!("ipmp -n '__fish_seen_subcommand_from {verb}'")),
            own.then(|| match operand {
                Operand::File => (*verb).to_owned(),
                _ => format!("{verb} -f"),
            }),
        ];
        for command in commands.into_iter().flatten() {
            let _ = writeln!(text, "complete -c {command} -a '{words}'");
            let operands = match operand {
                Operand::Nothing => continue,
                Operand::Interface => "-a '(__ipmp_interfaces)'",
                Operand::Either => "-a '(__ipmp_interfaces; __ipmp_addresses)'",
                Operand::File => "-F",
            };
            let _ = writeln!(text, "complete -c {command} {operands}");
        }
    }
    text
}

fn with_help(words: &str) -> String {
    format!("{words} --help").trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn scripts() {
        assert_snapshot!("bash", bash());
        assert_snapshot!("zsh", zsh());
        assert_snapshot!("fish", fish());
    }
}
