//! What applies to the Postgres read store only.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{Cluster, Database};
use cqrs::projection::store::{Partition, ReadStore};
use cqrs::{
    Projections, Projector, ReadModel, Recorded,
    projection::{ConsumerState, FailurePolicy, ProjectError, ProjectorOptions, Waited},
    store::StoreErrorKind,
};
use cqrs_postgres::{PgReadStore, PgReadTransaction, PgStore};
use cqrs_testing::{Tables, eventually};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use crate::rows::PgTables;
use crate::tally::{Accounts, Knobs, Moved, Tally, add, add_many};

const WITHIN: Duration = Duration::from_secs(60);

type Sum<const V: u32 = 1> = Tally<PgTables, Accounts, V>;

async fn stores(options: &PgConnectOptions) -> (PgStore, PgReadStore) {
    let store = PgStore::builder().options(options.clone()).migrate().await.unwrap();
    let read = PgReadStore::builder().options(options.clone()).migrate().await.unwrap();
    (store, read)
}

async fn start(store: &PgStore, read: &PgReadStore) -> Projections {
    Projections::builder_over(store.clone(), read.clone())
        .lease(Duration::from_millis(300))
        .projector(Sum::<1>::new())
        .start()
        .await
        .unwrap()
}

async fn caught_up(running: &Projections, position: cqrs::Position) {
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    let waited = running.wait_for("accounts", position, WITHIN).await.unwrap();
    if waited != Waited::CaughtUp {
        panic!("{waited:?}: {:#?}", running.health().await);
    }
}

/// Returns the number of events, and checks their order.
async fn count(read: &PgReadStore) -> i64 {
    let rows = PgTables::rows(read, "accounts").await.expect("the read model exists");
    assert!(rows.values().all(|row| row.disorder == 0), "{rows:?}");
    rows.values().map(|row| row.count).sum()
}

