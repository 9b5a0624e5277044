//! A server starts, keeps acknowledged data after a crash, and is removed completely.

#![allow(clippy::unwrap_used)] // tests fail by panicking

use cluster::{Cluster, Database};
use sqlx::{ConnectOptions, Connection};

#[tokio::test]
async fn a_killed_server_keeps_what_it_acknowledged() {
    let cluster = Cluster::start().unwrap();
    let database = Database::on(&cluster.url()).await;
    let mut connection = database.options().connect().await.unwrap();
    sqlx::raw_sql("create table t as select 7 as n").execute(&mut connection).await.unwrap();

    cluster.kill().unwrap();
    assert!(connection.ping().await.is_err());
    cluster.restart().unwrap();

    let mut connection = database.options().connect().await.unwrap();
    let n: i32 = sqlx::query_scalar("select n from t").fetch_one(&mut connection).await.unwrap();
    assert_eq!(n, 7);
}

#[tokio::test]
async fn databases_are_separate_and_dropped() {
    let (one, two) = (Database::create().await, Database::create().await);
    assert_ne!(one.url(), two.url());
    let gone = one.options();
    drop(one);
    assert!(gone.connect().await.is_err());
    two.options().connect().await.unwrap();
}
