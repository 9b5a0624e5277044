//! A notification is sent once each time stock becomes low.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::Database;
use cqrs::memory::{MemoryReadStore, MemoryStore};
use cqrs::projection::store::AppendProjecting;
use cqrs::{
    App, EventHandler, EventId, EventStore, EventStoreExt, ProcessManager, Processes, Projector,
    ReadModel, Recorded,
    app::SystemClock,
    process::{HandlerError, InstanceQuery},
    projection::{InlineStore, ProjectError, ReadStore},
    store::{Read, async_trait},
};
use cqrs_postgres::{PgReadStore, PgStore};
use cqrs_testing::eventually;
use example_shared::StoreArguments;
use futures_util::future::join_all;
use warehouse::ReadModels;
use warehouse::domain::product::{IncreaseProductQuantity, ShipProductQuantity};
use warehouse::domain::{ProductEvent, Sku};
use warehouse::low_stock::{Automation, Item, LowStock, Notifier, SendNotifications, ToDo};
use warehouse::read::Products;

const WITHIN: Duration = Duration::from_secs(60);

fn sku() -> Sku {
    "abc123".parse().unwrap()
}

/// Records notifications; fails a given number of times first.
#[derive(Debug, Default)]
struct Recording {
    calls: Mutex<Vec<(EventId, u64)>>,
    failures: AtomicUsize,
}

#[async_trait]
impl Notifier for Recording {
    async fn low_stock(&self, id: EventId, _: &Sku, left: u64) -> Result<(), HandlerError> {
        self.calls.lock().unwrap().push((id, left));
        let next = |left: usize| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(_) => Err("the line is busy".into()),
            Err(_) => Ok(()),
        }
    }
}

/// Opens a warehouse in memory and one on Postgres.
struct Warehouse {
    app: App,
    arguments: StoreArguments,
    memory: MemoryReadStore,
    notifier: Arc<Recording>,
}

impl Warehouse {
    async fn both(database: &Database) -> Vec<Self> {
        Self::both_in(database, "warehouse").await
    }

    async fn both_in(database: &Database, schema: &str) -> Vec<Self> {
        let mut warehouses = Vec::new();
        let postgres = StoreArguments::postgres(&database.url());
        let postgres = StoreArguments { schema: Some(schema.to_owned()), ..postgres };
        for arguments in [StoreArguments::default(), postgres] {
            let app = App::new(arguments.open("warehouse", SystemClock).await.unwrap());
            let (memory, notifier) = (MemoryReadStore::new(), Arc::default());
            warehouses.push(Self { app, arguments, memory, notifier });
        }
        warehouses
    }

    /// Starts the automation, on the same store as before if it has run already.
    async fn automate(&self, threshold: u64) -> Processes {
        let process_store = match self.arguments.open_processes("warehouse").await.unwrap() {
            example_shared::OpenReadStore::Memory(_) => {
                example_shared::OpenReadStore::Memory(self.memory.clone())
            }
            postgres @ example_shared::OpenReadStore::Postgres(_) => postgres,
        };
        let (low_stock, notifier) = (LowStock::new(threshold), Arc::clone(&self.notifier));
        let lease = Duration::from_millis(300);
        let automation = Automation { low_stock, notifier };
        process_store.run(&self.app, SystemClock, lease, automation).await.unwrap()
    }

    async fn read(&self, threshold: u64) -> ReadModels {
        let read = self.arguments.open_read("warehouse").await.unwrap();
        ReadModels::start(&self.app, read, threshold).await.unwrap()
    }

    async fn to_do(&self, read: &ReadModels) -> BTreeMap<Sku, Item> {
        assert!(read.wait_for(self.app.store().head().await.unwrap(), WITHIN).await.unwrap());
        read.to_do().await.unwrap()
    }

    async fn increase(&self, pieces: u64) {
        let quantity = pieces.try_into().unwrap();
        self.app.dispatch(IncreaseProductQuantity { sku: sku(), quantity }).await.unwrap();
    }

    async fn ship(&self, pieces: u64) {
        let quantity = pieces.try_into().unwrap();
        self.app.dispatch(ShipProductQuantity { sku: sku(), quantity }).await.unwrap();
    }

    async fn log(&self) -> Vec<Recorded<ProductEvent>> {
        self.app.store().read_as(Read::all()).await.unwrap().collect().await.unwrap()
    }

