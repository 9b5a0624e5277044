//! Values of the core in a caller's own SQL.

use cluster::Database;
use cqrs_core::event::{CausationId, Uuid};
use cqrs_core::{CommandId, CorrelationId, EventId, Position, Timestamp, Version};
use cqrs_postgres::Pg;
use sqlx::{ConnectOptions, Row};

const TABLE: &str = "create table taken (
    id uuid, at timestamptz, position bigint, version bigint, ids uuid[], times timestamptz[],
    positions bigint[])";

#[tokio::test]
async fn values_are_read_as_they_were_written() {
    let database = Database::create().await;
    let mut connection = database.options().connect().await.unwrap();
    sqlx::raw_sql(TABLE).execute(&mut connection).await.unwrap();
    let id = EventId::random();
    let times = [Timestamp::MIN, Timestamp::from_micros(-1), Timestamp::MAX];
    let insert = "insert into taken values ($1, $2, $3, $4, $5, $6, $7)
                  returning id, at, position, version, ids, times, positions";
    for at in times {
        let row = sqlx::query(insert)
            .bind(Pg(id))
            .bind(Pg(at))
            .bind(Pg(Position::new(u64::MAX)))
            .bind(Pg(Version::new(7)))
            .bind(vec![Pg(id.as_uuid()), Pg(Uuid::nil())])
            .bind(times.map(Pg).as_slice())
            .bind([Some(Pg(Position::new(3))), None].as_slice())
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(row.get::<Pg<EventId>, _>(0), Pg(id));
        assert_eq!(row.get::<Option<Pg<Timestamp>>, _>(1), Some(Pg(at)));
        // A column holds signed numbers; the largest of those counts as the largest.
        assert_eq!(row.get::<Pg<Position>, _>(2), Pg(Position::new(i64::MAX.unsigned_abs())));
        assert_eq!(row.get::<Pg<Version>, _>(3), Pg(Version::new(7)));
        assert_eq!(row.get::<Vec<Pg<Uuid>>, _>(4), [Pg(id.as_uuid()), Pg(Uuid::nil())]);
        assert_eq!(row.get::<Vec<Pg<Timestamp>>, _>(5), times.map(Pg));
        let positions: Vec<Option<Pg<Position>>> = row.get(6);
        assert_eq!(positions, [Some(Pg(Position::new(3))), None]);
    }
}

#[tokio::test]
async fn every_id_is_a_uuid_and_nothing_else() {
    let database = Database::create().await;
    let mut connection = database.options().connect().await.unwrap();
    let id = Uuid::now_v7();
    let row = sqlx::query("select $1, $2, $3, $4, pg_typeof($1)::text, 1::bigint")
        .bind(Pg(EventId::new(id)))
        .bind(Pg(CommandId::new(id)))
        .bind(Pg(CorrelationId::new(id)))
        .bind(Pg(CausationId::new(id)))
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(row.get::<Pg<CommandId>, _>(1).0.as_uuid(), id);
    assert_eq!(row.get::<Pg<CorrelationId>, _>(2).0.as_uuid(), id);
    assert_eq!(row.get::<Pg<CausationId>, _>(3).0.as_uuid(), id);
    assert_eq!(row.get::<String, _>(4), "uuid");
    assert!(row.try_get::<Pg<Uuid>, _>(5).is_err(), "a bigint is no uuid");
    assert!(row.try_get::<Pg<Timestamp>, _>(0).is_err(), "a uuid is no time");
}

/// Rows of a statement without arguments may arrive as text.
#[tokio::test]
async fn values_are_read_from_text() {
    let database = Database::create().await;
    let mut connection = database.options().connect().await.unwrap();
    let select = "select '0198f6a4-7c1e-7d3a-9a64-3f0c5b1e2d4f'::uuid,
                         '2026-11-20 09:30:00.25+00'::timestamptz, 42::bigint";
    let row = sqlx::Executor::fetch_one(&mut connection, sqlx::raw_sql(select)).await.unwrap();
    let Pg(id): Pg<Uuid> = row.get(0);
    assert_eq!(id.to_string(), "0198f6a4-7c1e-7d3a-9a64-3f0c5b1e2d4f");
    let Pg(at): Pg<Timestamp> = row.get(1);
    assert_eq!(at.to_string(), "2026-11-20T09:30:00.25Z");
    assert_eq!(row.get::<Pg<Version>, _>(2), Pg(Version::new(42)));
}
