//! How events change the rows of a read model.

use super::error::ProjectError;
use super::read_model::ReadModel;
use super::store::ReadStore;
use crate::Recorded;

/// Builds a [`ReadModel`] in a read store.
///
/// [`Projections`](crate::Projections) calls it with the events of the log in order, in a
/// transaction of the read store that also moves the projector's checkpoint. So each event takes
/// effect exactly once, no matter how often the program crashes: what a projector writes through the
/// transaction is committed together with the checkpoint, or not at all. Any other effect (an
/// e-mail, a file) belongs in [`committed`](Self::committed), which may be lost, or in an
/// [`EventHandler`](crate::EventHandler), which may be repeated.
///
/// A read model can be dropped and rebuilt at any time, so it must depend on events alone. Take
/// times from events, not from a clock.
///
/// ```
/// use std::collections::HashMap;
/// use std::time::Duration;
///
/// use cqrs_core::projection::ProjectError;
/// # use cqrs_core::{Event, EventStoreExt, ExpectedVersion, Projections, StreamName};
/// use cqrs_core::{Projector, ReadModel, Recorded};
/// use cqrs_memory::{MemoryReadStore, MemoryStore, MemoryTransaction};
///
/// # #[derive(Event)] #[event(crate = cqrs_core)]
/// # enum CartEvent { #[event(name = "cart.added")] Added, #[event(name = "cart.removed")] Removed }
/// #[derive(Clone, Default)]
/// struct Sizes(HashMap<StreamName, u32>);
///
/// struct CartSizes;
///
/// impl ReadModel for CartSizes {
///     type Event = CartEvent;
///     const NAME: &'static str = "cart_sizes";
///     const VERSION: u32 = 1;
/// }
///
/// impl Projector<MemoryReadStore> for CartSizes {
///     async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
///         tx.put(Sizes::default());
///         Ok(())
///     }
///
///     async fn project(
///         &self,
///         tx: &mut MemoryTransaction,
///         event: &Recorded<CartEvent>,
///     ) -> Result<(), ProjectError> {
///         let size = tx.model::<Sizes>()?.0.entry(event.stream.clone()).or_default();
///         match event.event {
///             CartEvent::Added => *size += 1,
///             CartEvent::Removed => *size = size.checked_sub(1).ok_or("removed from an empty cart")?,
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, read) = (MemoryStore::new(), MemoryReadStore::new());
/// # let sizes = read.view::<Sizes>("cart_sizes")?;
/// # let running = Projections::builder_over(store.clone(), read).projector(CartSizes).start().await?;
/// # let cart = StreamName::new("cart-1")?;
/// # let events = [CartEvent::Added, CartEvent::Added, CartEvent::Removed];
/// # let appended = store.append_events(&cart, ExpectedVersion::Any, &events).await?;
/// # running.wait_until_built("cart_sizes", Duration::from_secs(5)).await?;
/// # running.wait_for("cart_sizes", appended.position(), Duration::from_secs(5)).await?;
/// assert_eq!(sizes.get().unwrap().0[&cart], 1); // after two were added and one was removed
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projector for `{S}`",
    label = "no `impl Projector<{S}>` for `{Self}`",
    note = "write `impl Projector<{S}> for {Self}` with `create` and `project`: a read model needs one for each read store it runs on"
)]
pub trait Projector<S: ReadStore>: ReadModel {
    /// Creates empty tables. Called once for each generation, in the transaction that creates it.
    ///
    /// # Errors
    /// Any error: the generation is not created, and the projector does not start.
    fn create(
        &self,
        tx: &mut S::Transaction,
    ) -> impl Future<Output = Result<(), ProjectError>> + Send;

    /// Applies one event.
    ///
    /// # Errors
    /// Any error: the transaction is rolled back, and the event is retried as the
    /// [`FailurePolicy`](super::FailurePolicy) says. A panic counts as an error.
    fn project(
        &self,
        tx: &mut S::Transaction,
        event: &Recorded<Self::Event>,
    ) -> impl Future<Output = Result<(), ProjectError>> + Send; // impls: async fn

    /// Applies several events. The default calls [`project`](Self::project) for each.
    ///
    /// Override it if events can be combined: one statement that inserts a thousand rows is about
    /// ten times as fast as a thousand statements.
    ///
    /// # Errors
    /// As [`project`](Self::project). The batch is retried in halves until the event that fails is
    /// alone.
    fn project_batch(
        &self,
        tx: &mut S::Transaction,
        events: &[Recorded<Self::Event>],
    ) -> impl Future<Output = Result<(), ProjectError>> + Send {
        async move {
            for event in events {
                self.project(tx, event).await?;
            }
            Ok(())
        }
    }

    /// Does what needs no transaction, such as calling another system, before the transaction for
    /// these events begins. Called again when the events are retried. Not called by an
    /// [`InlineStore`](super::InlineStore).
    ///
    /// # Errors
    /// As [`project_batch`](Self::project_batch).
    fn prepare(
        &self,
        events: &[Recorded<Self::Event>],
    ) -> impl Future<Output = Result<(), ProjectError>> + Send {
        let _ = events;
        std::future::ready(Ok(()))
    }

    /// Called after the commit, in the program that committed, if readers see the generation.
    ///
    /// A rebuild does not repeat it. The call is lost if the program crashes after the commit; a
    /// panic is logged.
    fn committed(&self, events: &[Recorded<Self::Event>]) {
        let _ = events;
    }
}
