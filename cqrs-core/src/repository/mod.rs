//! Loading and saving aggregates, from their events or from a stored state, behind one trait.

mod event_sourced;
mod fold;
mod past;
mod snapshots;
mod state_stored;

pub use event_sourced::EventSourced;
pub use past::{AsOf, PastState, load_as_of};
pub use snapshots::SnapshotPolicy;
pub use state_stored::StateStored;

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Aggregate, Append, AppendError, Appended, CommandKey, Event, IdGenerator, Metadata, NewEvent,
    PayloadError, ReadError, StreamAppend, StreamName, Version,
};

/// The state of an aggregate and its version.
#[derive(Clone, Debug)]
pub struct Loaded<A> {
    stream: StreamName,
    version: Version,
    state: A,
    /// The version of the newest known snapshot.
    snapshot: Version,
}

impl<A: Aggregate> Loaded<A> {
    /// Creates the default state, for a stream without events.
    #[must_use]
    pub fn empty(stream: StreamName) -> Self {
        Self { stream, version: Version::ZERO, state: A::default(), snapshot: Version::ZERO }
    }
}

impl<A> Loaded<A> {
    /// Returns the aggregate's stream.
    #[must_use]
    pub const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Returns the version of the last applied event, or [`Version::ZERO`] if there is none.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the state.
    #[must_use]
    pub const fn state(&self) -> &A {
        &self.state
    }

    /// Returns the state and drops the rest.
    #[must_use]
    pub fn into_state(self) -> A {
        self.state
    }
}

/// The events that a decision stores, together with their metadata and ids.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::{Metadata, app::RandomIds, repository::Changes};
///
/// let events = vec![AccountEvent::Deposited { cents: 500 }];
/// let changes = Changes::new(events, Metadata::default().with_actor("import"), &RandomIds)?;
/// assert_eq!(changes.new_events()[0].metadata.actor.as_deref(), Some("import"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Changes<E> {
    events: Vec<E>,
    new_events: Vec<NewEvent>,
    pub(crate) command: Option<CommandKey>,
    /// Appends to other streams in the same transaction.
    pub(crate) other_streams: Vec<StreamAppend>,
}

impl<E: Event> Changes<E> {
    /// Creates changes from events and their metadata, with ids from a generator.
    ///
    /// # Errors
    /// Returns a [`PayloadError`] if an event cannot be stored.
    pub fn new(
        events: Vec<E>,
        metadata: impl Into<Arc<Metadata>>,
        ids: &dyn IdGenerator,
    ) -> Result<Self, PayloadError> {
        let metadata = metadata.into();
        let new_events = events
            .iter()
            .map(|event| {
                Ok(NewEvent::of_with_id(event, ids.next().into())?
                    .with_metadata(Arc::clone(&metadata)))
            })
            .collect::<Result<_, PayloadError>>()?;
        Ok(Self { events, new_events, command: None, other_streams: Vec::new() })
    }

    /// Records the command together with the events, so that it is recognized if it is sent again.
    #[must_use]
    pub const fn with_command(mut self, command: CommandKey) -> Self {
        self.command = Some(command);
        self
    }

    /// Returns the events.
    #[must_use]
    pub fn events(&self) -> &[E] {
        &self.events
    }

    /// Returns the events in the form in which they are stored.
    #[must_use]
    pub fn new_events(&self) -> &[NewEvent] {
        &self.new_events
    }

    /// Returns the append that stores the events after the loaded version.
    #[must_use]
    pub fn append_to<A>(&self, loaded: &Loaded<A>) -> Append {
        let (stream, events) = (loaded.stream.clone(), self.new_events.clone());
        let mut append = Append::to(stream, loaded.version, events);
        append.streams.extend_from_slice(&self.other_streams);
        append.command = self.command;
        append
    }

    pub(crate) fn into_parts(self) -> (Vec<E>, Vec<NewEvent>) {
        (self.events, self.new_events)
    }
}

