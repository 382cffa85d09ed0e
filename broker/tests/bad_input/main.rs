//! Input that no client should send, against a broker and a name server as they ship.
//!
//! Each row is one line of the project's table of bad input: what comes in, which code goes out,
//! and whether the connection is kept. After every row another client must be served within
//! 100 ms. Rows of features that this version does not have are not here: their requests are
//! answered `REQUEST_CODE_NOT_SUPPORTED`, which `requests` checks for all of them.

#![forbid(unsafe_code)]

mod ask;
mod ends;
mod framing;
mod groups;
mod namesrv;
mod pair;
mod requests;
mod slow;
mod topics;
