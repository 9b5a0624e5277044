//! The cost of a longer log.

use cluster::Database;
use cqrs_postgres::PgStore;
use sqlx::{ConnectOptions, Row};

use crate::report::{Report, Target};
use crate::samples::Spread;
use crate::shared::filled;
use crate::{Effort, append};

pub(crate) async fn measure(effort: &Effort, report: &mut Report) {
    report.section("Appends to a long log, relative to a log that started with 10,000 events");
    let mut sizes = vec![10_000.min(effort.rows), effort.rows];
    if effort.ten_million {
        sizes.push(10_000_000);
    }
    let mut stores = Vec::new();
    for size in &sizes {
        stores.push(filled(*size).await);
    }
    for callers in [1, 32] {
        let mut rates = vec![Vec::new(); sizes.len()];
        for _ in 0..effort.rounds {
            for ((_, store), rates) in stores.iter().zip(&mut rates) {
                rates.push(append::callers(store, callers, 1, effort.duration).await.per_second);
            }
        }
        for (size, larger) in sizes.iter().zip(&rates).skip(1) {
            let ratios = larger.iter().zip(&rates[0]).map(|(many, few)| many / few);
            let what = format!(
                "{size} events, {callers} callers: {:.0}/s",
                Spread::of(larger.clone()).median
            );
            report.ratio(&what, Spread::of(ratios), Some(Target::AtLeast(0.9)));
        }
    }
    let (database, store) = &stores[sizes.len() - 1];
    old_snapshot(database, store, effort, report).await;
    disk(database, sizes[sizes.len() - 1], report).await;
}

/// Opens an unrelated transaction with an old snapshot, like that of a dump.
async fn old_snapshot(database: &Database, store: &PgStore, effort: &Effort, report: &mut Report) {
    let without = append::callers(store, 1, 1, effort.duration * 2).await;
    let mut connection = database.options().connect().await.unwrap();
    let begin = "begin isolation level repeatable read; select count(*) from cqrs.streams";
    sqlx::raw_sql(begin).execute(&mut connection).await.unwrap();
    append::callers(store, 1, 1, effort.duration * 10).await;
    let with = append::callers(store, 1, 1, effort.duration * 2).await;
    sqlx::raw_sql("rollback").execute(&mut connection).await.unwrap();
    let what = format!(
        "1 caller, another transaction idle for {:.0} s: {:.0}/s",
        (effort.duration * 12).as_secs_f64(),
        with.per_second
    );
    let ratio = Spread::of([with.per_second / without.per_second]);
    report.ratio(&what, ratio, Some(Target::AtLeast(0.9)));
}

async fn disk(database: &Database, events: usize, report: &mut Report) {
    let mut connection = database.options().connect().await.unwrap();
    let sizes = "select c.relname, pg_relation_size(c.oid), c.relkind::text from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        left join pg_index i on i.indexrelid = c.oid
        where n.nspname = 'cqrs' and (c.relname = 'events' or i.indrelid = 'cqrs.events'::regclass)
        order by c.relkind desc, c.relname";
    let rows = sqlx::query(sizes).fetch_all(&mut connection).await.unwrap();
    let head: i64 = sqlx::query_scalar("select max(position) from cqrs.events")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    report.section(&format!("Bytes per event on disk ({head} events, {events} of them imported)"));
    for row in rows {
        let bytes = row.get::<i64, _>(1) as f64 / head as f64;
        report.value(&row.get::<String, _>(0), bytes, None);
    }
}
