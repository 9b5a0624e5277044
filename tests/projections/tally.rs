//! A projector that adds up amounts by account, and can be made to fail.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cqrs::{
    Event, EventStore, ExpectedVersion, Position, Projector, ReadModel, Recorded, StreamName,
    event::NewEvent,
    projection::{Key, ProjectError, ReadStore},
    store::Append,
};
use cqrs_testing::Tables;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
pub enum Moved {
    #[event(name = "test.added")]
    Added { amount: i64 },
    #[event(name = "test.taken")]
    Taken { amount: i64 },
}

/// Makes a projector fail, and records its calls.
#[derive(Default)]
pub struct Knobs {
    /// The positions of events that fail; `true` if the projector panics.
    pub failing: Mutex<BTreeMap<u64, bool>>,
    /// The number of calls of `project`.
    pub calls: AtomicU64,
    /// The positions passed to `committed`.
    pub committed: Mutex<Vec<u64>>,
    pub delay: Mutex<Duration>,
    pub batches: Mutex<Vec<usize>>,
}

impl Knobs {
    pub fn fail(&self, position: u64) {
        self.failing.lock().unwrap().insert(position, false);
    }

    pub fn panic(&self, position: u64) {
        self.failing.lock().unwrap().insert(position, true);
    }

    pub fn repair(&self) {
        self.failing.lock().unwrap().clear();
    }

    async fn interfere(&self, position: u64) -> Result<(), ProjectError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let delay = *self.delay.lock().unwrap();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let failing = self.failing.lock().unwrap().get(&position).copied();
        match failing {
            Some(true) => panic!("position {position} panics"),
            Some(false) => Err(format!("position {position} fails").into()),
            None => Ok(()),
        }
    }
}

/// Adds up by stream. `V` is its version, `N` its name.
pub struct Tally<T, N = Accounts, const V: u32 = 1> {
    pub knobs: Arc<Knobs>,
    tables: PhantomData<fn() -> (T, N)>,
}

pub trait Name: Send + Sync + 'static {
    const NAME: &'static str;
}

macro_rules! names {
    ($($type:ident = $name:literal),*) => {$(
        pub struct $type;
        impl Name for $type {
            const NAME: &'static str = $name;
        }
    )*};
}
names!(Accounts = "accounts", Second = "second", Third = "third");

impl<T, N, const V: u32> Tally<T, N, V> {
    pub fn new() -> Self {
        Self::with(&Arc::default())
    }

    pub fn with(knobs: &Arc<Knobs>) -> Self {
        Self { knobs: Arc::clone(knobs), tables: PhantomData }
    }
}

impl<T: Tables, N: Name, const V: u32> ReadModel for Tally<T, N, V> {
    type Event = Moved;
    const NAME: &'static str = N::NAME;
    const VERSION: u32 = V;
}

impl<T: Tables, N: Name, const V: u32> Projector<T::Store> for Tally<T, N, V> {
    async fn create(
        &self,
        tx: &mut <T::Store as ReadStore>::Transaction,
    ) -> Result<(), ProjectError> {
        T::create(tx).await
    }

    async fn project(
        &self,
        tx: &mut <T::Store as ReadStore>::Transaction,
        event: &Recorded<Moved>,
    ) -> Result<(), ProjectError> {
        let amount = match event.event {
            Moved::Added { amount } => amount,
            Moved::Taken { amount } => -amount,
        };
        T::add(tx, event.stream.as_str(), amount, event.position.get()).await?;
        // After the row is written, so that there is something to roll back.
        self.knobs.interfere(event.position.get()).await
    }

    async fn project_batch(
        &self,
        tx: &mut <T::Store as ReadStore>::Transaction,
        events: &[Recorded<Moved>],
    ) -> Result<(), ProjectError> {
        self.knobs.batches.lock().unwrap().push(events.len());
        for event in events {
            Projector::<T::Store>::project(self, tx, event).await?;
        }
        Ok(())
    }

    fn committed(&self, events: &[Recorded<Moved>]) {
        self.knobs.committed.lock().unwrap().extend(events.iter().map(|e| e.position.get()));
    }
}

fn last_digit(event: &Recorded<Moved>) -> Cow<'_, str> {
    let (Moved::Added { amount } | Moved::Taken { amount }) = event.event;
    Cow::Owned(format!("digit-{}", amount.rem_euclid(10)))
}

/// Counts by the last digit of the amount: a key that is not the stream.
pub struct ByDigit<T>(pub PhantomData<fn() -> T>);

impl<T: Tables> ReadModel for ByDigit<T> {
    type Event = Moved;
    const NAME: &'static str = "by_digit";
    const VERSION: u32 = 1;

    fn key(&self) -> Key<Moved> {
        Key::by(last_digit)
    }
}

impl<T: Tables> Projector<T::Store> for ByDigit<T> {
    async fn create(
        &self,
        tx: &mut <T::Store as ReadStore>::Transaction,
    ) -> Result<(), ProjectError> {
        T::create(tx).await
    }

    async fn project(
        &self,
        tx: &mut <T::Store as ReadStore>::Transaction,
        event: &Recorded<Moved>,
    ) -> Result<(), ProjectError> {
        T::add(tx, &last_digit(event), 1, event.position.get()).await
    }
}

pub fn account(number: u64) -> StreamName {
    StreamName::new(format!("account-{number}")).unwrap()
}

/// Appends one addition to an account.
pub async fn add(store: &impl EventStore, number: u64, amount: i64) -> Position {
    let event = NewEvent::of(&Moved::Added { amount }).unwrap();
    let append = Append::to(account(number), ExpectedVersion::Any, vec![event]);
    store.append(append).await.unwrap().position()
}

/// Appends many additions of 1, spread over accounts, in appends of up to 20.
pub async fn add_many(store: &impl EventStore, events: u64, accounts: u64) -> Position {
    let mut last = Position::START;
    let mut left = events;
    let mut turn = 0;
    while left > 0 {
        let count = left.min(20);
        let one = || NewEvent::of(&Moved::Added { amount: 1 }).unwrap();
        let events = (0..count).map(|_| one()).collect();
        let append = Append::to(account(turn % accounts), ExpectedVersion::Any, events);
        last = store.append(append).await.unwrap().position();
        left -= count;
        turn += 1;
    }
    last
}

/// Returns the positions passed to `committed`, and checks that each was passed once.
pub fn committed_once(knobs: &Knobs) -> BTreeSet<u64> {
    let committed = knobs.committed.lock().unwrap();
    let set: BTreeSet<u64> = committed.iter().copied().collect();
    assert_eq!(set.len(), committed.len(), "an event was committed twice");
    set
}
