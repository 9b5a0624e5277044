//! Middleware around a command.

use std::sync::{Arc, Mutex};

use super::fresh::{Store, fresh};
use cqrs::{app::*, store::*};

use super::ledger::{Change, Ledger, What, change, put, take};

type Journal = Arc<Mutex<Vec<String>>>;

/// Records the calls that it receives.
#[derive(Debug)]
struct Scribe(&'static str, Journal);

impl Middleware for Scribe {
    async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
        self.1.lock().unwrap().push(format!("{} before {}", self.0, context.stream()));
        Ok(Flow::Continue)
    }

    async fn after(&self, _: &CommandContext<'_>, result: CommandResult<'_>) {
        let line = match result {
            CommandResult::Accepted { version, events, .. } => {
                format!("{} after v{version} +{events}", self.0)
            }
            CommandResult::Failed(error) => format!("{} after {error}", self.0),
            _ => unreachable!(),
        };
        self.1.lock().unwrap().push(line);
    }
}

/// A middleware made from a function.
#[derive(Clone, Copy)]
struct Before(fn(&mut CommandContext<'_>) -> Result<Flow, Denial>);

impl std::fmt::Debug for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Before")
    }
}

impl Middleware for Before {
    async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
        (self.0)(context)
    }
}

async fn with(
    before: fn(&mut CommandContext<'_>) -> Result<Flow, Denial>,
) -> (App, Store, Journal) {
    let (store, journal) = (fresh().await, Journal::default());
    let app = App::builder(store.clone())
        .middleware(Scribe("first", journal.clone()))
        .middleware(Before(before))
        .middleware(Scribe("last", journal.clone()))
        .build()
        .unwrap();
    (app, store, journal)
}

fn lines(journal: &Journal) -> Vec<String> {
    std::mem::take(&mut *journal.lock().unwrap())
}

#[tokio::test]
async fn middleware_runs_once_in_order_and_sees_the_result() {
    let (app, _, journal) = with(|_| Ok(Flow::Continue)).await;
    app.dispatch(put("a", 1)).await.unwrap();
    let expected =
        ["first before ledger-a", "last before ledger-a", "first after v1 +1", "last after v1 +1"];
    assert_eq!(lines(&journal), expected);
    app.dispatch(take("a", 2)).await.unwrap_err();
    assert_eq!(
        lines(&journal)[2..],
        ["first after 2 wanted, 1 left", "last after 2 wanted, 1 left"]
    );
    app.dispatch(change("a", What::Panic)).await.unwrap_err();
    assert_eq!(lines(&journal)[2], "first after a command for `ledger-a` panicked: the rule broke");
}

#[tokio::test]
async fn a_denial_stops_the_command_and_later_middleware() {
    let (app, store, journal) = with(|context| {
        assert_eq!(context.command::<Ledger>().unwrap().what, What::Panic);
        Err(Denial::new("not today").field("amount", "is odd"))
    })
    .await;
    let error = app.dispatch(change("a", What::Panic)).await.unwrap_err();
    let DispatchError::Denied(denial) = error else { panic!("{error}") };
    assert_eq!(denial.to_string(), "not today; amount: is odd");
    assert_eq!(lines(&journal), ["first before ledger-a", "first after not today; amount: is odd"]);
    assert_eq!(store.head().await.unwrap(), Position::START);
}

#[tokio::test]
async fn middleware_can_answer_in_place_of_the_aggregate() {
    let (app, store, journal) = with(|context| {
        let (stream, id) = (context.stream().clone(), context.command_id());
        Ok(Flow::answer(Outcome::<Ledger>::unchanged(stream, Version::new(7), id)))
    })
    .await;
    let outcome = app.dispatch(change("a", What::Panic)).await.unwrap();
    assert_eq!(outcome.version, Version::new(7));
    assert_eq!(lines(&journal), ["first before ledger-a", "first after v7 +0"]);
    assert_eq!(store.head().await.unwrap(), Position::START);
}

#[tokio::test]
async fn middleware_can_change_the_command_its_aggregate_and_its_metadata() {
    let (app, _, journal) = with(|context| {
        context.metadata.headers.insert("tenant".into(), "t1".into());
        let command: &mut Change = context.command_mut::<Ledger>().unwrap();
        *command = put("b", 2);
        Ok(Flow::Continue)
    })
    .await;
    let outcome = app.dispatch(put("a", 1)).with_state().await.unwrap();
    assert_eq!(outcome.stream.as_str(), "ledger-b");
    assert_eq!(outcome.state, Some(Ledger { sum: 2 }));
    assert_eq!(outcome.events[0].metadata.headers["tenant"], "t1");
    assert_eq!(lines(&journal).len(), 4);
}

#[derive(Debug)]
struct Stopwatch(Journal);

impl Middleware for Stopwatch {
    async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
        context.insert(41_u32);
        Ok(Flow::Continue)
    }
    async fn after(&self, context: &CommandContext<'_>, _: CommandResult<'_>) {
        let json = context.command_json().unwrap();
        let line = format!("{} {}", context.get::<u32>().unwrap() + 1, json.as_str());
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn after_sees_the_values_kept_in_before_and_the_command_as_json() {
    let journal = Journal::default();
    let app = App::builder(fresh().await).middleware(Stopwatch(journal.clone())).build().unwrap();
    app.dispatch(put("a", 1)).await.unwrap();
    assert_eq!(lines(&journal), [r#"42 {"ledger":"a","what":{"Put":1}}"#]);
}

#[derive(Debug)]
struct Broken;

impl Middleware for Broken {
    async fn after(&self, _: &CommandContext<'_>, _: CommandResult<'_>) {
        panic!("the audit log is full");
    }
}

#[tokio::test]
async fn a_panic_in_after_does_not_affect_the_command() {
    let journal = Journal::default();
    let app = App::builder(fresh().await)
        .middleware(Broken)
        .middleware(Scribe("last", journal.clone()))
        .build()
        .unwrap();
    app.dispatch(put("a", 1)).await.unwrap();
    assert_eq!(lines(&journal)[1], "last after v1 +1");
}

#[tokio::test]
async fn a_panic_in_before_is_an_error_for_the_caller() {
    let (app, store, _) = with(|_| panic!("no rules loaded")).await;
    let error = app.dispatch(put("a", 1)).await.unwrap_err();
    assert!(
        matches!(&error, DispatchError::Panicked { message, .. } if message == "no rules loaded")
    );
    assert_eq!(store.head().await.unwrap(), Position::START);
}

/// Denies taking from a ledger that is nearly empty.
#[derive(Debug)]
struct Reserve(Journal);

impl Middleware for Reserve {
    fn before_execute(
        &self,
        context: &CommandContext<'_>,
        state: &(dyn std::any::Any + Send + Sync),
    ) -> Result<(), Denial> {
        let sum = state.downcast_ref::<Ledger>().unwrap().sum;
        self.0.lock().unwrap().push(format!("{} holds {sum}", context.stream()));
        match context.command::<Ledger>().unwrap().what {
            What::Take(_) if sum < 10 => Err(Denial::new("the reserve must not be spent")),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn middleware_can_deny_a_command_because_of_the_state() {
    let journal = Journal::default();
    let store = fresh().await;
    let app = App::builder(store.clone()).middleware(Reserve(journal.clone())).build().unwrap();
    app.dispatch(put("a", 10)).await.unwrap();
    app.dispatch(take("a", 2)).await.unwrap();
    let error = app.dispatch(take("a", 2)).await.unwrap_err();
    assert!(matches!(error, DispatchError::Denied(_)));
    assert_eq!(lines(&journal), ["ledger-a holds 0", "ledger-a holds 10", "ledger-a holds 8"]);

    // A denial is not based on a cached state.
    App::new(store).dispatch(put("a", 100)).await.unwrap();
    app.dispatch(take("a", 2)).await.unwrap();
    assert_eq!(lines(&journal), ["ledger-a holds 8", "ledger-a holds 108"]);
}

#[tokio::test]
async fn an_invalid_id_set_by_middleware_is_reported_to_after() {
    let (app, _, journal) = with(|context| {
        context.metadata.command_id = None;
        *context.command_mut::<Ledger>().unwrap() = put("", 1);
        Ok(Flow::Continue)
    })
    .await;
    let error = app.dispatch(put("a", 1)).await.unwrap_err();
    assert!(matches!(error, DispatchError::InvalidId(_)), "{error}");
    assert_eq!(lines(&journal)[2..].len(), 2, "`after` ran for both");
}

#[tokio::test]
async fn middleware_cannot_remove_the_command_id() {
    let (app, _, _) = with(|context| {
        context.metadata.command_id = None;
        Ok(Flow::Continue)
    })
    .await;
    let outcome = app.dispatch(put("a", 1)).await.unwrap();
    assert_eq!(outcome.events[0].metadata.command_id, Some(outcome.command_id));
}
