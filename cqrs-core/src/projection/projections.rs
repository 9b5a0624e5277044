//! The handle to running projectors.

use std::time::Duration;

use super::consumers::{Consumers, consumer_operations};
use super::error::{OperatorError, RebuildError};

/// Running projectors.
///
/// Cloning returns another handle. When the last one is dropped, the projectors stop.
///
/// ```
/// # use std::collections::HashMap;
/// # use std::time::Duration;
/// # use cqrs_core::projection::*;
/// # use cqrs_core::{App, Event, EventStoreExt, ExpectedVersion, Projections, Projector, ReadModel, Recorded, StreamName};
/// # use cqrs_memory::{MemoryReadStore, MemoryStore, MemoryTransaction};
/// # #[derive(Event)] #[event(name = "cart.added", crate = cqrs_core)]
/// # struct Added { product: String }
/// # #[derive(Clone, Default)] struct Counts(HashMap<String, u32>);
/// # #[derive(ReadModel)] #[read_model(name = "popular", event = Added, crate = cqrs_core)] struct Popular;
/// # impl Projector<MemoryReadStore> for Popular {
/// #     async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
/// #         tx.put(Counts::default());
/// #         Ok(())
/// #     }
/// #     async fn project(&self, tx: &mut MemoryTransaction, event: &Recorded<Added>) -> Result<(), ProjectError> {
/// #         *tx.model::<Counts>()?.0.entry(event.event.product.clone()).or_default() += 1;
/// #         Ok(())
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, read) = (MemoryStore::new(), MemoryReadStore::new());
/// # let app = App::new(store.clone());
/// # let timeout = Duration::from_secs(5);
/// let popular = read.view::<Counts>("popular")?;
/// let projections = Projections::builder(&app, read).projector(Popular).start().await?;
/// projections.wait_until_built("popular", timeout).await?;
///
/// // Read your own write.
/// let (cart, tea) = (StreamName::new("cart-1")?, Added { product: "tea".into() });
/// let appended = store.append_events(&cart, ExpectedVersion::Any, &[tea]).await?;
/// let waited = projections.wait_for("popular", appended.position(), timeout).await?;
/// assert_eq!(waited, Waited::CaughtUp);
/// assert_eq!(popular.get().unwrap().0["tea"], 1);
///
/// // Readers see the old rows until the new ones are complete.
/// projections.rebuild("popular").await?;
/// assert!(projections.wait_until_built("popular", timeout).await?);
/// projections.stop().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Projections {
    consumers: Consumers,
}

impl std::fmt::Debug for Projections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projections").field("projectors", &self.consumers).finish()
    }
}

impl Projections {
    pub(super) const fn new(consumers: Consumers) -> Self {
        Self { consumers }
    }

    consumer_operations!("projector", "projectors");

    /// Starts to build a read model from the first event on, alongside the live one, which readers
    /// see until the new one has caught up. Returns when the rebuild has been started.
    ///
    /// [`health`](Self::health) reports the progress. A rebuild continues after a restart.
    ///
    /// # Errors
    /// [`RebuildError`] if there is no projector of this name, if its read model is being built
    /// already, or if a store or [`create`](crate::Projector::create) fails.
    pub async fn rebuild(&self, name: &str) -> Result<(), RebuildError> {
        let name = self.consumers.find(name)?;
        match self.consumers.rebuild(&name).await {
            Ok(true) => {
                tracing::info!(projector = %name, "rebuild requested");
                Ok(())
            }
            Ok(false) => Err(RebuildError::AlreadyBuilding { name }),
            Err(source) => Err(RebuildError::Start { name, source }),
        }
    }

    /// Drops the read model that is being built for a projector. Returns `true` if there was one.
    ///
    /// Readers keep the live one. If that has an earlier version than the projector, the next
    /// start builds again.
    ///
    /// # Errors
    /// [`OperatorError`] if there is no projector of this name, or if the store fails.
    pub async fn cancel_rebuild(&self, name: &str) -> Result<bool, OperatorError> {
        self.consumers.cancel_rebuild(name).await
    }

    /// Waits until a projector has a live read model and none is being built for it, at most for a
    /// duration. Returns `false` if the time is over.
    ///
    /// # Errors
    /// [`OperatorError`] if there is no projector of this name, or if the store fails.
    ///
    /// # Cancel safety
    /// Safe: dropping the future has no effect.
    pub async fn wait_until_built(
        &self,
        name: &str,
        within: Duration,
    ) -> Result<bool, OperatorError> {
        self.consumers.wait_until_live(name, within).await
    }
}
