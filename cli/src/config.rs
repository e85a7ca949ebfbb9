//! The settings of a node, from four layers: defaults, `cluster.toml`, environment, `--set`.
//!
//! Later layers win, and every value remembers where it came from. An unknown key is an error in
//! every layer: a typo must not silently leave a setting at its default.
//!
//! - `settings`: every setting with its default; `field`: how one value is parsed and shown
//! - `layers`: puts the layers on top of each other; `file`: the layer that is a file
//! - `keys`: which keys exist, and which one a misspelt key probably meant
//! - `issuer`: an entry of `auth.issuers`
//! - `address`: `host:port` and what may be reachable from outside

pub mod settings;
pub mod value;

mod address;
mod field;
mod file;
mod issuer;
mod keys;
mod layers;
mod origin;

pub use self::address::resolve;
pub use self::layers::{Config, Shown};
pub use self::origin::Origin;
