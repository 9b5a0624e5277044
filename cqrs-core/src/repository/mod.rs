//! Loading and saving aggregates, from their events or from a state row, behind one trait.

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

/// An aggregate's state and the version it was loaded at.
#[derive(Clone, Debug)]
pub struct Loaded<A> {
    stream: StreamName,
    version: Version,
    state: A,
    /// Where its newest snapshot is known to be.
    snapshot: Version,
}

impl<A: Aggregate> Loaded<A> {
    /// What a stream without events looks like.
    #[must_use]
    pub fn empty(stream: StreamName) -> Self {
        Self { stream, version: Version::ZERO, state: A::default(), snapshot: Version::ZERO }
    }
}

impl<A> Loaded<A> {
    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The version of the last event in the state; [`Version::ZERO`] when there is none.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> &A {
        &self.state
    }

    /// The state alone.
    #[must_use]
    pub fn into_state(self) -> A {
        self.state
    }
}

/// What a decision wants to store: the events, and how they are stored.
#[derive(Clone, Debug)]
pub struct Changes<E> {
    events: Vec<E>,
    new_events: Vec<NewEvent>,
    pub(crate) command: Option<CommandKey>,
    /// What other streams get.
    pub(crate) beside: Vec<StreamAppend>,
}

impl<E: Event> Changes<E> {
    /// Events with their metadata, under ids from a generator.
    ///
    /// # Errors
    /// [`PayloadError`] when an event cannot be stored.
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
        Ok(Self { events, new_events, command: None, beside: Vec::new() })
    }

    /// Records the deciding command with the events.
    #[must_use]
    pub const fn with_command(mut self, command: CommandKey) -> Self {
        self.command = Some(command);
        self
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[E] {
        &self.events
    }

    /// The events as they are stored.
    #[must_use]
    pub fn new_events(&self) -> &[NewEvent] {
        &self.new_events
    }

    /// The append that stores them behind what was loaded.
    #[must_use]
    pub fn append_to<A>(&self, loaded: &Loaded<A>) -> Append {
        let (stream, events) = (loaded.stream.clone(), self.new_events.clone());
        let mut append = Append::to(stream, loaded.version, events);
        append.streams.extend_from_slice(&self.beside);
        append.command = self.command;
        append
    }

    pub(crate) fn into_parts(self) -> (Vec<E>, Vec<NewEvent>) {
        (self.events, self.new_events)
    }
}

/// Loads and saves one kind of aggregate. There is no delete: what happened has happened.
///
/// ```
/// # use cqrs_core::{*, aggregate::*, app::*, event::*, process::*, projection::*, repository::*, store::*, subscription::*, upcast::*};
/// # async fn service<A: Aggregate>(
/// #     repository: impl Repository<A>, stream: StreamName, command: A::Command,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// // An application service without the dispatcher:
/// let mut account = repository.load(stream).await?;
/// let events = account.state().execute(command)?;
/// let changes = Changes::new(events, Metadata::default(), &RandomIds)?;
/// repository.save(&mut account, &changes).await?; // a conflict means: load and decide again
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Repository<A: Aggregate>: std::fmt::Debug + Send + Sync + 'static {
    /// The aggregate as the store knows it; the default state when it has no events.
    ///
    /// # Errors
    /// [`ReadError`], never `StreamNotFound`.
    async fn load(&self, stream: StreamName) -> Result<Loaded<A>, ReadError>;

    /// Takes in what was stored since it was loaded.
    ///
    /// # Errors
    /// [`ReadError`]; the state may be half-way then and must be loaded anew.
    async fn refresh(&self, loaded: &mut Loaded<A>) -> Result<(), ReadError>;

    /// Stores the changes if the stream is still at the loaded version, and takes them in.
    ///
    /// When the append had been stored before (`repeated`), or an event just stored cannot be
    /// applied, `loaded` stays where it is; its version tells.
    ///
    /// # Errors
    /// [`AppendError`]; `loaded` is unchanged.
    async fn save(
        &self,
        loaded: &mut Loaded<A>,
        changes: &Changes<A::Event>,
    ) -> Result<Appended, AppendError>;
}
