//! A projector that a test runs event by event.

use std::sync::Arc;

use cqrs_core::{
    Projector, ReadModel, Recorded,
    projection::{Key, ProjectError, ReadStore},
};
use tokio::sync::Semaphore;

/// Makes a projector wait before each event until the test allows it, so that the test can check
/// the state between two events.
///
/// Run the projector with a batch size of 1. Otherwise the changes of a batch are only visible after
/// all of its events were allowed.
///
/// ```
/// use std::time::Duration;
///
/// # use cqrs::{Event, Projector, ReadModel, Recorded, projection::ProjectError};
/// # use cqrs::memory::MemoryTransaction;
/// use cqrs::{Position, Projections, projection::ProjectorOptions};
/// use cqrs::memory::{MemoryReadStore, MemoryStore};
/// use cqrs_testing::{ManualClock, given_events, step_by_step};
/// #
/// # #[derive(Event)]
/// # #[event(name = "cart.added")]
/// # struct Added { item: String }
/// # #[derive(Clone, Default)]
/// # struct Size(u32);
/// # struct CartSize;
/// # impl ReadModel for CartSize {
/// #     type Event = Added;
/// #     const NAME: &'static str = "size";
/// #     const VERSION: u32 = 1;
/// # }
/// # impl Projector<MemoryReadStore> for CartSize {
/// #     async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
/// #         tx.put(Size::default());
/// #         Ok(())
/// #     }
/// #     async fn project(&self, tx: &mut MemoryTransaction, _: &Recorded<Added>) -> Result<(), ProjectError> {
/// #         tx.model::<Size>()?.0 += 1;
/// #         Ok(())
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
///
/// let clock = ManualClock::new();
/// let (store, read) = (MemoryStore::builder().clock(clock.clone()).build(), MemoryReadStore::new());
/// let size = read.view::<Size>("size")?;
/// let (projector, steps) = step_by_step(CartSize);
/// let running = Projections::builder_over(store.clone(), read)
///     .clock(clock.clone())
///     .projector_with(projector, ProjectorOptions::new().batch(1))
///     .start()
///     .await?;
/// let within = Duration::from_secs(10);
/// running.wait_until_built("size", within).await?;
///
/// let added = |item: &str| Added { item: item.into() };
/// given_events(&store, [("cart-1", added("tea")), ("cart-1", added("milk"))]).await;
/// clock.advance(Duration::from_secs(5));
/// steps.allow(1);
/// running.wait_for("size", Position::new(1), within).await?;
/// assert_eq!(size.get().unwrap().0, 1);
/// let health = running.health().await?.remove(0);
/// assert_eq!((health.lag, health.lag_time), (1, Duration::from_secs(5)));
///
/// steps.allow(1);
/// running.wait_for("size", Position::new(2), within).await?;
/// assert_eq!(size.get().unwrap().0, 2);
/// # Ok(()) }
/// ```
pub fn step_by_step<P>(projector: P) -> (Stepped<P>, Steps) {
    let allowed = Arc::new(Semaphore::new(0));
    (Stepped { projector, allowed: Arc::clone(&allowed) }, Steps { allowed })
}

/// Allows a projector to project events; see [`step_by_step`].
#[derive(Clone, Debug)]
pub struct Steps {
    allowed: Arc<Semaphore>,
}

impl Steps {
    /// Allows this many further events. An event that is retried counts again.
    pub fn allow(&self, events: usize) {
        self.allowed.add_permits(events);
    }
}

/// A projector that waits before each event; see [`step_by_step`].
#[derive(Debug)]
pub struct Stepped<P> {
    projector: P,
    allowed: Arc<Semaphore>,
}

#[deny(clippy::missing_trait_methods)]
impl<P: ReadModel> ReadModel for Stepped<P> {
    type Event = P::Event;
    const NAME: &'static str = P::NAME;
    const VERSION: u32 = P::VERSION;

    fn key(&self) -> Key<P::Event> {
        self.projector.key()
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: ReadStore, P: Projector<S>> Projector<S> for Stepped<P> {
    async fn create(&self, tx: &mut S::Transaction) -> Result<(), ProjectError> {
        self.projector.create(tx).await
    }

    async fn prepare(&self, events: &[Recorded<Self::Event>]) -> Result<(), ProjectError> {
        self.projector.prepare(events).await
    }

    async fn project(
        &self,
        tx: &mut S::Transaction,
        event: &Recorded<Self::Event>,
    ) -> Result<(), ProjectError> {
        self.allowed.acquire().await?.forget();
        self.projector.project(tx, event).await
    }

    async fn project_batch(
        &self,
        tx: &mut S::Transaction,
        events: &[Recorded<Self::Event>],
    ) -> Result<(), ProjectError> {
        let wanted = u32::try_from(events.len())?;
        self.allowed.acquire_many(wanted).await?.forget();
        self.projector.project_batch(tx, events).await
    }

    fn committed(&self, events: &[Recorded<Self::Event>]) {
        self.projector.committed(events);
    }
}
