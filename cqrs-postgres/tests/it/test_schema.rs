//! Schemas for one test.

use cluster::Database;
use cqrs_core::{App, EventStore, Processes, Projections};
use cqrs_postgres::testing::TestSchema;
use sqlx::ConnectOptions;

use crate::one;
use crate::read_models::{Copies, Sum, catch_up, counted, total};

/// Number of schemas in a database that were created by tests.
async fn schemas(database: &Database) -> i64 {
    let mut connection = database.options().connect().await.unwrap();
    let count = "select count(*) from pg_namespace
                  where nspname !~ '^(pg_|information_schema|public)'";
    sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn tests_in_one_database_are_independent() {
    let database = Database::create().await;
    let (a, b) =
        (TestSchema::in_database(database.options()), TestSchema::in_database(database.options()));
    let (here, there) = (a.store().migrate().await.unwrap(), b.store().migrate().await.unwrap());
    here.append(one("a-1", "here")).await.unwrap();
    assert_eq!(there.head().await.unwrap().get(), 0);
    for (schema, by) in [(&a, 1), (&b, 2)] {
        let store = schema.store().connect().await.unwrap();
        let read = schema.read_store().migrate().await.unwrap();
        let kept = schema.process_store().migrate().await.unwrap();
        let projections =
            Projections::builder_over(store.clone(), read.clone()).projector(Sum::<1>);
        let projections = projections.start().await.unwrap();
        let app = App::new(store.clone());
        let processes = Processes::builder(&app, kept).process(Copies).start().await.unwrap();
        store.append(counted("a", by)).await.unwrap();
        catch_up(&projections, &store).await;
        assert_eq!(total(&read, "a").await, by);
        processes.stop().await;
        projections.stop().await;
        store.close().await;
    }
    here.close().await;
    there.close().await;
    assert!(schemas(&database).await >= 8, "an event store, records, and one for each consumer");
    a.close().await.unwrap();
    drop(b);
    assert_eq!(schemas(&database).await, 0);
}

#[tokio::test]
async fn a_test_that_panics_keeps_its_schemas() {
    let database = Database::create().await;
    let options = database.options();
    let failed = tokio::spawn(async move {
        let schema = TestSchema::in_database(options);
        schema.store().migrate().await.unwrap().close().await;
        assert!(schema.name().is_empty(), "as a failing test");
    });
    assert!(failed.await.unwrap_err().is_panic());
    assert_eq!(schemas(&database).await, 1);
}
