//! The API as a client sees it: a real one-node cluster in a temporary directory, the real router,
//! and a real loopback socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

mod accounts;
mod addresses;
mod bad_input;
mod buying;
mod issuers;
mod keys;
mod lists;
mod protocol;
mod quorum;
mod site;
mod staff;
mod wishlist;
