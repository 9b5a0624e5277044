//! Building an application, and checking its parts against each other.

use std::any::{Any, TypeId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cache::Cache;
use super::middleware::DynMiddleware;
use super::{App, CachePolicy, Middleware, Shared};
use crate::repository::{EventSourced, Repository, SnapshotPolicy, StateStored};
use crate::{
    Aggregate, Clock, Event, EventStore, IdGenerator, InvalidUpcasters, RandomIds, SnapshotStore,
    StateStore, SystemClock, Upcasters, Upcasting,
};

/// Why an application cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two aggregates have the same category, so one could read the other's streams.
    #[error("two aggregates have the category `{category}`")]
    DuplicateCategory {
        /// The category.
        category: &'static str,
    },
    /// Two event types have the same stored name.
    #[error("two event types have the stored name `{name}`")]
    DuplicateEvent {
        /// The stored name.
        name: &'static str,
    },
    /// An upcaster is missing for an event of a registered aggregate.
    #[error(transparent)]
    Upcasters(#[from] InvalidUpcasters),
}

/// Creates a repository once the store and the clock are known.
type RepositoryFactory<R> = Box<dyn FnOnce(Arc<dyn EventStore>, Arc<dyn Clock>) -> Arc<R>>;

/// How aggregates of one kind are stored and loaded.
///
/// Events are always stored. The choice determines how much must be read to get the current state.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::{App, app::Persistence, repository::SnapshotPolicy, store::StateStore};
/// use cqrs_memory::MemoryStore;
///
/// let store = MemoryStore::new();
/// // Choose one:
/// let by_events = Persistence::<Account>::events();
/// let by_snapshots =
///     Persistence::<Account>::events_with_snapshots(store.clone(), SnapshotPolicy::every(100));
/// let by_state = Persistence::<Account>::state(store.clone(), "v1");
///
/// let app = App::builder(store.clone()).aggregate(by_state).build()?;
/// let outcome = app.dispatch(deposit("alice", 500)).await?;
/// let stored = store.load_state(&outcome.stream).await?.expect("a row");
/// assert_eq!(stored.state.payload.as_str(), r#"{"cents":500}"#);
/// # Ok(()) }
/// ```
pub struct Persistence<A: Aggregate> {
    create: RepositoryFactory<dyn Repository<A>>,
}

impl<A: Aggregate> Persistence<A> {
    /// Loads all events of the stream and applies them. Suits streams of up to a few hundred
    /// events. This is the default for aggregates that are not registered.
    #[must_use]
    pub fn events() -> Self {
        Self { create: Box::new(|store, _| Arc::new(EventSourced::new(store))) }
    }

    /// Loads the newest snapshot and applies the events after it. Suits long streams whose state is
    /// small. Snapshots are written in the background after a command; one that is missing, has
    /// another tag or cannot be decoded is ignored, and all events are loaded.
    #[must_use]
    pub fn events_with_snapshots(snapshots: impl SnapshotStore, policy: SnapshotPolicy) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        Self {
            create: Box::new(|store, clock| {
                let events = EventSourced::new(store);
                Arc::new(events.with_snapshots_at(snapshots, policy, clock))
            }),
        }
    }

    /// Loads the current state from one row, which is stored in the same transaction as the events.
    /// Suits long streams that are loaded often.
    ///
    /// `states` must be the same store as the application's. `tag` names the shape of the state;
    /// change it when `apply` or the fields change. A row with another tag is ignored, and the state
    /// is rebuilt from the events.
    #[must_use]
    pub fn state(states: impl StateStore, tag: impl Into<String>) -> Self
    where
        A: Clone + Serialize + DeserializeOwned,
    {
        let tag = tag.into();
        Self { create: Box::new(|store, _| Arc::new(StateStored::new(store, states, tag))) }
    }

    /// Uses your own [`Repository`].
    #[must_use]
    pub fn custom(repository: impl Repository<A>) -> Self {
        Self { create: Box::new(|_, _| Arc::new(repository)) }
    }
}

impl<A: Aggregate> fmt::Debug for Persistence<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persistence").field("category", &A::CATEGORY).finish_non_exhaustive()
    }
}

/// Configures an [`App`]. Created by [`App::builder`].
///
/// Registering aggregates is optional. [`build`](Self::build) checks those that are registered.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use cqrs_core::{App, app::Persistence};
/// use cqrs_memory::MemoryStore;
///
/// let app = App::builder(MemoryStore::new())
///     .aggregate(Persistence::<Account>::events())
///     .retries(20)
///     .deadline(Duration::from_secs(10))
///     .propagate(["traceparent", "tenant"])
///     .build()?;
/// assert_eq!(app.dispatch(deposit("alice", 500)).await?.version.get(), 1);
/// # Ok(()) }
/// ```
pub struct AppBuilder {
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    upcasters: Upcasters,
    middleware: Vec<Arc<dyn DynMiddleware>>,
    cache: CachePolicy,
    retries: u32,
    deadline: Option<Duration>,
    propagated: BTreeSet<String>,
    aggregates: Vec<Registered>,
}

