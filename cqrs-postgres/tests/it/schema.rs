//! Tables: migrations, exported SQL, separate schemas, and protection from changes.

use cluster::Database;
use cqrs_core::{
    EventStore, Position, Timestamp, Version,
    event::Payload,
    store::{Snapshot, SnapshotStore, StoreErrorKind},
};
use cqrs_postgres::PgStore;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::{all, contents, one, store_in, stream};

/// What the catalogue contains about a schema, without its name and the ids of its objects.
async fn catalogue(connection: &mut PgConnection, schema: &str) -> Vec<String> {
    let queries = [
        "select table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' ||
                coalesce(column_default, '') || ' ' || coalesce(generation_expression, '') || ' ' ||
                coalesce(collation_name, '')
           from information_schema.columns where table_schema = $1 order by 1",
        "select tablename || ': ' || indexdef from pg_indexes where schemaname = $1 order by 1",
        "select p.proname || ': ' || pg_get_functiondef(p.oid) from pg_proc p
           join pg_namespace n on n.oid = p.pronamespace where n.nspname = $1 order by 1",
        "select c.relname || ': ' || pg_get_triggerdef(t.oid) from pg_trigger t
           join pg_class c on c.oid = t.tgrelid
           join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 order by 1",
        "select c.relname || ': ' || x.conname || ' ' || pg_get_constraintdef(x.oid)
           from pg_constraint x join pg_class c on c.oid = x.conrelid
           join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 order by 1",
        "select c.relname || ': ' || coalesce(array_to_string(c.reloptions, ','), '')
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = $1 and c.relkind = 'r' order by 1",
        "select viewname || ': ' || definition from pg_views where schemaname = $1 order by 1",
    ];
    // Otherwise names are shown without a schema that is in the search path.
    sqlx::raw_sql("set search_path = ''").execute(&mut *connection).await.unwrap();
    let mut found = Vec::new();
    for query in queries {
        let rows = sqlx::query(query).bind(schema).fetch_all(&mut *connection).await.unwrap();
        assert!(!rows.is_empty(), "nothing to compare: {query}");
        found.extend(rows.iter().map(|row| row.get::<String, _>(0).replace(schema, "SCHEMA")));
    }
    found
}

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let database = Database::create().await;
    let mut connection = database.options().connect().await.unwrap();
    let builder = PgStore::builder().options(database.options());
    assert!(builder.migrations().await.unwrap().iter().all(|migration| !migration.is_applied));
    let store = store_in(&database).await;
    store.append(one("a-1", "kept")).await.unwrap();
    let before = catalogue(&mut connection, "cqrs").await;
    let again = store_in(&database).await;
    assert_eq!(catalogue(&mut connection, "cqrs").await, before);
    assert_eq!(contents(&again).await, ["kept"]);
    let migrations = builder.migrations().await.unwrap();
    assert!(migrations.iter().all(|migration| migration.is_applied));
    assert_eq!(migrations.iter().map(|m| m.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn concurrent_migrations_all_succeed() {
    let database = Database::create().await;
    let runs = (0..8).map(|_| {
        let builder = PgStore::builder().options(database.options());
        tokio::spawn(async move { builder.migrate().await.map(drop) })
    });
    for run in futures_util::future::join_all(runs).await {
        run.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_exported_script_creates_what_migrating_creates() {
    let database = Database::create().await;
    let mut connection = database.options().connect().await.unwrap();
    store_in(&database).await;
    let by_hand = PgStore::builder().options(database.options()).schema("by_hand");
    let script = AssertSqlSafe(by_hand.sql().unwrap());
    sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    by_hand.connect().await.unwrap();
    let (made, scripted) =
        (catalogue(&mut connection, "cqrs").await, catalogue(&mut connection, "by_hand").await);
    assert_eq!(made, scripted);
}

#[tokio::test]
async fn every_older_version_migrates_to_the_same_tables() {
    let database = Database::create().await;
    let mut connection = database.options().connect().await.unwrap();
    store_in(&database).await;
    let wanted = catalogue(&mut connection, "cqrs").await;
    let builder = PgStore::builder().options(database.options());
    for older in 0..builder.migrations().await.unwrap().len() {
        let name = format!("from_{older}");
        let builder = builder.clone().schema(&name);
        let script = builder.sql().unwrap();
        let end = script.find(&format!("\n-- {}: ", older + 1)).unwrap();
        let script = AssertSqlSafe(format!("{} commit;", &script[..end]));
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
        let rejected = builder.clone().connect().await.unwrap_err();
        let expected =
            if older == 0 { StoreErrorKind::SchemaMissing } else { StoreErrorKind::SchemaOutdated };
        assert_eq!(rejected.kind(), expected);
        builder.migrate().await.unwrap();
        assert_eq!(catalogue(&mut connection, &name).await, wanted, "from version {older}");
    }
}

#[tokio::test]
async fn the_database_rejects_changes_to_the_log() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("a-1", "true")).await.unwrap();
    let mut connection = database.options().connect().await.unwrap();
    for statement in [
        "update cqrs.events set data = '\"false\"'",
        "delete from cqrs.events",
        "truncate cqrs.events",
        "update cqrs.streams set name = 'b-1' where false",
        "delete from cqrs.streams",
        "truncate cqrs.streams",
        "update cqrs.event_types set name = 'other'",
        "delete from cqrs.event_types",
        "delete from cqrs.log",
    ] {
        let rejected = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap_err();
        let rejected = rejected.as_database_error().unwrap();
        if statement != "delete from cqrs.log" {
            assert_eq!(rejected.code().unwrap(), "42501", "{statement}");
            assert!(rejected.message().contains("the log is append-only"), "{rejected}");
        }
    }
    assert_eq!(contents(&store).await, ["true"]);
}

#[tokio::test]
async fn stores_in_two_schemas_are_independent() {
    let database = Database::create().await;
    let builder = PgStore::builder().options(database.options());
    let left = builder.clone().schema("left_side").migrate().await.unwrap();
    let right = builder.clone().schema("right_side").migrate().await.unwrap();
    let first = left.append(one("a-1", "left")).await.unwrap();
    let other = right.append(one("a-1", "right")).await.unwrap();
    assert_eq!(first.position(), other.position());
    assert_eq!(contents(&left).await, ["left"]);
    assert_eq!(contents(&right).await, ["right"]);
    let snapshot = Snapshot::new(
        stream("a-1"),
        Version::new(1),
        "t",
        Payload::encode(&1).unwrap(),
        Timestamp::UNIX_EPOCH,
    );
    left.save_snapshot(snapshot).await.unwrap();
    assert_eq!(right.load_snapshot(&stream("a-1")).await.unwrap(), None);

    // Appends of one store neither wait for those of the other nor wake its readers.
    let mut connection = database.options().connect().await.unwrap();
    let lock = "begin; select pg_advisory_xact_lock(hashtextextended('\"left_side\".append', 0))";
    sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
    right.append(one("a-1", "not blocked")).await.unwrap();
    assert_eq!(left.head().await.unwrap(), Position::new(1));
}

#[tokio::test]
async fn the_log_can_be_read_with_plain_sql() {
    let database = Database::create().await;
    let store = store_in(&database).await;
    store.append(one("order-7", "cheese")).await.unwrap();
    let mut connection = database.options().connect().await.unwrap();
    let query = "select stream, category, version, type, data #>> '{}' from cqrs.log";
    let row = sqlx::query(query).fetch_one(&mut connection).await.unwrap();
    let texts = [0, 1, 3, 4].map(|column| row.get::<String, _>(column));
    assert_eq!(texts, ["order-7", "order", "test.happened", "cheese"]);
    assert_eq!(row.get::<i64, _>(2), 1);
}

#[tokio::test]
async fn a_keyword_is_a_valid_schema_name() {
    let database = Database::create().await;
    let builder = PgStore::builder().options(database.options());
    // A reserved word is quoted everywhere.
    let store = builder.clone().schema("user").migrate().await.unwrap();
    store.append(one("a-1", "x'; drop table events;--")).await.unwrap();
    assert_eq!(all(&store).await.len(), 1);
    for name in ["", "Upper", "a;b", "a\"b", "pg_mine", "1st"] {
        let rejected = builder.clone().schema(name).connect().await.unwrap_err();
        assert_eq!(rejected.kind(), StoreErrorKind::Unsupported, "{name}");
    }
}
