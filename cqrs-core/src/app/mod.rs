//! The application: dispatches commands to aggregates and stores the events they decide.

mod builder;
mod cache;
mod decide;
mod dispatch;
mod error;
mod middleware;
mod outcome;
mod repeated;

pub use crate::aggregate::ReservationError;
pub use crate::command::CommandOf;
pub use crate::id::{IdGenerator, RandomIds};
pub use crate::time::{Clock, SystemClock};
pub use builder::{AppBuilder, BuildError, Persistence};
pub use cache::CachePolicy;
pub use dispatch::Dispatch;
pub use error::{Denial, DispatchError, InvalidId, LoadError};
pub use middleware::{Answer, CommandContext, CommandResult, Flow, Middleware};
pub use outcome::Outcome;

use middleware::DynMiddleware;
use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;

use crate::aggregate::{UniqueKey, holder};
use crate::names::is_category;
use crate::panics::panic_message;
use crate::repository::{AsOf, EventSourced, Loaded, PastState, Repository, load_as_of};
use crate::{
    Aggregate, Command, EventStore, InvalidUpcasters, Metadata, ReadError, StreamName, Upcasters,
};

/// Dispatches commands to aggregates over one store.
///
/// For each command, it loads the aggregate, lets it decide, and appends the events at the version
/// the decision was made on. On a conflict with another writer it starts again. Clones are cheap
/// and share everything.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::App;
/// use cqrs_memory::MemoryStore;
///
/// let app = App::new(MemoryStore::new());
/// let outcome = app.dispatch(deposit("alice", 500)).await?;
///
/// let account = app.load::<Account>(&"alice".to_owned()).await?;
/// assert_eq!(account.state().cents, 500);
/// assert_eq!(account.version(), outcome.version);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn EventStore>,
    ids: Arc<dyn IdGenerator>,
    upcasters: Upcasters,
    middleware: Vec<Arc<dyn DynMiddleware>>,
    cache: cache::Cache,
    retries: u32,
    deadline: Option<Duration>,
    /// The names of the headers that a command inherits from its cause.
    propagated: BTreeSet<String>,
    /// An `Arc<dyn Repository<A>>` for each kind of aggregate.
    repositories: RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("store", &self.shared.store)
            .field("cached_aggregates", &self.shared.cache.len())
            .finish_non_exhaustive()
    }
}

impl App {
    /// Creates an application with the defaults: event-sourced aggregates without snapshots, a
    /// cache of 10,000 aggregates, 8 retries after conflicts, no deadline.
    #[must_use]
    pub fn new(store: impl EventStore) -> Self {
        Self::builder(store).finish()
    }

    /// Returns a builder, to change the defaults.
    #[must_use]
    pub fn builder(store: impl EventStore) -> AppBuilder {
        AppBuilder::new(Arc::new(store))
    }