    /// Returns the requested notifications in the log, after everything is done.
    async fn requested(&self, running: &Processes) -> Vec<u64> {
        self.rest(running).await;
        let events = self.log().await.into_iter();
        events
            .filter_map(|event| match event.event {
                ProductEvent::NotifiedLowProductQuantity { quantity, .. } => Some(quantity),
                _ => None,
            })
            .collect()
    }

    /// Waits until nothing is left to do.
    async fn rest(&self, running: &Processes) {
        eventually(WITHIN, || async {
            let head = self.app.store().head().await.unwrap();
            for name in [LowStock::NAME, SendNotifications::<Recording>::NAME] {
                running.wait_until_started(name, WITHIN).await.unwrap();
                running.wait_for(name, head, WITHIN).await.unwrap();
            }
            let instance = running
                .instances(LowStock::NAME, &InstanceQuery::page().id(sku()))
                .await
                .unwrap()
                .pop();
            let is_done = instance.is_none_or(|instance| instance.commands.is_empty());
            let now = self.app.store().head().await.unwrap();
            if is_done && now == head { Ok(()) } else { Err("not finished") }
        })
        .await;
    }

    fn calls(&self) -> Vec<u64> {
        self.notifier.calls.lock().unwrap().iter().map(|(_, left)| *left).collect()
    }
}

#[tokio::test]
async fn a_notification_is_sent_once_each_time_stock_becomes_low() {
    let database = &Database::create().await;
    let cases = [
        (10, vec![10], vec![0]),
        (10, vec![5], vec![5]),
        (10, vec![4], vec![]),
        (50, vec![40], vec![]),
        (10, vec![5, 1], vec![5]),
    ];
    let cases = cases.into_iter().enumerate().map(async |(nth, (had, shipments, expected))| {
        for warehouse in Warehouse::both_in(database, &format!("w{nth}")).await {
            let running = warehouse.automate(5).await;
            warehouse.increase(had).await;
            for pieces in &shipments {
                warehouse.ship(*pieces).await;
                warehouse.rest(&running).await;
            }
            assert_eq!(warehouse.requested(&running).await, expected, "{had}, then {shipments:?}");
            assert_eq!(warehouse.calls(), expected);
            if shipments == [5, 1] {
                // After a refill, stock can become low again.
                warehouse.increase(10).await;
                warehouse.ship(9).await;
                assert_eq!(warehouse.requested(&running).await, [5, 5]);
                assert_eq!(warehouse.calls(), [5, 5]);
            }
            running.stop().await;
        }
    });
    join_all(cases).await;
}

#[tokio::test]
async fn effects_come_after_their_causes() {
    let database = Database::create().await;
    for warehouse in Warehouse::both(&database).await {
        let running = warehouse.automate(5).await;
        warehouse.increase(10).await;
        warehouse.ship(10).await;
        warehouse.rest(&running).await;
        let log = warehouse.log().await;
        let names = log.iter().map(|event| cqrs::Event::event_type(&event.event).name());
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "warehouse.product-quantity-increased",
                "warehouse.product-quantity-shipped",
                "warehouse.notified-low-product-quantity"
            ]
        );
        let cause = log[2].metadata.causation_id.unwrap();
        assert_eq!(cause.as_uuid(), log[1].id.as_uuid());
        running.stop().await;
    }
}

