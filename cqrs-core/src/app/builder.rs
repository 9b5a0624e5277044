//! Putting an application together; everything that can be wrong with it is found here.

use std::any::{Any, TypeId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cache::Cache;
use super::{App, CachePolicy, Middleware, Shared};
use crate::repository::{EventSourced, Repository, SnapshotPolicy, StateStored};
use crate::{
    Aggregate, Clock, Event, EventStore, IdGenerator, InvalidUpcasters, RandomIds, SnapshotStore,
    StateStore, SystemClock, Upcasters, Upcasting,
};

/// Why an application cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two aggregates have the same category, so their streams would mix.
    #[error("two aggregates have the category `{category}`")]
    DuplicateCategory {
        /// The category.
        category: &'static str,
    },
    /// Two events have the same stored name.
    #[error("two events are stored as `{name}`")]
    DuplicateEvent {
        /// The name.
        name: &'static str,
    },
    /// An upcaster is missing.
    #[error(transparent)]
    Upcasters(#[from] InvalidUpcasters),
}

/// Makes a repository once the store and the clock are known.
type Make<R> = Box<dyn FnOnce(Arc<dyn EventStore>, Arc<dyn Clock>) -> Arc<R>>;

/// How one kind of aggregate is kept.
pub struct Persistence<A: Aggregate> {
    make: Make<dyn Repository<A>>,
}

impl<A: Aggregate> Persistence<A> {
    /// As events alone: every load folds the stream.
    #[must_use]
    pub fn events() -> Self {
        Self { make: Box::new(|store, _| Arc::new(EventSourced::new(store))) }
    }

    /// As events, with a snapshot every so often.
    #[must_use]
    pub fn events_with_snapshots(snapshots: impl SnapshotStore, policy: SnapshotPolicy) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        Self {
            make: Box::new(|store, clock| {
                let events = EventSourced::new(store);
                Arc::new(events.with_snapshots_at(snapshots, policy, clock))
            }),
        }
    }

    /// As a row with the newest state, beside the events. The tag names the state's shape.
    #[must_use]
    pub fn state(states: impl StateStore, tag: impl Into<String>) -> Self
    where
        A: Clone + Serialize + DeserializeOwned,
    {
        let tag = tag.into();
        Self { make: Box::new(|store, _| Arc::new(StateStored::new(store, states, tag))) }
    }

    /// In a way of your own.
    #[must_use]
    pub fn custom(repository: impl Repository<A>) -> Self {
        Self { make: Box::new(|_, _| Arc::new(repository)) }
    }
}

impl<A: Aggregate> fmt::Debug for Persistence<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persistence").field("category", &A::CATEGORY).finish_non_exhaustive()
    }
}

/// Collects the parts of an [`App`].
///
/// Naming the aggregates is optional; what is named is checked at start.
pub struct AppBuilder {
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    upcasters: Upcasters,
    middleware: Vec<Arc<dyn Middleware>>,
    cache: CachePolicy,
    retries: u32,
    deadline: Option<Duration>,
    propagated: BTreeSet<String>,
    aggregates: Vec<Named>,
}

struct Named {
    category: &'static str,
    kind: TypeId,
    event_names: Vec<&'static str>,
    check: fn(&Upcasters) -> Result<(), InvalidUpcasters>,
    make: Make<dyn Any + Send + Sync>,
}

impl fmt::Debug for AppBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let categories: Vec<_> = self.aggregates.iter().map(|named| named.category).collect();
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

    /// Names an aggregate and how it is kept.
    #[must_use]
    pub fn aggregate<A: Aggregate>(mut self, persistence: Persistence<A>) -> Self {
        self.aggregates.push(Named {
            category: A::CATEGORY,
            kind: TypeId::of::<A>(),
            event_names: A::Event::TYPES.iter().map(|known| known.name()).collect(),
            check: Upcasters::check::<A::Event>,
            make: Box::new(|store, clock| Arc::new((persistence.make)(store, clock))),
        });
        self
    }

    /// Reads old events as today's.
    #[must_use]
    pub fn upcasters(mut self, upcasters: Upcasters) -> Self {
        self.upcasters = upcasters;
        self
    }

    /// Adds a middleware behind those already there.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Sets how many aggregates stay in memory. Ten thousand for five minutes by default.
    #[must_use]
    pub const fn cache(mut self, policy: CachePolicy) -> Self {
        self.cache = policy;
        self
    }

    /// Sets how often a command is decided again after a conflict. 8 by default.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the longest time a dispatch may take. Unlimited by default.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Names the [headers](crate::Metadata::headers) that commands of processes, handlers and timers
    /// inherit from the events that caused them, for example `traceparent` or a tenant. Adds to the
    /// keys that are already named. Default: none.
    ///
    /// The events of a dispatched command carry all headers of that command in any case.
    #[must_use]
    pub fn propagate<K: Into<String>>(mut self, headers: impl IntoIterator<Item = K>) -> Self {
        self.propagated.extend(headers.into_iter().map(Into::into));
        self
    }

    /// Takes the time from here instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Takes new ids from here instead of random ones.
    #[must_use]
    pub fn ids(mut self, ids: impl IdGenerator) -> Self {
        self.ids = Arc::new(ids);
        self
    }

    /// Checks the parts against each other.
    ///
    /// # Errors
    /// [`BuildError`]: two aggregates of one category, two events of one name, or an upcaster
    /// that is missing.
    pub fn build(self) -> Result<App, BuildError> {
        let (mut categories, mut names) = (HashSet::new(), HashMap::new());
        for named in &self.aggregates {
            if !categories.insert(named.category) {
                return Err(BuildError::DuplicateCategory { category: named.category });
            }
            for name in &named.event_names {
                if names.insert(*name, named.kind).is_some() {
                    return Err(BuildError::DuplicateEvent { name });
                }
            }
            (named.check)(&self.upcasters)?;
        }
        Ok(self.finish())
    }

    /// Without the checks, for an application that names nothing.
    pub(super) fn finish(self) -> App {
        let store: Arc<dyn EventStore> = if self.upcasters.is_empty() {
            self.store
        } else {
            Arc::new(Upcasting::new(self.store, self.upcasters.clone()))
        };
        let repositories = self
            .aggregates
            .into_iter()
            .map(|named| (named.kind, (named.make)(Arc::clone(&store), Arc::clone(&self.clock))));
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
