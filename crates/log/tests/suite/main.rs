//! What the log promises, through its public interface. One program, so that it is linked once.

#![cfg(test)]
#![expect(clippy::cast_possible_truncation, reason = "test data is small")]

mod append;
mod cold;
mod concurrency;
mod faults;
mod kill;
mod power;
mod recovery;
mod support;
