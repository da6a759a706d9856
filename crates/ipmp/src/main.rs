//! The one executable of IPMP for Linux; the name it is called by picks the tool.

fn main() {}
