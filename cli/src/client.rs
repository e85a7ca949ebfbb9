//! A client of one node: JSON over HTTP/1.1, for the commands that use the public API.
//!
//! - `remote`: the arguments that say which node, and as which user
//! - `http`: requests and responses; `problem`: refusals as error messages
//! - `show`: prints a response; `list`: lists, one page at a time

mod http;
mod list;
mod problem;
mod remote;
mod show;

pub(crate) use self::http::{Client, Request, Response};
pub(crate) use self::list::{more, page, rows};
pub(crate) use self::remote::Remote;
pub(crate) use self::show::show;