#[tokio::test]
async fn a_restart_neither_loses_nor_repeats_notifications() {
    let database = Database::create().await;
    for warehouse in Warehouse::both(&database).await {
        let running = warehouse.automate(5).await;
        warehouse.increase(50).await;
        warehouse.rest(&running).await;
        running.stop().await;
        let running = warehouse.automate(5).await;
        warehouse.ship(40).await;
        assert!(warehouse.requested(&running).await.is_empty());
        running.stop().await;
        warehouse.ship(5).await;
        let running = warehouse.automate(5).await;
        assert_eq!(warehouse.requested(&running).await, [5]);
        running.stop().await;
        let running = warehouse.automate(5).await;
        warehouse.ship(1).await;
        assert_eq!(warehouse.requested(&running).await, [5]);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_to_do_item_is_listed_handled_once_and_closed() {
    let database = Database::create().await;
    for warehouse in Warehouse::both(&database).await {
        let read = warehouse.read(5).await;
        warehouse.increase(10).await;
        assert_eq!(warehouse.to_do(&read).await[&sku()], Item::Nothing);
        warehouse.ship(6).await;
        assert_eq!(warehouse.to_do(&read).await[&sku()], Item::Open { left: 4 });
        let running = warehouse.automate(5).await;
        assert_eq!(warehouse.requested(&running).await, [4]);
        assert_eq!(warehouse.to_do(&read).await[&sku()], Item::Notified);
        running.stop().await;
        // A process without state sends the command again, which is recognized.
        let forgetful = Warehouse {
            app: App::new(warehouse.arguments.open("warehouse", SystemClock).await.unwrap()),
            arguments: StoreArguments::default(),
            memory: MemoryReadStore::new(),
            notifier: Arc::default(),
        };
        if warehouse.arguments.store != "memory" {
            let running = forgetful.automate(5).await;
            assert_eq!(forgetful.requested(&running).await, [4]);
            running.stop().await;
        }
        // A refill closes the item.
        warehouse.increase(2).await;
        assert_eq!(warehouse.to_do(&read).await[&sku()], Item::Nothing);
        read.projections().stop().await;
    }
}

#[tokio::test]
async fn a_failing_notifier_is_retried_with_the_same_event_id() {
    let database = Database::create().await;
    for warehouse in Warehouse::both(&database).await {
        warehouse.notifier.failures.store(2, Ordering::Release);
        let running = warehouse.automate(5).await;
        warehouse.increase(10).await;
        warehouse.ship(10).await;
        assert_eq!(warehouse.requested(&running).await, [0]);
        let calls = warehouse.notifier.calls.lock().unwrap().clone();
        assert_eq!(calls.len(), 3);
        assert!(calls.iter().all(|(id, _)| *id == calls[0].0));
        running.stop().await;
    }
}

/// Fails once, after the other projectors.
#[derive(Debug, Default, ReadModel)]
#[read_model(name = "z_fails_once", version = 1, event = ProductEvent)]
struct FailsOnce(AtomicUsize);

impl<S: ReadStore> Projector<S> for FailsOnce {
    async fn create(&self, _: &mut S::Transaction) -> Result<(), ProjectError> {
        Ok(())
    }

    async fn project(
        &self,
        _: &mut S::Transaction,
        _: &Recorded<ProductEvent>,
    ) -> Result<(), ProjectError> {
        match self.0.fetch_add(1, Ordering::AcqRel) {
            0 => Err("scripted failure".into()),
            _ => Ok(()),
        }
    }
}

async fn nothing_happens_while_one_fails<S, R>(
    store: InlineStore<S, R>,
    rows: impl AsyncFn() -> Vec<(Sku, u64)>,
) where
    S: EventStore + AppendProjecting<R> + Clone,
    R: ReadStore,
{
    let app = App::new(store.clone());
    let increase = IncreaseProductQuantity { sku: sku(), quantity: 30.try_into().unwrap() };
    let failed = app.dispatch(increase.clone()).await.unwrap_err();
    assert!(format!("{failed:?}").contains("scripted failure"), "{failed:?}");
    assert_eq!(rows().await, []);
    assert_eq!(app.store().head().await.unwrap().get(), 0);
    app.dispatch(increase).await.unwrap();
    assert_eq!(rows().await, [(sku(), 30)]);
}

#[tokio::test]
async fn a_failing_inline_projector_rolls_back_and_a_repetition_succeeds() {
    let (store, read) = (MemoryStore::new(), MemoryReadStore::new());
    let view = read.view::<warehouse::read::ProductsModel>("products").unwrap();
    let inline = InlineStore::builder(store, read)
        .projector(Products)
        .projector(ToDo { threshold: 5 })
        .projector(FailsOnce::default());
    let rows = async || view.get().unwrap().all().into_iter().collect();
    nothing_happens_while_one_fails(inline.open().await.unwrap(), rows).await;

    let database = Database::create().await;
    let store = PgStore::builder().options(database.options()).migrate().await.unwrap();
    let read = PgReadStore::builder().options(database.options()).migrate().await.unwrap();
    let inline = InlineStore::builder(store, read.clone())
        .projector(Products)
        .projector(ToDo { threshold: 5 })
        .projector(FailsOnce::default());
    let rows = async || warehouse::read::products_in(&read).await.unwrap().into_iter().collect();
    nothing_happens_while_one_fails(inline.open().await.unwrap(), rows).await;
}
