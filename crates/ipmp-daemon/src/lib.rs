//! in.mpathd: configuration, one driver loop, control server, saved state.