/// Loads and saves aggregates of one kind.
///
/// Implement it to store aggregates in another way, and pass it to
/// [`Persistence::custom`](crate::app::Persistence::custom). Implementations are annotated with
/// [`#[async_trait]`](crate::store::async_trait). There is no method to delete an aggregate.
///
/// An application can also use it directly, instead of dispatching commands:
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::repository::{Changes, EventSourced, Repository};
/// use cqrs_core::{Aggregate, Metadata, StreamName, app::RandomIds};
/// use cqrs_memory::MemoryStore;
///
/// let accounts = EventSourced::<Account>::new(MemoryStore::new());
/// let mut alice = accounts.load(StreamName::new("account-alice")?).await?;
/// let events = alice.state().execute(deposit("alice", 500).into())?;
/// let changes = Changes::new(events, Metadata::default(), &RandomIds)?;
/// accounts.save(&mut alice, &changes).await?; // on a conflict: `refresh`, then decide again
/// assert_eq!((alice.version().get(), alice.state().cents), (1, 500));
/// # Ok(()) }
/// ```
///
/// An implementation can wrap another one, here to count loads:
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
///
/// use cqrs_core::app::Persistence;
/// use cqrs_core::repository::{Changes, EventSourced, Loaded, Repository};
/// use cqrs_core::store::{AppendError, Appended, ReadError, async_trait};
/// use cqrs_core::{Aggregate, App, StreamName};
/// use cqrs_memory::MemoryStore;
///
/// #[derive(Debug)]
/// struct CountLoads<R> {
///     repository: R,
///     loads: Arc<AtomicU64>,
/// }
///
/// #[async_trait]
/// impl<A: Aggregate, R: Repository<A>> Repository<A> for CountLoads<R> {
///     async fn load(&self, stream: StreamName) -> Result<Loaded<A>, ReadError> {
///         self.loads.fetch_add(1, Ordering::Relaxed);
///         self.repository.load(stream).await
///     }
///     async fn refresh(&self, loaded: &mut Loaded<A>) -> Result<(), ReadError> {
///         self.repository.refresh(loaded).await
///     }
///     async fn save(
///         &self,
///         loaded: &mut Loaded<A>,
///         changes: &Changes<A::Event>,
///     ) -> Result<Appended, AppendError> {
///         self.repository.save(loaded, changes).await
///     }
/// }
///
/// let (store, loads) = (MemoryStore::new(), Arc::new(AtomicU64::new(0)));
/// let repository = EventSourced::<Account>::new(store.clone());
/// let counted = CountLoads { repository, loads: Arc::clone(&loads) };
/// let app = App::builder(store).aggregate(Persistence::custom(counted)).build()?;
/// app.dispatch(deposit("alice", 500)).await?;
/// assert_eq!(loads.load(Ordering::Relaxed), 1);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Repository<A: Aggregate>: std::fmt::Debug + Send + Sync + 'static {
    /// Loads an aggregate. A stream without events is the default state.
    ///
    /// # Errors
    /// Returns a [`ReadError`] if the store fails or an event cannot be decoded; never
    /// [`StreamNotFound`](ReadError::StreamNotFound).
    async fn load(&self, stream: StreamName) -> Result<Loaded<A>, ReadError>;

    /// Applies the events that were stored since the aggregate was loaded.
    ///
    /// # Errors
    /// Returns a [`ReadError`], as [`load`](Self::load) does. In that case the state may be
    /// incomplete: discard it and load the aggregate again.
    async fn refresh(&self, loaded: &mut Loaded<A>) -> Result<(), ReadError>;

    /// Stores the changes if the stream is still at the loaded version, and applies them to `loaded`.
    ///
    /// If the append had been stored before ([`repeated`](Appended::repeated)), or `apply` panics
    /// for an event that was just stored, `loaded` is unchanged. Compare its version with that of
    /// the returned [`Appended`] to find out.
    ///
    /// # Errors
    /// Returns an [`AppendError`]; [`Conflict`](AppendError::Conflict) if the stream is at another
    /// version. `loaded` is unchanged.
    async fn save(
        &self,
        loaded: &mut Loaded<A>,
        changes: &Changes<A::Event>,
    ) -> Result<Appended, AppendError>;
}
