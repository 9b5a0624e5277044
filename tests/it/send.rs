//! Every future of the public API is `Send`, so that it can be awaited in a spawned task.

use std::time::Duration;

use cqrs::{App, Event, Metadata, Position, Processes, StreamName, Timestamp};
use cqrs::{process::*, projection::*, repository::*, store::*, subscription::*};
use cqrs_memory::{MemoryReadStore, MemoryStore};
use cqrs_postgres::{PgReadStore, PgStore};
use sqlx::{Postgres, Transaction};

use super::in_memory::cases::ledger::{Ledger, LedgerEvent, put};

const SECOND: Duration = Duration::from_secs(1);

fn send<T: Send>(_: T) {}

// These functions are only compiled. Futures that `#[async_trait]` boxes are `Send` by their type
// and not repeated here.

fn application(app: &App, id: &String, stream: StreamName, waiter: &Waiter) {
    send(app.dispatch(put("a", 1)).into_future());
    send(async move { app.dispatch(put("a", 1)).with_state().await });
    send(app.dispatch(put("a", 1)).metadata(Metadata::default()).wait_for(waiter, SECOND));
    send(app.load::<Ledger>(id));
    send(app.load_as_of::<Ledger>(id, AsOf::Time(Timestamp::UNIX_EPOCH)));
    send(load_as_of::<Ledger>(&**app.store(), stream, AsOf::Time(Timestamp::UNIX_EPOCH)));
}

fn store<S: EventStore + Clone, E: Event>(
    store: &S,
    name: &StreamName,
    mut stream: EventStream<E>,
    mut subscription: Subscription,
    events: &[E],
) {
    send(store.append_events(name, ExpectedVersion::Any, events));
    send(store.read(Read::stream(name.clone()).must_exist()));
    send(store.read_as::<E>(Read::all()));
    send(stream.next());
    send(stream.collect());
    send(store.subscribe(SubscriptionOptions::all()));
    send(subscription.next());
    send(subscription.next_page());
}

fn durable(mut subscription: DurableSubscription, acks: &Acks) {
    send(subscription.next());
    send(subscription.close());
    send(acks.ack(Position::START));
    send(acks.ack_one(Position::START));
}

fn projections<R: ReadStore>(
    builder: ProjectionsBuilder<R>,
    running: &Projections,
    waiter: &Waiter,
) {
    send(builder.start());
    send(waiter.wait(Position::START, SECOND));
    send(running.wait_for("x", Position::START, SECOND));
    send(running.changes("x"));
    send(running.rebuild("x"));
    send(running.cancel_rebuild("x"));
    send(running.wait_until_built("x", SECOND));
    send(running.pause("x"));
    send(running.resume("x"));
    send(running.health());
    send(running.parked("x"));
    send(running.retry_parked("x", None));
    send(running.discard_parked("x", Position::START, "reason"));
    send(running.stop());
}

fn inline_projections(
    builder: InlineStoreBuilder<MemoryStore, MemoryReadStore>,
    projection: &cqrs::projection::store::InlineProjection<MemoryReadStore>,
    read: &MemoryReadStore,
    transaction: &mut <MemoryReadStore as ReadStore>::Transaction,
) {
    send(builder.open());
    send(projection.project(read, transaction, &[]));
}

fn processes<S: ProcessStore>(
    builder: ProcessesBuilder<S>,
    running: &Processes,
    query: &InstanceQuery,
    scheduler: &CommandScheduler,
) {
    send(builder.start());
    send(running.instances("x", query));
    send(running.wait_until_started("x", SECOND));
    send(running.health());
    send(running.changes("x"));
    send(running.retry("x", "y"));
    send(running.end("x", "y"));
    send(running.stop());
    send(scheduler.schedule(ScheduledCommand::new("x", Timestamp::UNIX_EPOCH, put("a", 1))));
    send(scheduler.schedule_all([]));
    send(scheduler.cancel("x"));
}

fn postgres<'t>(
    store: &'t PgStore,
    read: &'t PgReadStore,
    transaction: &'t mut Transaction<'_, Postgres>,
    append: Append,
) {
    send(PgStore::connect("postgres://localhost"));
    send(PgStore::builder().connect());
    send(PgStore::builder().migrate());
    send(store.append_in(transaction, append));
    send(store.import(futures_util::stream::empty()));
    send(store.close());
    send(PgReadStore::builder().connect());
    send(PgReadStore::builder().migrate());
    send(read.drop_everything());
}

#[tokio::test]
async fn a_durable_subscription_and_a_dispatch_can_be_spawned() {
    let store = MemoryStore::new();
    let name = SubscriptionName::new("ledgers").unwrap();
    let options = DurableOptions::new(name, SubscriptionOptions::all());
    let mut events = store.subscribe_durable(store.clone(), options);
    let received = tokio::spawn(async move {
        let event = events.next().await.unwrap();
        events.acks().ack(event.position).await.unwrap();
        events.close().await.unwrap();
        event.decode::<LedgerEvent>().unwrap().event
    });
    let app = App::new(store);
    let dispatched = tokio::spawn(async move { app.dispatch(put("a", 7)).await });
    assert_eq!(dispatched.await.unwrap().unwrap().version.get(), 1);
    assert_eq!(received.await.unwrap(), LedgerEvent::Put(7));
}
