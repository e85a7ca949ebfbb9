//! A client of one node: JSON over HTTP/1.1, for the commands that use the public API.
//!
//! - `remote`: the arguments that say which node, and as which user
//! - `http`: requests and responses; `problem`: refusals as error messages
//! - `renew`: a session goes on when its access token has expired
//! - `show`: prints a response; `list`: lists, one page at a time

mod http;
mod list;
mod problem;
mod remote;
mod renew;
mod show;

pub(crate) use self::http::{Client, Request, Response};
pub(crate) use self::list::{more, page, rows};
pub(crate) use self::remote::{Endpoint, Remote};
pub(crate) use self::renew::SessionEnded;
pub(crate) use self::show::{print, show};
