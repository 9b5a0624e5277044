//! Projects events as an application does.

use std::time::Duration;

use cqrs_core::projection::Waited;
use cqrs_core::{
    Event, EventStore, ExpectedVersion, Projections, Projector, StreamName,
    event::NewEvent,
    projection::{ConsumerState, FailurePolicy, ProjectorOptions, ReadStore},
    store::Append,
};

/// The longest time that projecting may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How often to check whether the projector has stopped.
const LOOK: Duration = Duration::from_millis(50);

/// Projects all events in a log and stops. The test then compares the rows. A second call continues
/// after the checkpoint, as after a restart.
///
/// The projector runs as in an application, over the same stores, so the test covers filter, order,
/// transactions and checkpoint.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use cqrs::{Event, Projector, ReadModel, Recorded, projection::ProjectError};
/// use cqrs::memory::{MemoryReadStore, MemoryStore, MemoryTransaction};
/// use cqrs_testing::{given_events, project};
///
/// #[derive(Event)]
/// #[event(name = "cart.added")]
/// struct Added { item: String }
///
/// #[derive(Clone, Default)]
/// struct Sizes(BTreeMap<String, u32>);
///
/// struct CartSizes;
///
/// impl ReadModel for CartSizes {
///     type Event = Added;
///     const NAME: &'static str = "sizes";
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
///         event: &Recorded<Added>,
///     ) -> Result<(), ProjectError> {
///         *tx.model::<Sizes>()?.0.entry(event.stream.to_string()).or_default() += 1;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, read) = (MemoryStore::new(), MemoryReadStore::new());
/// let added = |item: &str| Added { item: item.into() };
///
/// given_events(&store, [("cart-1", added("tea")), ("cart-2", added("milk"))]).await;
/// project(store.clone(), read.clone(), CartSizes).await;
///
/// let sizes = read.view::<Sizes>("sizes")?;
/// assert_eq!(sizes.get().unwrap().0["cart-1"], 1);
/// # Ok(()) }
/// ```
///
/// # Panics
/// Panics if the projector fails, or is not done after 60 seconds. The message contains the event
/// and the error.
pub async fn project<S, P>(events: impl EventStore, read: S, projector: P)
where
    S: ReadStore,
    P: Projector<S>,
{
    let head = events.head().await.unwrap_or_else(|error| panic!("cannot read the head: {error}"));
    let policy = FailurePolicy::stop().retries(0);
    let running = Projections::builder_over(events, read)
        .projector_with(projector, ProjectorOptions::new().on_failure(policy))
        .start()
        .await
        .unwrap_or_else(|error| panic!("cannot start `{}`: {error:?}", P::NAME));
    let until = tokio::time::Instant::now() + WITHIN;
    loop {
        let built = running.wait_until_built(P::NAME, LOOK).await;
        let waited = running.wait_for(P::NAME, head, LOOK).await;
        if matches!((built, waited), (Ok(true), Ok(Waited::CaughtUp))) {
            break;
        }
        let health = running.health().await;
        let health = health.ok().and_then(|mut all| all.pop());
        if let Some(health) = health
            && (health.state == ConsumerState::Stopped || tokio::time::Instant::now() > until)
        {
            match health.failure {
                Some(failure) => panic!(
                    "`{}` failed on the event at position {}: {}",
                    P::NAME,
                    failure.position,
                    failure.error
                ),
                None => panic!("`{}` has not caught up: {health:#?}", P::NAME),
            }
        }
    }
    running.stop().await;
}

/// Appends events to streams, one after the other; see [`project`] for an example.
///
/// # Panics
/// Panics if a stream name is invalid or the store fails.
pub async fn given_events<'s, E: Event>(
    store: &impl EventStore,
    events: impl IntoIterator<Item = (&'s str, E)>,
) {
    for (stream, event) in events {
        let stream = StreamName::new(stream).unwrap_or_else(|error| panic!("{error}"));
        let event = NewEvent::of(&event).unwrap_or_else(|error| panic!("{error}"));
        let append = Append::to(stream, ExpectedVersion::Any, vec![event]);
        store.append(append).await.unwrap_or_else(|error| panic!("{error}"));
    }
}