async fn run(read: &PgReadStore, sql: &str) {
    read.pool().execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_tables_and_schemas_are_rebuilt_at_the_next_start() {
    let database = Database::create().await;
    let (store, read) = stores(&database.options()).await;
    let last = add_many(&store, 200, 5).await;
    for dropped in [
        "",
        "drop schema accounts cascade",
        "drop table accounts.tally",
        "drop schema cqrs_read cascade",
        "drop schema cqrs_read cascade; drop schema accounts cascade",
    ] {
        if !dropped.is_empty() {
            run(&read, dropped).await;
        }
        let (_, read) = stores(&database.options()).await;
        let running = start(&store, &read).await;
        caught_up(&running, last).await;
        assert_eq!(count(&read).await, 200, "after `{dropped}`");
        running.stop().await;
    }
    read.drop_everything().await.unwrap();
    let left =
        "select count(*) from pg_namespace where nspname like 'accounts%' or nspname = 'cqrs_read'";
    let left: i64 = sqlx::query_scalar(left).fetch_one(read.pool()).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_generations_are_dropped_eventually() {
    let database = Database::create().await;
    let (store, read) = stores(&database.options()).await;
    let last = add_many(&store, 20, 5).await;
    let running = start(&store, &read).await;
    caught_up(&running, last).await;
    // A long query prevents the old tables from being dropped, and delays nothing else.
    let mut long = read.pool().begin().await.unwrap();
    long.execute("select * from accounts.tally").await.unwrap();
    running.rebuild("accounts").await.unwrap();
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    assert_eq!(count(&read).await, 20);
    let schemas = || async {
        let like = "select count(*) from pg_namespace where nspname like 'accounts%'";
        sqlx::query_scalar::<_, i64>(like).fetch_one(read.pool()).await.unwrap()
    };
    assert_eq!(schemas().await, 2);
    long.rollback().await.unwrap();
    running.rebuild("accounts").await.unwrap();
    assert!(running.wait_until_built("accounts", WITHIN).await.unwrap());
    eventually(WITHIN, || async { if schemas().await == 1 { Ok(()) } else { Err("still there") } })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_another_owner_is_never_changed() {
    let database = Database::create().await;
    let (store, read) = stores(&database.options()).await;
    run(&read, "create schema accounts; create table accounts.precious (it text)").await;
    add(&store, 1, 1).await;
    let running = start(&store, &read).await;
    let failure = eventually(WITHIN, || async {
        running.health().await.unwrap().remove(0).failure.ok_or("no failure yet")
    })
    .await;
    assert!(failure.error.contains("PgReadStoreBuilder::prefix"), "{}", failure.error);
    running.stop().await;
    run(&read, "select * from accounts.precious").await;

    let options = database.options();
    let prefixed = PgReadStore::builder().options(options).schema("mine").prefix("my_");
    let prefixed = prefixed.migrate().await.unwrap();
    let running = start(&store, &prefixed).await;
    caught_up(&running, add(&store, 1, 1).await).await;
    let sum = format!("select sum::bigint from {}.tally", prefixed.schema_of("accounts"));
    let sum: i64 = sqlx::query_scalar(AssertSqlSafe(sum)).fetch_one(prefixed.pool()).await.unwrap();
    assert_eq!(sum, 2);
    prefixed.drop_everything().await.unwrap();
    run(&read, "select * from accounts.precious").await;
}

#[tokio::test]
async fn an_invalid_prefix_is_an_error() {
    for prefix in ["Bank", "a-b", "1a", "x\"y", &"a".repeat(19)] {
        let error = PgReadStore::builder().prefix(prefix).connect().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{prefix}");
    }
}

#[tokio::test]
async fn a_read_store_without_its_tables_names_migrate() {
    let database = Database::create().await;
    let error = PgReadStore::builder().options(database.options()).connect().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::SchemaMissing);
    assert!(error.to_string().contains("PgReadStoreBuilder::migrate"), "{error}");
    // The schema of an event store is not that of a read store.
    let (_, _) = stores(&database.options()).await;
    let wrong = PgReadStore::builder().options(database.options()).schema("cqrs");
    assert_eq!(wrong.connect().await.unwrap_err().kind(), StoreErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_role_cannot_write() {
    let database = Database::create().await;
    let (store, read) = stores(&database.options()).await;
    let running = start(&store, &read).await;
    caught_up(&running, add(&store, 1, 1).await).await;
    run(
        &read,
        "do $$ begin create role cqrs_test_reader; exception when duplicate_object then end $$;
         grant cqrs_test_reader to current_user;
         grant usage on schema accounts to cqrs_test_reader;
         grant select on all tables in schema accounts to cqrs_test_reader",
    )
    .await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("set role cqrs_test_reader").await?;
                Ok(())
            })
        })
        .connect_with(database.options())
        .await
        .unwrap();
    pool.execute("select * from accounts.tally").await.unwrap();
    for sql in [
        "insert into accounts.tally values ('x', 1, 1, 1, 0)",
        "update accounts.tally set sum = 0",
        "delete from accounts.tally",
        "select * from cqrs.events",
        "delete from cqrs.events",
        "update cqrs_read.partitions set position = 0",
    ] {
        let error = pool.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_store_and_read_store_may_be_different_databases() {
    let (events, rows) = (Database::create().await, Database::create().await);
    let store = PgStore::builder().options(events.options()).migrate().await.unwrap();
    let read = PgReadStore::builder().options(rows.options()).migrate().await.unwrap();
    let running = start(&store, &read).await;
    caught_up(&running, add_many(&store, 100, 3).await).await;
    assert_eq!(count(&read).await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_connections_only_delay_projectors() {
    let database = Database::create().await;
    let (store, read) = stores(&database.options()).await;
    // Without retries, so a failure of the database must not count.
    let policy = FailurePolicy::park().retries(0);
    let knobs: Arc<Knobs> = Arc::default();
    *knobs.delay.lock().unwrap() = Duration::from_millis(1);
    let options = ProjectorOptions::new().batch(10).on_failure(policy);
    let running = Projections::builder_over(store.clone(), read.clone())
        .lease(Duration::from_millis(300))
        .projector_with(Sum::<1>::with(&knobs), options)
        .start()
        .await
        .unwrap();
    let last = add_many(&store, 600, 7).await;
    let over = Arc::new(AtomicBool::new(false));
    let killing = {
        let (over, options) = (Arc::clone(&over), database.options());
        tokio::spawn(async move {
            let mut connection = options.connect().await.unwrap();
            let mut killed = 0;
            while !over.load(Ordering::Acquire) {
                let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                    where datname = current_database() and application_name = 'cqrs-read'";
                killed +=
                    sqlx::query_scalar::<_, i64>(kill).fetch_one(&mut connection).await.unwrap();
                tokio::time::sleep(Duration::from_millis(120)).await;
            }
            killed
        })
    };
    eventually(WITHIN, || async {
        match running.wait_for("accounts", last, Duration::from_millis(100)).await.unwrap() {
            Waited::CaughtUp => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    over.store(true, Ordering::Release);
    let killed = killing.await.unwrap();
    assert!(killed > 5, "only {killed} connections were killed");
    let parked = eventually(WITHIN, || running.parked("accounts")).await;
    assert_eq!(parked, []);
    let all = eventually(WITHIN, || async {
        // The pool may still contain dead connections.
        let rows = sqlx::query_scalar("select sum(count)::bigint from accounts.tally");
        rows.fetch_one(read.pool()).await.map(|sum: i64| sum)
    })
    .await;
    assert_eq!(all, 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn projectors_continue_after_the_server_crashes() {
    let cluster = Cluster::start().unwrap();
    let database = Database::on(&cluster.url()).await;
    let (store, read) = stores(&database.options()).await;
    let running = start(&store, &read).await;
    let mut last = add_many(&store, 300, 7).await;
    for _ in 0..2 {
        caught_up(&running, last).await;
        cluster.kill().unwrap();
        cluster.restart().unwrap();
        // The store may have to connect again before it appends.
        last = eventually(WITHIN, || async {
            let event = cqrs::event::NewEvent::of(&Moved::Added { amount: 1 }).unwrap();
            let append = cqrs::store::Append::to(
                crate::tally::account(1),
                cqrs::ExpectedVersion::Any,
                vec![event],
            );
            cqrs::EventStore::append(&store, append).await.map(|appended| appended.position())
        })
        .await;
    }
    eventually(WITHIN, || async {
        match running.wait_for("accounts", last, Duration::from_millis(100)).await.unwrap() {
            Waited::CaughtUp => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let all = eventually(WITHIN, || async {
        let rows = sqlx::query_scalar("select sum(count)::bigint from accounts.tally");
        rows.fetch_one(read.pool()).await.map(|sum: i64| sum)
    })
    .await;
    assert_eq!(u64::try_from(all).unwrap(), last.get());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_catches_up_after_the_read_database_was_restored() {
    let database = Database::create().await;
    let (store, read) = stores(&database.options()).await;
    let running = start(&store, &read).await;
    caught_up(&running, add_many(&store, 100, 3).await).await;
    // As in a backup from the beginning. No event is appended, so no commit notices it.
    run(
        &read,
        "begin; delete from accounts.tally; update cqrs_read.partitions set position = 0; commit",
    )
    .await;
    eventually(WITHIN, || async {
        match count(&read).await {
            100 => Ok(()),
            other => Err(format!("{other} rows")),
        }
    })
    .await;
    caught_up(&running, add(&store, 1, 1).await).await;
    assert_eq!(count(&read).await, 101);
}

/// Does something that fails at the commit only.
struct Careless {
    deferred: bool,
    rows: PhantomData<fn() -> PgTables>,
}

impl ReadModel for Careless {
    type Event = Moved;
    const NAME: &'static str = "careless";
    const VERSION: u32 = 1;
}

impl Projector<PgReadStore> for Careless {
    async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
        let create = "create table once (it int unique deferrable initially deferred)";
        sqlx::query(create).execute(&mut **tx).await?;
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut PgReadTransaction,
        event: &Recorded<Moved>,
    ) -> Result<(), ProjectError> {
        if self.deferred {
            sqlx::query("insert into once values (1)").execute(&mut **tx).await?;
        } else if event.position.get() == 2 {
            // The error is ignored, so the transaction is aborted.
            let _ = sqlx::query("select 1 / 0").execute(&mut **tx).await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_commit_is_a_failure_of_the_projector() {
    for deferred in [true, false] {
        let database = Database::create().await;
        let (store, read) = stores(&database.options()).await;
        let policy = FailurePolicy::stop().retries(0);
        let running = Projections::builder_over(store.clone(), read.clone())
            .projector_with(
                Careless { deferred, rows: PhantomData },
                ProjectorOptions::new().on_failure(policy),
            )
            .start()
            .await
            .unwrap();
        add_many(&store, 3, 1).await;
        let stopped = eventually(WITHIN, || async {
            let health = running.health().await.unwrap().remove(0);
            if health.state == ConsumerState::Stopped { Ok(health) } else { Err("not yet") }
        })
        .await;
        let failure = stopped.failure.unwrap();
        assert_eq!(failure.position.get(), 2, "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_begin_leaves_no_open_transaction() {
    let database = Database::create().await;
    let (store, read) = stores(&database.options()).await;
    let running = start(&store, &read).await;
    caught_up(&running, add_many(&store, 10, 3).await).await;
    running.stop().await;
    let record = read.inspect(None).await.unwrap().remove(0);
    let node = uuid::Uuid::now_v7();
    read.heartbeat(node, WITHIN, &[], &[]).await.unwrap();
    let generation = record.live().unwrap().number;
    let partition = Partition { consumer: record.name, generation, number: 0 };
    let lease = read.acquire(node, &partition).await.unwrap().unwrap();
    for polls in 0..400 {
        // Dropped after this number of polls, at whichever point it has reached.
        let turns = async {
            for _ in 0..polls % 40 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            begun = read.begin(&lease) => drop(begun),
            () = turns => {}
        }
    }
    eventually(WITHIN / 6, || async {
        // The lock that `begin` takes, on any connection.
        let open = sqlx::query_scalar(
            "select count(*) from pg_locks
              where relation = 'cqrs_read.partitions'::regclass and mode = 'RowShareLock'
                and database = (select oid from pg_database where datname = current_database())",
        );
        let open: i64 = open.fetch_one(read.pool()).await.unwrap();
        if open == 0 { Ok(()) } else { Err(format!("{open} transactions are open")) }
    })
    .await;
}
