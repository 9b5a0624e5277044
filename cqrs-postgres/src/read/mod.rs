//! Reading, page by page.

pub(crate) mod log;
pub(crate) mod newest;
pub(crate) mod pages;
mod rows;
pub(crate) mod stream;
