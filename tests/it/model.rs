//! The same random operations have the same results in memory and on Postgres.

use cluster::Database;
use cqrs_memory::MemoryStore;
use cqrs_postgres::PgStore;
use cqrs_testing::model;

async fn compare(seed: u64, operations: usize) {
    let database = Database::create().await;
    let postgres = PgStore::builder().options(database.options()).migrate().await.unwrap();
    model::compare(&MemoryStore::new(), &postgres, seed, operations).await;
}

#[tokio::test]
async fn memory_and_postgres_return_the_same_results_for_known_seeds() {
    for seed in 1..=10 {
        compare(seed, 300).await;
    }
}

#[tokio::test]
async fn memory_and_postgres_return_the_same_results_for_a_random_seed() {
    compare(model::seed(), 1_500).await;
}
