//! Why transactions of a read store do not begin or commit.

use crate::StoreError;
use crate::projection::error::ProjectError;

/// Why a transaction did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// A newer lease of the partition exists. Nothing was written, and nothing ever will be under
    /// this one.
    #[error("lease lost")]
    Lost,
    /// The store failed.
    #[error("read store failed")]
    Store(#[from] StoreError),
}

/// Why a transaction did not commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A newer lease of the partition exists. Nothing was written, and nothing ever will be under
    /// this one.
    #[error("lease lost")]
    Lost,
    /// What the projector did cannot be committed: a deferred constraint fails, or a statement
    /// failed and the projector did not return the error. Nothing was written.
    #[error("transaction cannot be committed")]
    Failed(#[source] ProjectError),
    /// The store did not answer: either everything was committed, or nothing. The checkpoint of
    /// the next lease shows which.
    #[error("outcome of the transaction is unknown")]
    Unknown(#[source] StoreError),
}
