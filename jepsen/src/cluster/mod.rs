//! Real nodes: processes of the product's binary on loopback, seen only from outside.

pub mod process;
