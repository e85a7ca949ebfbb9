//! What answers look like: one file per object, each built from rows alone.

pub(crate) mod cluster;
pub(crate) mod order;
pub(crate) mod product;
pub(crate) mod record;
pub(crate) mod sale;
pub(crate) mod settings;
pub(crate) mod stock;
