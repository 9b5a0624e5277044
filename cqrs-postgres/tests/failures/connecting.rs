//! Failures when a store connects.

use cluster::Database;
use cqrs_core::{
    EventStore, Position,
    store::{Retry, StoreErrorKind},
    subscription::CheckpointStore,
};
use cqrs_postgres::PgStore;
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::{all, is, one, run, session, store_error, store_in};

#[tokio::test]
async fn an_unreachable_server_and_an_invalid_address_are_reported() {
    let rejected = PgStore::connect("postgres://a:b@127.0.0.1:1/c").await.unwrap_err();
    is(&rejected, StoreErrorKind::Unavailable, Retry::AfterDelay);
    let rejected = PgStore::connect("not an address").await.unwrap_err();
    is(&rejected, StoreErrorKind::Unsupported, Retry::Never);
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_are_reported() {
    let database = Database::create().await;
    let mut admin = session(&database).await;
    let role = format!("role_{}", std::process::id());
    run(&mut admin, &format!("create role {role} login password 'right'")).await;
    let options = database.options().username(&role).password("wrong");
    let rejected = PgStore::builder().options(options).connect().await.unwrap_err();
    is(&rejected, StoreErrorKind::PermissionDenied, Retry::Never);
    run(&mut admin, &format!("drop role {role}")).await;

    let options = database.options().database("there_is_no_such_database");
    let rejected = PgStore::builder().options(options).connect().await.unwrap_err();
    is(&rejected, StoreErrorKind::SchemaMissing, Retry::Never);
}

#[tokio::test]
async fn missing_older_and_newer_tables_are_reported() {
    let database = Database::create().await;
    let builder = PgStore::builder().options(database.options());
    let rejected = builder.clone().connect().await.unwrap_err();
    is(&rejected, StoreErrorKind::SchemaMissing, Retry::Never);
    assert!(rejected.to_string().contains("migrate"), "{rejected}");

    let store = store_in(&database).await;
    let mut admin = session(&database).await;
    run(&mut admin, "insert into cqrs.migrations (version, name) values (999, 'future')").await;
    let rejected = builder.clone().connect().await.unwrap_err();
    is(&rejected, StoreErrorKind::Unsupported, Retry::Never);
    run(&mut admin, "delete from cqrs.migrations where version >= 4").await;
    let rejected = builder.connect().await.unwrap_err();
    is(&rejected, StoreErrorKind::SchemaOutdated, Retry::Never);
    assert!(rejected.to_string().contains("migrate"), "{rejected}");

    // Removed while the store is running.
    run(&mut admin, "alter schema cqrs rename to hidden").await;
    let rejected = store_error(store.append(one("a-1")).await.unwrap_err());
    is(&rejected, StoreErrorKind::SchemaMissing, Retry::Never);
    is(&store.head().await.unwrap_err(), StoreErrorKind::SchemaMissing, Retry::Never);
    run(&mut admin, "alter schema hidden rename to cqrs").await;
    store.append(one("a-1")).await.unwrap();
    assert_eq!(all(&store).await.len(), 1);
}

#[tokio::test]
async fn a_role_without_write_privileges_can_read() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("a-1")).await.unwrap();
    let mut admin = session(&database).await;
    let role = format!("reader_{}", std::process::id());
    let grants = format!(
        "create role {role} login password 'r'; grant usage on schema cqrs to {role};
         grant select on all tables in schema cqrs to {role}"
    );
    run(&mut admin, &grants).await;
    let options = database.options().username(&role).password("r");
    let reader = PgStore::builder().options(options).connect().await.unwrap();
    assert_eq!(all(&reader).await.len(), 1);
    let rejected = store_error(reader.append(one("a-1")).await.unwrap_err());
    is(&rejected, StoreErrorKind::PermissionDenied, Retry::Never);
    reader.close().await;
    run(&mut admin, &format!("drop owned by {role}; drop role {role}")).await;
    assert_eq!(all(&store).await.len(), 1);
}