    /// Returns the store. Reads through it return upcast events.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.shared.store
    }

    pub(crate) fn upcasters(&self) -> &Upcasters {
        &self.shared.upcasters
    }

    /// Sends a command to its aggregate: `app.dispatch(command).await`.
    ///
    /// Set options before the `.await`: `app.dispatch(command).command_id(id).await`. The returned
    /// value is a future, which you can also pass to `tokio::spawn` or `join_all`.
    ///
    /// # Errors
    /// The future returns a [`DispatchError`], whose variants say whether anything was stored and
    /// whose [`retry`](DispatchError::retry) says whether dispatching again can help.
    pub fn dispatch<C: Command>(&self, command: C) -> Dispatch<C> {
        Dispatch::new(self.clone(), command)
    }

    /// Loads the current state of an aggregate, or the default state if it has no events. Always
    /// reads the store; the cache is not used.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the id is invalid, an upcaster is missing, the store fails, or an
    /// event cannot be decoded or applied.
    pub async fn load<A: Aggregate>(&self, id: &A::Id) -> Result<Loaded<A>, LoadError> {
        let stream = stream_of::<A>(id)?;
        let repository = self.repository::<A>()?;
        load_catching_panics(&stream, repository.load(stream.clone())).await
    }

    /// Returns the stream of the aggregate that holds a unique key, or `None` if the key is free;
    /// see [`Aggregate::reservations`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cqrs_core::{App, aggregate::UniqueKey};
    /// use cqrs_memory::MemoryStore;
    ///
    /// let app = App::new(MemoryStore::new());
    /// assert_eq!(app.unique_key_owner(&UniqueKey::new("e-mail", "alice@example.com")).await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns a [`ReadError`] if the store fails.
    pub async fn unique_key_owner(&self, key: &UniqueKey) -> Result<Option<StreamName>, ReadError> {
        holder(&*self.shared.store, key).await
    }

    /// Loads the state that an aggregate had at a version or at a time, or the default state if it
    /// had no events at that point.
    ///
    /// ```
    /// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cqrs_core::{App, Version, repository::AsOf};
    /// use cqrs_memory::MemoryStore;
    ///
    /// let app = App::new(MemoryStore::new());
    /// app.dispatch(deposit("alice", 500)).await?;
    /// app.dispatch(withdraw("alice", 200)).await?;
    ///
    /// let as_of = AsOf::Version(Version::new(1));
    /// let past = app.load_as_of::<Account>(&"alice".to_owned(), as_of).await?;
    /// assert_eq!(past.state().cents, 500);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns a [`LoadError`], as [`load`](Self::load) does.
    pub async fn load_as_of<A: Aggregate>(
        &self,
        id: &A::Id,
        as_of: AsOf,
    ) -> Result<PastState<A>, LoadError> {
        let stream = stream_of::<A>(id)?;
        self.shared.upcasters.check::<A::Event>()?;
        load_catching_panics(&stream, load_as_of(&*self.shared.store, stream.clone(), as_of)).await
    }

    /// Returns the repository of one kind of aggregate, for code that loads, decides and saves
    /// without [`dispatch`](Self::dispatch).
    ///
    /// # Errors
    /// Returns [`InvalidUpcasters`] if an upcaster is missing for the aggregate's events. For a
    /// [registered](AppBuilder::aggregate) aggregate, [`AppBuilder::build`] reports this first.
    pub fn repository<A: Aggregate>(&self) -> Result<Arc<dyn Repository<A>>, InvalidUpcasters> {
        let key = TypeId::of::<A>();
        let known = self.shared.repositories.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(repository) = known.get(&key).and_then(typed::<A>) {
            return Ok(repository);
        }
        drop(known);
        self.shared.upcasters.check::<A::Event>()?;
        let repository: Arc<dyn Repository<A>> =
            Arc::new(EventSourced::new(Arc::clone(&self.shared.store)));
        let mut known = self.shared.repositories.write().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(key).or_insert_with(|| Arc::new(Arc::clone(&repository)));
        Ok(typed::<A>(entry).unwrap_or(repository))
    }

    /// Returns the headers that a command inherits from the event or command that caused it: those
    /// named with [`AppBuilder::propagate`].
    pub(crate) fn propagated(&self, cause: &Metadata) -> BTreeMap<String, Value> {
        let headers = cause.headers.iter();
        headers
            .filter(|(key, _)| self.shared.propagated.contains(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

fn typed<A: Aggregate>(repository: &Arc<dyn Any + Send + Sync>) -> Option<Arc<dyn Repository<A>>> {
    repository.downcast_ref::<Arc<dyn Repository<A>>>().cloned()
}

/// Returns the stream of an aggregate. An invalid category does not compile.
pub(crate) fn stream_of<A: Aggregate>(id: &A::Id) -> Result<StreamName, InvalidId> {
    const {
        assert!(
            is_category(A::CATEGORY),
            "a category has 1 to 255 bytes, no dash, no NUL and no leading `$`"
        );
    }
    StreamName::of(A::CATEGORY, id).map_err(|source| InvalidId::new(A::CATEGORY, id, source))
}

/// Runs code that calls `apply`, and returns its panic as an error.
async fn load_catching_panics<T>(
    stream: &StreamName,
    load: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, LoadError> {
    match AssertUnwindSafe(load).catch_unwind().await {
        Ok(loaded) => loaded.map_err(|source| LoadError::Read { stream: stream.clone(), source }),
        Err(panic) => {
            let message = panic_message(&*panic);
            Err(LoadError::Panicked { stream: stream.clone(), message })
        }
    }
}
