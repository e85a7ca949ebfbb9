//! The HTTP side as a client sees it: a real one-node cluster in a temporary directory, the real
//! router, a real loopback socket.

mod bad_input;
mod buying;
mod lists;
mod protocol;
mod site;
mod staff;
