//! What in.mpathd and its tools say to each other.
