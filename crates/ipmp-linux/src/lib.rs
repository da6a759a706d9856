//! Where the kernel begins: netlink, probe and announcement sockets, sysctls, namespaces.
