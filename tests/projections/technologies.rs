//! One read model in four technologies (SQL rows, a map, JSON documents, text search) returns the
//! same answers for the same events.

use std::collections::BTreeMap;

use cluster::Database;
use cqrs::{Event, EventStore, Projector, ReadModel, Recorded, projection::ProjectError};
use cqrs_memory::{MemoryReadStore, MemoryStore, MemoryTransaction};
use cqrs_postgres::{PgReadStore, PgReadTransaction};
use cqrs_testing::{given_events, project};
use serde::{Deserialize, Serialize};
use sqlx::Row;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
enum Shelf {
    #[event(name = "shelf.added")]
    Added { title: String, copies: i64 },
    #[event(name = "shelf.taken")]
    Taken { title: String },
}

/// Returns a title and by how much its number of copies changes.
fn change(event: &Shelf) -> (&str, i64) {
    match event {
        Shelf::Added { title, copies } => (title, *copies),
        Shelf::Taken { title } => (title, -1),
    }
}

fn events() -> Vec<(&'static str, Shelf)> {
    let titles = ["the log", "the ledger of bern", "bern and rome", "a map", "maps of rome"];
    let event = |n: usize| {
        let title = titles[n * 7 % 5].to_owned();
        let shelf = ["shelf-1", "shelf-2", "shelf-3"][n % 3];
        if n % 4 == 3 {
            (shelf, Shelf::Taken { title })
        } else {
            (shelf, Shelf::Added { title, copies: i64::try_from(n % 6).unwrap() })
        }
    };
    (0..200).map(event).collect()
}

/// The answers to five queries: all titles, one title, the total, the title with the most copies,
/// titles with a word.
#[derive(Debug, PartialEq)]
struct Answers {
    all: BTreeMap<String, i64>,
    one: Option<i64>,
    total: i64,
    most_copies: String,
    with_rome: Vec<String>,
}

fn answers(all: BTreeMap<String, i64>, with_rome: Vec<String>) -> Answers {
    let most_copies =
        all.iter().max_by_key(|(title, copies)| (**copies, std::cmp::Reverse(*title)));
    Answers {
        one: all.get("the log").copied(),
        total: all.values().sum(),
        most_copies: most_copies.unwrap().0.clone(),
        with_rome,
        all,
    }
}

struct InAMap;

#[derive(Clone, Default)]
struct Copies(BTreeMap<String, i64>);

impl ReadModel for InAMap {
    type Event = Shelf;
    const NAME: &'static str = "map";
    const VERSION: u32 = 1;
}

impl Projector<MemoryReadStore> for InAMap {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Copies::default());
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut MemoryTransaction,
        event: &Recorded<Shelf>,
    ) -> Result<(), ProjectError> {
        let (title, by) = change(&event.event);
        *tx.model::<Copies>()?.0.entry(title.to_owned()).or_default() += by;
        Ok(())
    }
}

/// The three read models in Postgres differ in two statements.
macro_rules! in_postgres {
    ($($projector:ident = $name:literal, $create:literal, $add:literal;)*) => {$(
        struct $projector;

        impl ReadModel for $projector {
            type Event = Shelf;
            const NAME: &'static str = $name;
            const VERSION: u32 = 1;
        }

        impl Projector<PgReadStore> for $projector {
            async fn create(&self, tx: &mut PgReadTransaction) -> Result<(), ProjectError> {
                sqlx::query($create).execute(&mut **tx).await?;
                Ok(())
            }

            async fn project(
                &self,
                tx: &mut PgReadTransaction,
                event: &Recorded<Shelf>,
            ) -> Result<(), ProjectError> {
                let (title, by) = change(&event.event);
                sqlx::query($add).bind(title).bind(by).execute(&mut **tx).await?;
                Ok(())
            }
        }
    )*};
}

in_postgres! {
    InRows = "rows",
        "create table copies (title text primary key, copies bigint not null)",
        "insert into copies values ($1, $2)
           on conflict (title) do update set copies = copies.copies + excluded.copies";
    InADocument = "document",
        "create table shelf as select '{}'::jsonb as it",
        "update shelf set it = it || jsonb_build_object($1, coalesce((it->>$1)::bigint, 0) + $2)";
    InASearch = "search",
        "create table titles (title text primary key, copies bigint not null,
           words tsvector generated always as (to_tsvector('simple', title)) stored)",
        "insert into titles (title, copies) values ($1, $2)
           on conflict (title) do update set copies = titles.copies + excluded.copies";
}

async fn pairs(read: &PgReadStore, sql: &'static str) -> BTreeMap<String, i64> {
    let rows = sqlx::query(sql).fetch_all(read.pool()).await.unwrap();
    rows.into_iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Builds one of the three and queries it.
async fn ask(
    store: &MemoryStore,
    read: &PgReadStore,
    projector: impl Projector<PgReadStore>,
    all: &'static str,
    with_rome: &'static str,
) -> Answers {
    project(store.clone(), read.clone(), projector).await;
    answers(pairs(read, all).await, pairs(read, with_rome).await.into_keys().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn four_technologies_return_the_same_answers() {
    let store = MemoryStore::new();
    given_events(&store, events()).await;
    assert_eq!(store.head().await.unwrap().get(), 200);

    let memory = MemoryReadStore::new();
    let map = memory.view::<Copies>("map").unwrap();
    project(store.clone(), memory.clone(), InAMap).await;
    let map = map.get().unwrap().0.clone();
    let rome = map.keys().filter(|title| title.split(' ').any(|word| word == "rome"));
    let expected = answers(map.clone(), rome.cloned().collect());
    assert_eq!(expected.with_rome, ["bern and rome", "maps of rome"]);

    let database = Database::create().await;
    // The second time everything has been dropped and is rebuilt.
    for _ in 0..2 {
        let read = PgReadStore::builder().options(database.options()).migrate().await.unwrap();
        let rows = ask(
            &store,
            &read,
            InRows,
            "select title, copies from rows.copies",
            "select title, copies from rows.copies where title ~ '\\mrome\\M'",
        );
        assert_eq!(rows.await, expected);
        let document = ask(
            &store,
            &read,
            InADocument,
            "select key, value::bigint from document.shelf, jsonb_each_text(it)",
            "select key, value::bigint from document.shelf, jsonb_each_text(it)
              where key ~ '\\mrome\\M'",
        );
        assert_eq!(document.await, expected);
        let search = ask(
            &store,
            &read,
            InASearch,
            "select title, copies from search.titles",
            "select title, copies from search.titles where words @@ to_tsquery('simple', 'rome')",
        );
        assert_eq!(search.await, expected);
        read.drop_everything().await.unwrap();
    }
}

#[tokio::test]
#[should_panic(expected = "`map` failed on the event at position 1: no model `")]
async fn project_panics_with_the_position_and_the_error() {
    struct Forgetful;

    impl ReadModel for Forgetful {
        type Event = Shelf;
        const NAME: &'static str = "map";
        const VERSION: u32 = 1;
    }

    impl Projector<MemoryReadStore> for Forgetful {
        async fn create(&self, _: &mut MemoryTransaction) -> Result<(), ProjectError> {
            Ok(())
        }

        async fn project(
            &self,
            tx: &mut MemoryTransaction,
            event: &Recorded<Shelf>,
        ) -> Result<(), ProjectError> {
            InAMap.project(tx, event).await
        }
    }

    let store = MemoryStore::new();
    given_events(&store, events()).await;
    project(store, MemoryReadStore::new(), Forgetful).await;
}
