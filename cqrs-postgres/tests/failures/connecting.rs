//! Failure at the start.

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
async fn nobody_listens_there() {
    let refused = PgStore::connect("postgres://a:b@127.0.0.1:1/c").await.unwrap_err();
    is(&refused, StoreErrorKind::Unavailable, Retry::AfterDelay);
    let refused = PgStore::connect("not an address").await.unwrap_err();
    is(&refused, StoreErrorKind::Unsupported, Retry::Never);
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database() {
    let database = Database::create().await;
    let mut admin = session(&database).await;
    let role = format!("role_{}", std::process::id());
    run(&mut admin, &format!("create role {role} login password 'right'")).await;
    let options = database.options().username(&role).password("wrong");
    let refused = PgStore::builder().options(options).connect().await.unwrap_err();
    is(&refused, StoreErrorKind::PermissionDenied, Retry::Never);
    run(&mut admin, &format!("drop role {role}")).await;

    let options = database.options().database("there_is_no_such_database");
    let refused = PgStore::builder().options(options).connect().await.unwrap_err();
    is(&refused, StoreErrorKind::SchemaMissing, Retry::Never);
}

#[tokio::test]
async fn tables_that_are_missing_older_or_newer() {
    let database = Database::create().await;
    let builder = PgStore::builder().options(database.options());
    let refused = builder.clone().connect().await.unwrap_err();
    is(&refused, StoreErrorKind::SchemaMissing, Retry::Never);
    assert!(refused.to_string().contains("migrate"), "{refused}");

    let store = store_in(&database).await;
    let mut admin = session(&database).await;
    run(&mut admin, "insert into cqrs.migrations (version, name) values (999, 'future')").await;
    let refused = builder.clone().connect().await.unwrap_err();
    is(&refused, StoreErrorKind::Unsupported, Retry::Never);
    run(&mut admin, "delete from cqrs.migrations where version >= 4").await;
    let refused = builder.connect().await.unwrap_err();
    is(&refused, StoreErrorKind::SchemaOutdated, Retry::Never);
    assert!(refused.to_string().contains("migrate"), "{refused}");

    // Taken away under a running store.
    run(&mut admin, "alter schema cqrs rename to away").await;
    let refused = store_error(store.append(one("a-1")).await.unwrap_err());
    is(&refused, StoreErrorKind::SchemaMissing, Retry::Never);
    is(&store.head().await.unwrap_err(), StoreErrorKind::SchemaMissing, Retry::Never);
    run(&mut admin, "alter schema away rename to cqrs").await;
    store.append(one("a-1")).await.unwrap();
    assert_eq!(all(&store).await.len(), 1);
}

#[tokio::test]
async fn a_role_that_may_only_read() {
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
    let refused = store_error(reader.append(one("a-1")).await.unwrap_err());
    is(&refused, StoreErrorKind::PermissionDenied, Retry::Never);
    reader.close().await;
    run(&mut admin, &format!("drop owned by {role}; drop role {role}")).await;
    assert_eq!(all(&store).await.len(), 1);
}

/// The rights that the operating notes name are enough, and no more than enough.
#[tokio::test]
async fn a_role_with_the_rights_of_an_application_can_do_everything() {
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
    // Migrating what is up to date changes nothing, so it needs no right to.
    let app = PgStore::builder().options(options).migrate().await.unwrap();
    let right = cqrs_memory::MemoryStore::new();
    cqrs_testing::model::compare(&right, &app, 7, 400).await;
    let name = cqrs_core::subscription::SubscriptionName::new("s").unwrap();
    let second = std::time::Duration::from_secs(1);
    let claim =
        app.acquire(&name, Position::START, cqrs_core::event::Uuid::nil(), second).await.unwrap();
    app.save_checkpoint(&claim, Position::new(1)).await.unwrap();
    assert!(app.delete_checkpoint(&name).await.unwrap());
    app.close().await;
    run(&mut admin, &format!("drop owned by {role}; drop role {role}")).await;
}

/// What the database's own settings would do to the laws.
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
    // What the append's own session has is noted by the row it writes.
    run(
        &mut admin,
        "create table public.noted (sync text, level text);
         create function public.note() returns trigger language plpgsql as $$ begin
           insert into public.noted values (current_setting('synchronous_commit'),
                                            current_setting('transaction_isolation'));
           return null;
         end $$;
         create trigger note after insert on cqrs.events execute function public.note()",
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
    let noted: Vec<(String, String)> =
        sqlx::query_as("select sync, level from public.noted").fetch_all(&mut admin).await.unwrap();
    let right = ("on".to_owned(), "read committed".to_owned());
    assert_eq!(noted, [right.clone(), right]);
}

#[tokio::test]
async fn a_database_that_does_not_take_writes_for_a_while() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("a-1")).await.unwrap();
    let mut admin = session(&database).await;
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&mut admin).await.unwrap();
    let set =
        |value: &str| format!("alter database {name} set default_transaction_read_only = {value}");
    run(&mut admin, &set("on")).await;
    // As after a switch to a standby: the old connections are gone.
    let others = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()";
    sqlx::query(AssertSqlSafe(others.to_owned())).fetch_all(&mut admin).await.unwrap();
    let mut refusals = 0;
    for _ in 0..3 {
        match store.append(one("a-2")).await {
            Err(cqrs_core::store::AppendError::OutcomeUnknown(_)) => {}
            answer => {
                is(
                    &store_error(answer.unwrap_err()),
                    StoreErrorKind::Unavailable,
                    Retry::AfterDelay,
                );
                refusals += 1;
            }
        }
    }
    assert!(refusals >= 2);
    assert_eq!(all(&store).await.len(), 1);
    let mut admin = database
        .options()
        .options([("default_transaction_read_only", "off")])
        .connect()
        .await
        .unwrap();
    run(&mut admin, &set("off")).await;
    sqlx::query(AssertSqlSafe(others.to_owned())).fetch_all(&mut admin).await.unwrap();
    // The first may still meet the connection that was cut.
    let append = one("a-2");
    if store.append(append.clone()).await.is_err() {
        store.append(append).await.unwrap();
    }
    assert_eq!(all(&store).await.len(), 2);
}
