//! Everything that is not a success, as RFC 9457 problem documents.
//!
//! [`code`] is the table of all codes, [`document`] is the document, and [`refusal`] turns refusals
//! and failures of the node into one. `docs/errors.md` explains each code; tests keep that page, the
//! table and the refusals of the domain in step.

mod code;
mod document;
mod refusal;

pub use code::CODES;
pub(crate) use code::Code;
pub(crate) use document::{FieldError, Problem};