struct Registered {
    category: &'static str,
    kind: TypeId,
    event_names: Vec<&'static str>,
    check: fn(&Upcasters) -> Result<(), InvalidUpcasters>,
    create: RepositoryFactory<dyn Any + Send + Sync>,
}

impl fmt::Debug for AppBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let categories: Vec<_> =
            self.aggregates.iter().map(|registered| registered.category).collect();
        f.debug_struct("AppBuilder").field("aggregates", &categories).finish_non_exhaustive()
    }
}

impl AppBuilder {
    pub(super) fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            upcasters: Upcasters::default(),
            middleware: Vec::new(),
            cache: CachePolicy::default(),
            retries: 8,
            deadline: None,
            propagated: BTreeSet::new(),
            aggregates: Vec::new(),
        }
    }

    /// Registers an aggregate and sets how it is stored. Default for aggregates that are not
    /// registered: [`Persistence::events`].
    #[must_use]
    pub fn aggregate<A: Aggregate>(mut self, persistence: Persistence<A>) -> Self {
        self.aggregates.push(Registered {
            category: A::CATEGORY,
            kind: TypeId::of::<A>(),
            event_names: A::Event::TYPES.iter().map(|known| known.name()).collect(),
            check: Upcasters::check::<A::Event>,
            create: Box::new(|store, clock| Arc::new((persistence.create)(store, clock))),
        });
        self
    }

    /// Sets the upcasters, which convert old events to their current version on every read. Default:
    /// none.
    #[must_use]
    pub fn upcasters(mut self, upcasters: Upcasters) -> Self {
        self.upcasters = upcasters;
        self
    }

    /// Adds middleware, which runs after the middleware that was added earlier. Default: none.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Sets how many aggregates are cached and for how long. Default: 10,000 aggregates, for 5
    /// minutes each.
    #[must_use]
    pub const fn cache(mut self, policy: CachePolicy) -> Self {
        self.cache = policy;
        self
    }

    /// Sets how many times a command is decided again after a conflict with another writer.
    /// Default: 8.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Limits how long a dispatch may take. Default: no limit.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Names the [headers](crate::Metadata::headers) that commands of processes, handlers and timers
    /// inherit from the events that caused them, for example `traceparent` or a tenant. Adds to the
    /// keys that are already registered. Default: none.
    ///
    /// The events of a dispatched command always carry all headers of that command.
    #[must_use]
    pub fn propagate<K: Into<String>>(mut self, headers: impl IntoIterator<Item = K>) -> Self {
        self.propagated.extend(headers.into_iter().map(Into::into));
        self
    }

    /// Sets the clock for the cache and the times of snapshots. Default: [`SystemClock`]. The
    /// store's clock sets the times of events.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the generator of event ids, and of command ids if the caller gives none. Default:
    /// [`RandomIds`].
    #[must_use]
    pub fn ids(mut self, ids: impl IdGenerator) -> Self {
        self.ids = Arc::new(ids);
        self
    }

    /// Checks the registered aggregates and creates the application.
    ///
    /// # Errors
    /// Returns a [`BuildError`] if two registered aggregates have the same category, two event types
    /// have the same stored name, or an upcaster is missing.
    pub fn build(self) -> Result<App, BuildError> {
        let (mut categories, mut names) = (HashSet::new(), HashMap::new());
        for registered in &self.aggregates {
            if !categories.insert(registered.category) {
                return Err(BuildError::DuplicateCategory { category: registered.category });
            }
            for name in &registered.event_names {
                if names.insert(*name, registered.kind).is_some() {
                    return Err(BuildError::DuplicateEvent { name });
                }
            }
            (registered.check)(&self.upcasters)?;
        }
        Ok(self.finish())
    }

    /// Creates the application without checks.
    pub(super) fn finish(self) -> App {
        let store: Arc<dyn EventStore> = if self.upcasters.is_empty() {
            self.store
        } else {
            Arc::new(Upcasting::new(self.store, self.upcasters.clone()))
        };
        let repositories = self.aggregates.into_iter().map(|registered| {
            (registered.kind, (registered.create)(Arc::clone(&store), Arc::clone(&self.clock)))
        });
        App {
            shared: Arc::new(Shared {
                repositories: RwLock::new(repositories.collect()),
                store,
                ids: self.ids,
                upcasters: self.upcasters,
                middleware: self.middleware,
                cache: Cache::new(self.cache, self.clock),
                retries: self.retries,
                deadline: self.deadline,
                propagated: self.propagated,
            }),
        }
    }
}
