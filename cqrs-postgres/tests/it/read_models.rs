//! A read model and a process in Postgres, as small as possible.

use std::time::Duration;

use cqrs_core::process::{Destinations, Route};
use cqrs_core::projection::{ProjectError, Projector, Waited};
use cqrs_core::{
    Aggregate, Command, Effects, Event, EventStore, ExpectedVersion, Position, ProcessManager,
    Projections, ReadModel, Recorded, store::Append,
};
use cqrs_postgres::{Pg, PgReadStore, PgReadTransaction};
use serde::{Deserialize, Serialize};

use crate::stream;

pub(crate) const WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Event)]
#[event(crate = cqrs_core)]
pub(crate) enum CounterEvent {
    #[event(name = "test.counted")]
    Counted { by: i64 },
}

#[derive(Default)]
pub(crate) struct Counter;

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Counter, id = id, crate = cqrs_core)]
pub(crate) struct Count {
    pub(crate) id: String,
    pub(crate) by: i64,
}

impl Aggregate for Counter {
    const CATEGORY: &'static str = "counter";
    type Id = String;
    type Command = Count;
    type Event = CounterEvent;
    type Error = std::convert::Infallible;

    fn execute(&self, count: Count) -> Result<Vec<CounterEvent>, Self::Error> {
        Ok(vec![CounterEvent::Counted { by: count.by }])
    }

    fn apply(&mut self, _: &CounterEvent) {}
}

/// The sum of everything counted, times the version of the projector.
pub(crate) struct Sum<const VERSION: u32>;

impl<const VERSION: u32> ReadModel for Sum<VERSION> {
    type Event = CounterEvent;
    const NAME: &'static str = "sums";
    const VERSION: u32 = VERSION;
}

impl<const VERSION: u32> Projector<PgReadStore> for Sum<VERSION> {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table sums (stream text primary key, total bigint not null,
                                         position bigint not null)";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<CounterEvent>,
    ) -> Result<(), ProjectError> {
        let CounterEvent::Counted { by } = event.event;
        let add = "insert into sums values ($1, $2, $3) on conflict (stream) do update
                     set total = sums.total + excluded.total, position = excluded.position";
        sqlx::query(add)
            .bind(event.stream.as_str())
            .bind(by * i64::from(VERSION))
            .bind(Pg(event.position))
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// Counts 10 on `copies` for each count of another counter.
pub(crate) struct Copies;

impl ProcessManager for Copies {
    type Event = CounterEvent;
    type State = ();
    const NAME: &'static str = "copies";

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Counter>()
    }

    fn route(&self, event: &Recorded<CounterEvent>) -> Vec<Route> {
        match event.stream.as_str() {
            "counter-copies" => Vec::new(),
            other => vec![Route::start_or_continue(other)],
        }
    }

    fn apply(&self, (): &mut (), _: &Recorded<CounterEvent>) {}

    fn react(&self, (): &(), _: &Recorded<CounterEvent>) -> Effects {
        Effects::new().dispatch(Count { id: "copies".to_owned(), by: 10 })
    }
}

pub(crate) fn counted(id: &str, by: i64) -> Append {
    let event = cqrs_core::event::NewEvent::of(&CounterEvent::Counted { by }).unwrap();
    Append::to(stream(&format!("counter-{id}")), ExpectedVersion::Any, vec![event])
}

/// Waits until the read model contains everything stored so far.
pub(crate) async fn catch_up(projections: &Projections, store: &impl EventStore) -> Position {
    assert!(projections.wait_until_built("sums", WITHIN).await.unwrap());
    let head = store.head().await.unwrap();
    assert_eq!(projections.wait_for("sums", head, WITHIN).await.unwrap(), Waited::CaughtUp);
    head
}

/// The total of a counter, read without naming a schema.
pub(crate) async fn total(read: &PgReadStore, id: &str) -> i64 {
    let mut tx = read.begin_read("sums").await.unwrap();
    let total = "select total from sums where stream = $1";
    let total = sqlx::query_scalar(total).bind(format!("counter-{id}"));
    total.fetch_one(&mut *tx).await.unwrap()
}
