//! The application: commands go in, events and outcomes come out.

mod builder;
mod cache;
mod decide;
mod dispatch;
mod error;
mod middleware;
mod outcome;

pub use crate::aggregate::ReservationError;
pub use crate::command::CommandOf;
pub use crate::id::{IdGenerator, RandomIds};
pub use crate::time::{Clock, SystemClock};
pub use builder::{AppBuilder, BuildError, Persistence};
pub use cache::CachePolicy;
pub use dispatch::Dispatch;
pub use error::{Denial, DispatchError, LoadError};
pub use middleware::{Answer, CommandContext, Done, Flow, Middleware};
pub use outcome::Outcome;

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
use crate::repository::{AsOf, EventSourced, Loaded, Past, Repository, load_as_of};
use crate::{
    Aggregate, Command, EventStore, InvalidName, InvalidUpcasters, Metadata, ReadError, StreamName,
    Upcasters,
};

/// Decides commands over one store. Cloning is cheap and gives a handle to the same application.
///
/// ```
/// # use cqrs_core::{*, aggregate::*, app::*, event::*, process::*, projection::*, repository::*, store::*, subscription::*, upcast::*};
/// # async fn example<C: Command>(store: impl EventStore, deposit: C, id: <C::Aggregate as Aggregate>::Id)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let app = App::new(store);
/// let outcome = app.dispatch(deposit).await?;
/// let account = app.load::<C::Aggregate>(&id).await?;
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
    middleware: Vec<Arc<dyn Middleware>>,
    cache: cache::Cache,
    retries: u32,
    deadline: Option<Duration>,
    /// The headers that caused commands inherit.
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
    /// Over a store, with every default: event-sourced aggregates, no snapshots, a cache of ten
    /// thousand aggregates, eight retries after conflicts, no deadline.
    #[must_use]
    pub fn new(store: impl EventStore) -> Self {
        Self::builder(store).finish()
    }

    /// Over a store, with settings.
    #[must_use]
    pub fn builder(store: impl EventStore) -> AppBuilder {
        AppBuilder::new(Arc::new(store))
    }

    /// The store, read through the upcasters.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.shared.store
    }

    /// Sends a command to its aggregate: `app.dispatch(command).await`.
    ///
    /// Options come in between: `app.dispatch(command).command_id(id).await`. The returned value is a
    /// future, which you can also pass to `tokio::spawn` or `join_all`.
    pub fn dispatch<C: Command>(&self, command: C) -> Dispatch<C> {
        Dispatch::new(self.clone(), command)
    }

    /// The aggregate as it is now, to look at; its default state when it has no events. Reads
    /// the store and leaves the cache alone.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load<A: Aggregate>(&self, id: &A::Id) -> Result<Loaded<A>, LoadError> {
        let stream = stream_of::<A>(id).map_err(LoadError::InvalidId)?;
        let repository = self.repository::<A>().map_err(LoadError::Misconfigured)?;
        guarded(repository.load(stream)).await
    }

    /// The stream of the aggregate that holds a reference; see
    /// [`Aggregate::reservations`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn unique_key_owner(&self, key: &UniqueKey) -> Result<Option<StreamName>, ReadError> {
        holder(&*self.shared.store, key).await
    }

    /// The aggregate as it was; its default state before its first event.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load_as_of<A: Aggregate>(
        &self,
        id: &A::Id,
        as_of: AsOf,
    ) -> Result<Past<A>, LoadError> {
        let stream = stream_of::<A>(id).map_err(LoadError::InvalidId)?;
        self.shared.upcasters.check::<A::Event>().map_err(LoadError::Misconfigured)?;
        guarded(load_as_of(&*self.shared.store, stream, as_of)).await
    }

    /// The repository of one kind of aggregate, for application services that decide themselves.
    ///
    /// # Errors
    /// [`InvalidUpcasters`] when an upcaster is missing for its events; found at start for
    /// aggregates that the builder was told of.
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

    /// The headers that a command inherits from the event or command that caused it: those named
    /// with [`AppBuilder::propagate`].
    #[allow(dead_code)] // until processes use it
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

pub(crate) fn stream_of<A: Aggregate>(id: &A::Id) -> Result<StreamName, InvalidName> {
    const {
        assert!(
            is_category(A::CATEGORY),
            "a category has 1 to 255 bytes, no dash, no NUL and no leading `$`"
        );
    }
    StreamName::of(A::CATEGORY, id)
}

/// Runs code that calls `apply`, which may panic.
async fn guarded<T>(load: impl Future<Output = Result<T, ReadError>>) -> Result<T, LoadError> {
    match AssertUnwindSafe(load).catch_unwind().await {
        Ok(loaded) => Ok(loaded?),
        Err(panic) => Err(LoadError::Panicked { message: panic_message(&*panic) }),
    }
}