/// The privileges that the operating guide lists are sufficient.
#[tokio::test]
async fn a_role_with_the_documented_privileges_can_do_everything() {
    let database = Database::create().await;
    store_in(&database).await;
    let mut admin = session(&database).await;
    let role = format!("app_{}", std::process::id());
    let grants = format!(
        "create role {role} login password 'r'; grant usage on schema cqrs to {role};
         grant select, insert on all tables in schema cqrs to {role};
         grant update, delete on cqrs.commands, cqrs.snapshots, cqrs.states, cqrs.subscriptions to {role};
         grant usage on all sequences in schema cqrs to {role};
         grant execute on all functions in schema cqrs to {role}"
    );
    run(&mut admin, &grants).await;
    let options = database.options().username(&role).password("r");
    // Tables that are up to date are not changed, so no privilege is needed.
    let app = PgStore::builder().options(options).migrate().await.unwrap();
    let right = cqrs_memory::MemoryStore::new();
    cqrs_testing::model::compare(&right, &app, 7, 400).await;
    let name = cqrs_core::subscription::SubscriptionName::new("s").unwrap();
    let second = std::time::Duration::from_secs(1);
    let lease =
        app.acquire(&name, Position::START, cqrs_core::event::Uuid::nil(), second).await.unwrap();
    app.save_checkpoint(&lease, Position::new(1)).await.unwrap();
    assert!(app.delete_checkpoint(&name).await.unwrap());
    app.close().await;
    run(&mut admin, &format!("drop owned by {role}; drop role {role}")).await;
}

/// Settings of the database that would break guarantees of the store.
#[tokio::test]
async fn settings_of_the_database_do_not_weaken_a_store() {
    let database = Database::create().await;
    store_in(&database).await;
    let mut admin = session(&database).await;
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&mut admin).await.unwrap();
    for setting in
        ["default_transaction_isolation = 'serializable'", "synchronous_commit = off", "jit = on"]
    {
        run(&mut admin, &format!("alter database {name} set {setting}")).await;
    }
    // A trigger records the settings of the session that appends.
    run(
        &mut admin,
        "create table public.recorded (sync text, level text);
         create function public.record() returns trigger language plpgsql as $$ begin
           insert into public.recorded values (current_setting('synchronous_commit'),
                                            current_setting('transaction_isolation'));
           return null;
         end $$;
         create trigger record after insert on cqrs.events execute function public.record()",
    )
    .await;
    let store = store_in(&database).await;
    store.append(one("a-1")).await.unwrap();
    store
        .append(one("a-1").and_to(
            cqrs_core::StreamName::new("b-1").unwrap(),
            cqrs_core::ExpectedVersion::Any,
            vec![],
        ))
        .await
        .unwrap();
    let recorded: Vec<(String, String)> = sqlx::query_as("select sync, level from public.recorded")
        .fetch_all(&mut admin)
        .await
        .unwrap();
    let right = ("on".to_owned(), "read committed".to_owned());
    assert_eq!(recorded, [right.clone(), right]);
}

#[tokio::test]
async fn a_database_that_is_read_only_for_a_while_is_reported() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("a-1")).await.unwrap();
    let mut admin = session(&database).await;
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&mut admin).await.unwrap();
    let set =
        |value: &str| format!("alter database {name} set default_transaction_read_only = {value}");
    run(&mut admin, &set("on")).await;
    // As after a failover to a standby: the old connections are gone.
    let others = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()";
    sqlx::query(AssertSqlSafe(others.to_owned())).fetch_all(&mut admin).await.unwrap();
    let mut rejections = 0;
    for _ in 0..3 {
        match store.append(one("a-2")).await {
            Err(cqrs_core::store::AppendError::OutcomeUnknown(_)) => {}
            answer => {
                is(
                    &store_error(answer.unwrap_err()),
                    StoreErrorKind::Unavailable,
                    Retry::AfterDelay,
                );
                rejections += 1;
            }
        }
    }
    assert!(rejections >= 2);
    assert_eq!(all(&store).await.len(), 1);
    let mut admin = database
        .options()
        .options([("default_transaction_read_only", "off")])
        .connect()
        .await
        .unwrap();
    run(&mut admin, &set("off")).await;
    sqlx::query(AssertSqlSafe(others.to_owned())).fetch_all(&mut admin).await.unwrap();
    // The first append may still use the connection that was closed.
    let append = one("a-2");
    if store.append(append.clone()).await.is_err() {
        store.append(append).await.unwrap();
    }
    assert_eq!(all(&store).await.len(), 2);
}
