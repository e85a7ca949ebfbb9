//! The cluster's own rows: which feature level it runs at.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::FeatureLevel;
