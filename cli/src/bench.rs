//! placeholder
/// h
pub(crate) fn histogram() -> hdrhistogram::Histogram<u64> {
    unimplemented!()
}
