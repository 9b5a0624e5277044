//! Appends that run projectors in the same transaction.
//!
//! Projectors are user code and may wait, so they run without the lock of the log. They receive a
//! plan of the append: its events at the positions that they get if no other append is stored
//! first.
//!
//! Invariant: an append is committed only if the head has not moved since its plan was made, and
//! models and log change under both locks. Otherwise a new plan is made.

use async_trait::async_trait;
use cqrs_core::projection::store::{AppendProjecting, InlineProjection};
use cqrs_core::{
    EventStore,
    store::{Append, AppendError, Appended, StoreError, StoreErrorKind},
};

use super::MemoryReadStore;
use super::transaction::MemoryTransaction;
use crate::append::Committed;
use crate::{MemoryStore, Step};

/// The maximum number of plans before an append fails.
const MAX_ATTEMPTS: usize = 100;

#[async_trait]
impl AppendProjecting<MemoryReadStore> for MemoryStore {
    async fn append_projecting(
        &self,
        read: &MemoryReadStore,
        append: Append,
        projection: &InlineProjection<MemoryReadStore>,
    ) -> Result<Appended, AppendError> {
        append.check()?;
        if append.event_count() == 0 {
            return self.append(append).await;
        }
        for _ in 0..MAX_ATTEMPTS {
            self.hooks().at(Step::BeforeAppend)?;
            let now = self.now();
            let (head, events) = {
                let contents = self.contents();
                if let Some(first) = contents.check(&append)? {
                    return Ok(first);
                }
                (contents.log.head(), contents.log.plan(&append, now))
            };
            let mut tx = MemoryTransaction::empty();
            projection.project(read, &mut tx, &events).await?;
            self.hooks().at(Step::DuringAppend)?;
            let committed = read.commit_with(tx, || {
                let mut contents = self.contents_mut();
                (contents.log.head() == head).then(|| match contents.check(&append) {
                    Ok(None) => Ok(contents.commit(append.clone(), now)),
                    Ok(Some(first)) => Err(Ok(first)),
                    Err(error) => Err(Err(error)),
                })
            });
            match committed {
                Some(Ok(Committed { appended, replaced })) => {
                    drop(replaced);
                    self.wake_head_waiters();
                    self.hooks().at(Step::AfterAppend).map_err(AppendError::OutcomeUnknown)?;
                    return Ok(appended);
                }
                Some(Err(answer)) => return answer,
                None => {}
            }
        }
        let message = format!("other appends were stored first in all {MAX_ATTEMPTS} attempts");
        Err(StoreError::new(StoreErrorKind::Unavailable, message).into())
    }
}

impl MemoryReadStore {
    /// Runs `append` and commits the models with it. Returns `None` and commits nothing if `append`
    /// returns `None` or a generation is no longer live.
    fn commit_with<T, E>(
        &self,
        tx: MemoryTransaction,
        append: impl FnOnce() -> Option<Result<T, E>>,
    ) -> Option<Result<T, E>> {
        let mut garbage = Vec::new();
        let appended = {
            let mut state = self.state();
            if !tx.changes.iter().all(|change| state.accepts(change)) {
                return None;
            }
            let appended = append()?;
            if appended.is_ok() {
                for change in tx.changes {
                    garbage.extend(state.apply(change));
                }
            }
            appended
        };
        drop(garbage);
        Some(appended)
    }
}
