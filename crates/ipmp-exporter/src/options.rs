//! The words after `ipmp exporter`.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use thiserror::Error;

/// Where it listens unless it is told.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9873);

pub(crate) const USAGE: &str = "\
usage: ipmp exporter [--listen ADDRESS:PORT]
  Serves what ipmp metrics prints at http://127.0.0.1:9873/metrics, until it is
  interrupted. Runs as an ordinary user, on a loopback address only: there is
  neither encryption nor a password here. To be scraped from elsewhere, put a
  web server with both in front of it.
  --listen ADDRESS:PORT   another loopback address or port; port 0: any free one
Examples:
  ipmp exporter
  curl http://127.0.0.1:9873/metrics
";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
}

/// Why nothing was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum UsageError {
    /// Help was.
    #[error("help")]
    Help,
    /// Words that mean nothing here.
    #[error("{0}: does not fit; usage: ipmp exporter [--listen ADDRESS:PORT]")]
    Usage(String),
    /// Not where this may listen.
    #[error(
        "--listen: {0}: not a loopback address with a port, such as 127.0.0.1:9873 or [::1]:9873"
    )]
    Address(String),
}

impl Options {
    /// Reads them.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let words = words.into_iter();
        let words: Vec<String> = words
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        match words.as_slice() {
            [] => Ok(Self { listen: DEFAULT }),
            [help] if help == "--help" => Err(UsageError::Help),
            [option, address] if option == "--listen" => {
                let listen = address.parse::<SocketAddr>().ok();
                // An IPv4 address in an IPv6 one is not taken for loopback by the standard library.
                let listen = listen.filter(|listen| listen.ip().is_loopback());
                listen
                    .map(|listen| Self { listen })
                    .ok_or_else(|| UsageError::Address(address.escape_default().to_string()))
            }
            _ => Err(UsageError::Usage(
                words.join(" ").escape_default().to_string(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, UsageError> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn loopback_addresses_only() {
        assert_eq!(parse("").unwrap().listen, DEFAULT);
        for listen in ["127.0.0.1:80", "127.9.9.9:0", "[::1]:9873"] {
            let options = parse(&format!("--listen {listen}")).unwrap();
            assert_eq!(options.listen.to_string(), listen);
        }
        for listen in [
            "0.0.0.0:9873",
            "[::]:9873",
            "192.168.0.86:9873",
            "[::ffff:127.0.0.1]:9873",
            "localhost:9873",
            "127.0.0.1",
            "9873",
            ":9873",
            "127.0.0.1:99999",
        ] {
            let refused = parse(&format!("--listen {listen}"));
            assert_eq!(refused, Err(UsageError::Address(listen.into())));
        }
    }

    #[test]
    fn other_words_are_refused() {
        for line in ["--listen", "x", "--listen 127.0.0.1:1 x", "--port 1"] {
            assert_eq!(
                parse(line),
                Err(UsageError::Usage(line.to_owned())),
                "{line}"
            );
        }
        assert_eq!(parse("--help"), Err(UsageError::Help));
    }
}
