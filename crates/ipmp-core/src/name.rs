//! Names of interfaces, logicals and groups, valid by construction.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A text that is not a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidName {
    /// Nothing there.
    Empty,
    /// More than this many bytes.
    TooLong(usize),
    /// A character that such a name cannot hold.
    Character(char),
    /// What follows the colon is not a unit number.
    Unit(String),
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty name"),
            Self::TooLong(max) => write!(f, "name longer than {max} characters"),
            Self::Character(c) => write!(f, "name with {c:?} in it"),
            Self::Unit(unit) => write!(f, "'{unit}' is not a unit number"),
        }
    }
}

impl std::error::Error for InvalidName {}

/// The name of a network device: 1 to 15 bytes, no blank, no slash, no colon (`dev_valid_name` in
/// the kernel). Copies share its text, as the engine makes many of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(Arc<str>);

impl InterfaceName {
    /// The longest name the kernel takes (`IFNAMSIZ` less its terminator).
    pub const MAX: usize = 15;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name's letters and its instance number: the order of listings, in which `ge2` stands
    /// before `ge10`.
    pub fn instance(&self) -> (&str, Option<u64>, &str) {
        let stem = self.0.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = self
            .0
            .get(stem.len()..)
            .and_then(|digits| digits.parse().ok());
        (stem, number, &self.0)
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > Self::MAX {
            return Err(InvalidName::TooLong(Self::MAX));
        }
        if text == "." || text == ".." {
            return Err(InvalidName::Character('.'));
        }
        match text
            .chars()
            .find(|&c| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
        {
            Some(c) => Err(InvalidName::Character(c)),
            None => Ok(Self(text.into())),
        }
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of an IPMP group: 1 to 31 characters, case counts, neither blank nor control character
/// (manual `ifconfig`, subcommand `group`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// The longest group name.
    pub const MAX: usize = 31;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.chars().count() > Self::MAX {
            return Err(InvalidName::TooLong(Self::MAX));
        }
        match text.chars().find(|c| c.is_whitespace() || c.is_control()) {
            Some(c) => Err(InvalidName::Character(c)),
            None => Ok(Self(text.into())),
        }
    }
}

impl TryFrom<String> for GroupName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<GroupName> for String {
    fn from(name: GroupName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A logical interface: an interface and a unit. Unit 0 is the interface itself and is written
/// without a number: `ge0`, `ge0:1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogicalName {
    /// The interface it is on.
    pub interface: InterfaceName,
    /// Its number there.
    pub unit: u32,
}

impl LogicalName {
    /// The logical `unit` of `interface`.
    pub fn new(interface: InterfaceName, unit: u32) -> Self {
        Self { interface, unit }
    }
}

impl FromStr for LogicalName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let Some((interface, unit)) = text.split_once(':') else {
            return Ok(Self::new(text.parse()?, 0));
        };
        if unit.is_empty() || !unit.chars().all(|c| c.is_ascii_digit()) {
            return Err(InvalidName::Unit(unit.to_owned()));
        }
        let unit = unit
            .parse()
            .map_err(|_| InvalidName::Unit(unit.to_owned()))?;
        Ok(Self::new(interface.parse()?, unit))
    }
}

impl TryFrom<String> for LogicalName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<LogicalName> for String {
    fn from(name: LogicalName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for LogicalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unit == 0 {
            write!(f, "{}", self.interface)
        } else {
            write!(f, "{}:{}", self.interface, self.unit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_by_construction() {
        assert_eq!("ge0:1".parse::<LogicalName>().unwrap().to_string(), "ge0:1");
        assert_eq!("ge0:0".parse::<LogicalName>().unwrap().to_string(), "ge0");
        assert_eq!(
            "ge0:".parse::<LogicalName>(),
            Err(InvalidName::Unit(String::new()))
        );
        assert_eq!(
            "ge0:+1".parse::<LogicalName>(),
            Err(InvalidName::Unit("+1".into()))
        );
        assert_eq!("".parse::<InterfaceName>(), Err(InvalidName::Empty));
        assert_eq!(
            "a/b".parse::<InterfaceName>(),
            Err(InvalidName::Character('/'))
        );
        assert_eq!(
            "enx001122334455x".parse::<InterfaceName>(),
            Err(InvalidName::TooLong(15))
        );
        assert_eq!(
            "g".repeat(31).parse::<GroupName>().unwrap().as_str().len(),
            31
        );
        assert_eq!(
            "g".repeat(32).parse::<GroupName>(),
            Err(InvalidName::TooLong(31))
        );
        assert_eq!("a b".parse::<GroupName>(), Err(InvalidName::Character(' ')));
    }

    #[test]
    fn listings_are_ordered_by_name_and_instance() {
        let mut names: Vec<InterfaceName> = ["ge10", "lo", "ge2", "eth0", "ge02"]
            .iter()
            .map(|n| n.parse().unwrap())
            .collect();
        names.sort_by(|a, b| a.instance().cmp(&b.instance()));
        let names: Vec<&str> = names.iter().map(InterfaceName::as_str).collect();
        assert_eq!(names, ["eth0", "ge02", "ge2", "ge10", "lo"]);
    }
}
