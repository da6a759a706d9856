//! Hosts, switches and cables out of namespaces, with faults.
