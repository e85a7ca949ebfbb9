//! What should have happened: independent sequential specifications.

pub mod stock;
