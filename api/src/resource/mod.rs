//! The objects that responses carry: one file per object, each built from rows alone.

pub(crate) mod address;
pub(crate) mod cluster;
pub(crate) mod event;
pub(crate) mod keyring;
pub(crate) mod ledger;
pub(crate) mod order;
pub(crate) mod product;
pub(crate) mod sale;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod stock;
pub(crate) mod user;
pub(crate) mod wishlist;
pub(crate) mod words;
