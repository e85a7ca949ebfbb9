//! Load by hand: raw HTTP/1.1 over keep-alive connections, cheap enough that the generator does
//! not eat the cores it shares with the nodes it measures.

mod caller;
mod connection;

pub(crate) use caller::{Answer, Caller, Lost};
pub(crate) use connection::{Connection, Post};
