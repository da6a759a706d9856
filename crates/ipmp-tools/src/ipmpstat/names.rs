//! Names instead of addresses, out of `/etc/hosts`.

use std::net::IpAddr;

use crate::etc::Etc;

/// Names of addresses.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(IpAddr, String)>);

impl Names {
    /// The names in `/etc/hosts`, without the domain of the host that is called `host`.
    pub(super) fn read(etc: &Etc, host: &str) -> Self {
        let domain = host.find('.').and_then(|dot| host.get(dot..));
        let hosts = etc.hosts().into_iter().filter_map(|(ip, names)| {
            let name = names.into_iter().next()?;
            let short = domain.and_then(|domain| name.strip_suffix(domain));
            Some((ip, short.unwrap_or(&name).to_owned()))
        });
        Self(hosts.collect())
    }

    /// The name of `ip`, or itself.
    pub(super) fn of(&self, ip: IpAddr) -> String {
        self.0
            .iter()
            .find(|(known, _)| *known == ip)
            .map_or_else(|| ip.to_string(), |(_, name)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_domain_is_stripped() {
        let root = tempfile::tempdir().unwrap();
        let etc = Etc::below(root.path());
        std::fs::create_dir(etc.directory()).unwrap();
        std::fs::write(
            etc.path("hosts"),
            "192.0.2.1 www.example.com www\n192.0.2.2 www.example.org\n",
        )
        .unwrap();
        let names = Names::read(&etc, "host1.example.com");
        assert_eq!(names.of("192.0.2.1".parse().unwrap()), "www");
        assert_eq!(names.of("192.0.2.2".parse().unwrap()), "www.example.org");
        assert_eq!(names.of("192.0.2.3".parse().unwrap()), "192.0.2.3");
    }
}
