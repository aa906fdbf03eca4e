//! Scenarios: a few members in virtual time, over a network that delays, loses and divides.

mod coordinates;
mod events;
mod failure;
mod join;
mod leave;
mod partition;
mod push_pull;
mod queries;
mod removal;
mod restart;
mod robustness;
mod signatures;
mod stall;
mod tags;
mod trust;
mod world;
