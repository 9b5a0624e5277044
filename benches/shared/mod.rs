//! What the benches have in common.

mod effort;
mod filled;
pub(crate) mod report;
pub(crate) mod samples;

pub(crate) use effort::Effort;
#[allow(unused_imports)] // not every bench needs a full log
pub(crate) use filled::filled;
pub(crate) use report::Report;
