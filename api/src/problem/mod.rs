//! Everything that is not a success, as RFC 9457 problem documents.
//!
//! [`code`] is the table of every code this build can answer, [`document`] the document, and
//! [`refusal`] turns what the node answers into one. `docs/errors.md` has a paragraph for each
//! code; tests keep the page, the table and the refusals of the domain equal.

mod code;
mod document;
mod refusal;

pub use code::CODES;
pub(crate) use code::Code;
pub(crate) use document::{FieldError, Problem};
