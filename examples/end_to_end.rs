//! A complete program in one file: an event store, a read model, a process with a timer, an event
//! handler, and an orderly shutdown.
//!
//! A library lends books. If a book is not returned within 30 days, a process marks it as overdue and
//! a handler prints a reminder. A read model lists the books that each reader has borrowed.
//!
//! `cargo run --example end-to-end`

use std::collections::BTreeMap;
use std::time::Duration;

use cqrs::memory::{MemoryReadStore, MemoryStore, MemoryTransaction};
use cqrs::process::{Destinations, HandlerContext, HandlerError, Route, Timeout};
use cqrs::projection::{ProjectError, Waited};
use cqrs::{
    Aggregate, App, Command, Effects, Event, EventHandler, Id, ProcessManager, Processes,
    Projections, Projector, ReadModel, Recorded, Timestamp, aggregate,
};
use cqrs_testing::ManualClock;
use serde::{Deserialize, Serialize};

// 1. The domain: pure, synchronous, without I/O.

#[derive(Id)]
struct BookId(String);

#[derive(Debug, Default)]
struct Book {
    lent_to: Option<String>,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Book, id = book)]
enum BookCommand {
    Lend { book: BookId, reader: String },
    Return { book: BookId },
    MarkOverdue { book: BookId },
}

#[derive(Debug, Event)]
enum BookEvent {
    #[event(name = "library.book-lent")]
    Lent { book: BookId, reader: String },
    #[event(name = "library.book-returned")]
    Returned { book: BookId, reader: String },
    #[event(name = "library.book-overdue")]
    Overdue { book: BookId, reader: String },
}

#[derive(Debug, thiserror::Error)]
enum BookError {
    #[error("the book is lent to {reader}")]
    AlreadyLent { reader: String },
    #[error("the book is not lent")]
    NotLent,
}

#[aggregate(category = "book", id = BookId)]
impl Aggregate for Book {
    fn execute(&self, command: BookCommand) -> Result<Vec<BookEvent>, BookError> {
        match (command, self.lent_to.clone()) {
            (BookCommand::Lend { book, reader }, None) => {
                Ok(vec![BookEvent::Lent { book, reader }])
            }
            (BookCommand::Lend { .. }, Some(reader)) => Err(BookError::AlreadyLent { reader }),
            (BookCommand::Return { book }, Some(reader)) => {
                Ok(vec![BookEvent::Returned { book, reader }])
            }
            (BookCommand::MarkOverdue { book }, Some(reader)) => {
                Ok(vec![BookEvent::Overdue { book, reader }])
            }
            (BookCommand::Return { .. } | BookCommand::MarkOverdue { .. }, None) => {
                Err(BookError::NotLent)
            }
        }
    }

    fn apply(&mut self, event: &BookEvent) {
        match event {
            BookEvent::Lent { reader, .. } => self.lent_to = Some(reader.clone()),
            BookEvent::Returned { .. } => self.lent_to = None,
            BookEvent::Overdue { .. } => {}
        }
    }
}

// 2. A read model: the books that each reader has.

#[derive(Clone, Debug, Default)]
struct Loans(BTreeMap<String, Vec<BookId>>);

#[derive(ReadModel)]
#[read_model(name = "loans", version = 1, event = BookEvent)]
struct LoanProjector;

impl Projector<MemoryReadStore> for LoanProjector {
    async fn create(&self, tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
        tx.put(Loans::default());
        Ok(())
    }

    async fn project(
        &self,
        tx: &mut MemoryTransaction,
        event: &Recorded<BookEvent>,
    ) -> Result<(), ProjectError> {
        let loans = &mut tx.model::<Loans>()?.0;
        match &event.event {
            BookEvent::Lent { book, reader } => {
                loans.entry(reader.clone()).or_default().push(book.clone());
            }
            BookEvent::Returned { book, reader } => {
                loans.entry(reader.clone()).or_default().retain(|lent| lent != book);
            }
            BookEvent::Overdue { .. } => {}
        }
        Ok(())
    }
}

// 3. A process: after 30 days, a loan is overdue.

const LOAN_PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

struct WatchLoans;

