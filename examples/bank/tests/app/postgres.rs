//! The same bank on Postgres.

use bank::cli::{Colors, DEFAULT_STORY, run};
use cluster::Database;
use cqrs::App;
use cqrs_postgres::PgStore;
use example_shared::StoreArguments;

use bank::domain::Account;

use crate::{account, deposit, eur, open, withdraw};

fn output(store: &StoreArguments, story: &[u8]) -> String {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    run(store, "story.txt", story, Colors::Off, &mut out, &mut errors).unwrap();
    assert!(errors.is_empty());
    String::from_utf8(out).unwrap()
}

fn database() -> Database {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Database::create())
}

#[test]
fn the_default_story_prints_the_same_on_postgres() {
    let database = database();
    let out = output(&StoreArguments::postgres(&database.url()), DEFAULT_STORY.as_bytes());
    assert_eq!(out, include_str!("../../golden/story.out"));
}

#[test]
fn events_survive_a_restart() {
    let database = database();
    let store = StoreArguments::postgres(&database.url());
    output(&store, b"open ann \"Ann\" 10.00\ndeposit ann 2.50");
    let out = output(&store, b"open ann \"Mallory\" 1.00\nwithdraw ann 0.50\nbalance ann");
    assert!(out.contains("balance 12.00"), "{out}");
    assert!(out.contains("rejected"), "{out}");
    // Another schema is another bank.
    let elsewhere = StoreArguments { schema: Some("elsewhere".to_owned()), ..store };
    assert!(output(&elsewhere, b"open ann \"Ann\" 3.00").contains("balance 3.00"));
}

#[test]
fn an_unreachable_database_is_reported_on_one_line() {
    let missing = StoreArguments::postgres("postgres://user:password@127.0.0.1:1/none");
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let story = DEFAULT_STORY.as_bytes();
    let failed = run(&missing, "-", story, Colors::Off, &mut out, &mut errors).unwrap_err();
    let message = failed.to_string();
    assert!(
        message.starts_with("cannot connect to database `none` at 127.0.0.1:1: ")
            && !message.contains('\n'),
        "{message}"
    );
    for wrong in ["postgres", "oracle://x"] {
        let wrong = StoreArguments { store: wrong.to_owned(), ..StoreArguments::default() };
        assert!(run(&wrong, "-", story, Colors::Off, &mut out, &mut errors).is_err());
    }
    assert!(out.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_ten_concurrent_withdrawals_only_the_covered_ones_succeed() {
    let database = Database::create().await;
    let store =
        || async { PgStore::builder().options(database.options()).migrate().await.unwrap() };
    // Like two processes: each has its own connection and cache.
    let stores = [store().await, store().await];
    let apps = stores.clone().map(App::new);
    apps[0].dispatch(open(1, "Alice", "100.00")).await.unwrap();
    let tills: Vec<_> =
        (0..10).map(|till| tokio::spawn(apps[till % 2].dispatch(withdraw(1, "20.00")))).collect();
    let (mut paid, mut rejected) = (0, 0);
    for till in tills {
        match till.await.unwrap() {
            Ok(_) => paid += 1,
            Err(error) if error.rejected().is_some() => rejected += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((paid, rejected), (5, 5));
    assert_eq!(apps[1].dispatch(deposit(1, "0.01")).await.unwrap().version.get(), 7);
    let account = apps[0].load::<Account>(&account(1)).await.unwrap();
    assert_eq!(account.state().balance(), Ok(eur("0.01")));
}
