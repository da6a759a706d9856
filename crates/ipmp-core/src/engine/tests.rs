//! The engine over a model of the kernel: the labs, and what the labs do not show.

mod asking;
mod carried;
mod checks;
mod conflicts;
mod contests;
mod failures;
mod group_failure;
mod host;
mod killed;
mod labs;
mod model;
mod moves;
mod moving;
mod others;
mod records;
mod teardown;
mod totals;