impl ProcessManager for WatchLoans {
    type Event = BookEvent;
    type State = Option<BookId>;
    const NAME: &'static str = "watch_loans";

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Book>()
    }

    fn route(&self, event: &Recorded<BookEvent>) -> Vec<Route> {
        match &event.event {
            BookEvent::Lent { book, .. } | BookEvent::Returned { book, .. } => {
                vec![Route::start_or_continue(book)]
            }
            BookEvent::Overdue { .. } => vec![],
        }
    }

    fn apply(&self, lent: &mut Option<BookId>, event: &Recorded<BookEvent>) {
        *lent = match &event.event {
            BookEvent::Lent { book, .. } => Some(book.clone()),
            BookEvent::Returned { .. } | BookEvent::Overdue { .. } => None,
        };
    }

    fn react(&self, lent: &Option<BookId>, _: &Recorded<BookEvent>) -> Effects {
        match lent {
            Some(_) => Effects::new().start_timer("due", LOAN_PERIOD),
            None => Effects::new().cancel_timer("due"),
        }
    }

    fn on_timeout(&self, lent: &mut Option<BookId>, _: &Timeout) -> Effects {
        match lent.take() {
            Some(book) => Effects::new().dispatch(BookCommand::MarkOverdue { book }),
            None => Effects::new(),
        }
    }
}

// 4. An event handler: reminds the reader. A real one would send an e-mail, with the event's id as
//    the idempotency key, because a crash can make it handle the same event again.

struct RemindReaders;

impl EventHandler for RemindReaders {
    type Event = BookEvent;
    const NAME: &'static str = "remind_readers";

    async fn handle(
        &self,
        event: &Recorded<BookEvent>,
        _: &mut HandlerContext<'_>,
    ) -> Result<(), HandlerError> {
        if let BookEvent::Overdue { book, reader } = &event.event {
            println!("{reader}: please return {book} (reminder {})", event.version);
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 5. Start: the store, the application, then everything that follows its log. With the feature
    //    `postgres`, only these three stores change: `PgStore::builder()`, `PgReadStore::builder()`
    //    and `PgReadStore::for_processes()`, each with `.url(..).migrate().await?`.
    //    The clock is set by hand so that a month can pass at once; leave it out to use the system
    //    clock.
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let (read_store, process_store) = (MemoryReadStore::new(), MemoryReadStore::new());
    let loans = read_store.view::<Loans>("loans")?;
    let app = App::builder(store).clock(clock.clone()).build()?;
    let projections =
        Projections::builder(&app, read_store).projector(LoanProjector).start().await?;
    let processes = Processes::builder(&app, process_store)
        .clock(clock.clone())
        .poll_interval(Duration::from_millis(10))
        .process(WatchLoans)
        .handler(RemindReaders)
        .start()
        .await?;

    // 6. Work: a command, and a query that sees its effect.
    let timeout = Duration::from_secs(5);
    projections.wait_until_built("loans", timeout).await?;
    let loans_up_to_date = projections.waiter(["loans"])?;
    let (book, reader) = (BookId::new("the-trial")?, "Ada".to_owned());
    let lend = BookCommand::Lend { book: book.clone(), reader };
    let outcome = app.dispatch(lend).wait_for(&loans_up_to_date, timeout).await?;
    assert!(outcome.caught_up());
    println!("loans: {:?}", loans.get().ok_or("not built")?.0);

    // A month passes: the process marks the book as overdue, and the handler sends a reminder.
    processes.wait_for("watch_loans", outcome.position, timeout).await?;
    clock.advance(LOAN_PERIOD);
    let overdue = outcome.position.next();
    let waited = processes.wait_for("remind_readers", overdue, timeout).await?;
    assert_eq!(waited, Waited::CaughtUp);

    app.dispatch(BookCommand::Return { book }).wait_for(&loans_up_to_date, timeout).await?;
    println!("loans: {:?}", loans.get().ok_or("not built")?.0);

    // 7. Shut down, for example after `tokio::signal::ctrl_c().await`: stop accepting commands, then
    //    stop the consumers. Each finishes its transaction, saves its checkpoint and releases its
    //    leases, so that other nodes take over at once. `PgStore::close` comes last.
    processes.stop().await;
    projections.stop().await;
    Ok(())
}
