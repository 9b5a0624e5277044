//! When this event, then a handler sends these commands.

use std::fmt::Display;
use std::time::Duration;

use cqrs_core::process::{HandlerError, testing};
use cqrs_core::{
    App, Command, CommandId, Effects, EventHandler, EventStore, Position, StreamName, Timestamp,
    Version, error_chain,
    store::{
        Append, AppendError, Appended, CommandRecord, LogRead, Pages, ReadError, StoreError,
        StoreErrorKind, StreamInfo, StreamListing, StreamQuery, StreamRead, async_trait,
    },
};
use futures_util::{StreamExt, stream};

use crate::aggregate::fail;
use crate::recorded::{Recorder, STREAM};

/// Starts a test of an event handler.
///
/// The commands that the handler sends are recorded and not executed. Each dispatch returns an
/// outcome without events.
///
/// ```
/// # use cqrs::{Aggregate, Command, Event, aggregate};
/// use cqrs::{EventHandler, Recorded, process::{HandlerContext, HandlerError}};
/// use cqrs_testing::given_handler;
/// # use serde::{Deserialize, Serialize};
/// #
/// # #[derive(Clone, Serialize, Deserialize, Command)]
/// # #[command(aggregate = Flags, id = account)]
/// # struct Flag { account: String }
/// # #[derive(Event)]
/// # #[event(name = "flags.flagged")]
/// # struct Flagged {}
/// # #[derive(Default)]
/// # struct Flags;
/// # #[aggregate(category = "flags", id = String)]
/// # impl Aggregate for Flags {
/// #     fn execute(&self, _: Flag) -> Result<Vec<Flagged>, std::convert::Infallible> { Ok(vec![Flagged {}]) }
/// #     fn apply(&mut self, _: &Flagged) {}
/// # }
///
/// #[derive(Event)]
/// #[event(name = "account.withdrawn")]
/// struct Withdrawn { cents: i64 }
///
/// struct FlagLargeWithdrawals;
///
/// impl EventHandler for FlagLargeWithdrawals {
///     type Event = Withdrawn;
///     const NAME: &'static str = "flag_large_withdrawals";
///
///     async fn handle(
///         &self,
///         event: &Recorded<Withdrawn>,
///         context: &mut HandlerContext<'_>,
///     ) -> Result<(), HandlerError> {
///         if event.event.cents > 1_000_000 {
///             context.dispatch(Flag { account: event.stream.to_string() }).await?;
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// given_handler(FlagLargeWithdrawals)
///     .when(Withdrawn { cents: 500 })
///     .await
///     .then_nothing()
///     .when_in("account-7", Withdrawn { cents: 2_000_000 })
///     .await
///     .then_dispatched([Flag { account: "account-7".into() }]);
/// # }
/// ```
pub fn given_handler<H: EventHandler>(handler: H) -> GivenHandler<H> {
    let recorder = Recorder::new();
    GivenHandler {
        handler,
        app: App::new(Empty),
        recorder,
        commands: Effects::new(),
        result: Ok(()),
    }
}

/// An event handler under test; see [`given_handler`].
#[derive(Debug)]
pub struct GivenHandler<H> {
    handler: H,
    app: App,
    recorder: Recorder,
    commands: Effects,
    result: Result<(), HandlerError>,
}

impl<H: EventHandler> GivenHandler<H> {
    /// Sets the application that [`HandlerContext::app`](cqrs_core::process::HandlerContext::app)
    /// returns, for handlers that load something. Commands are recorded and not sent to it.
    /// Default: an application over an empty store that accepts no appends.
    #[must_use]
    pub fn app(mut self, app: App) -> Self {
        self.app = app;
        self
    }

    /// Moves the time of later events forward.
    #[must_use]
    pub fn after(mut self, duration: Duration) -> Self {
        self.recorder.now = self.recorder.now.plus(duration);
        self
    }

    /// Calls the handler with an event.
    #[must_use = "nothing is tested before `then`"]
    pub async fn when(self, event: H::Event) -> Self {
        self.when_in(STREAM, event).await
    }

    /// Calls the handler with an event in a stream.
    ///
    /// # Panics
    /// Panics if the name of the stream is invalid.
    #[must_use = "nothing is tested before `then`"]
    pub async fn when_in(mut self, stream: impl Display, event: H::Event) -> Self {
        let event = self.recorder.record(stream, event);
        (self.commands, self.result) = testing::handle(&self.handler, &event, &self.app).await;
        self
    }

    /// Asserts that the handler succeeded and sent exactly these commands, in this order.
    #[track_caller]
    pub fn then_dispatched<C: Command>(self, expected: impl IntoIterator<Item = C>) -> Self {
        self.then(expected.into_iter().fold(Effects::new(), Effects::dispatch))
    }

    /// Asserts that the handler succeeded and sent exactly these commands, which may be for several
    /// aggregates.
    #[track_caller]
    pub fn then(self, expected: Effects) -> Self {
        if let Err(error) = &self.result {
            panic!("the handler failed: {}", error_chain(&**error));
        }
        if self.commands != expected {
            fail(&expected, &self.commands);
        }
        self
    }

    /// Asserts that the handler succeeded and sent no commands.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        self.then(Effects::new())
    }

    /// Asserts that the handler failed, and passes its error to a function, which can assert on it.
    #[track_caller]
    pub fn then_error(self, look: impl FnOnce(&HandlerError)) -> Self {
        match &self.result {
            Err(error) => look(error),
            Ok(()) => panic!("the handler succeeded with {:#?}", self.commands),
        }
        self
    }
}

/// A store without events, for handlers that look nothing up.
#[derive(Debug)]
struct Empty;

#[async_trait]
impl EventStore for Empty {
    async fn append(&self, _: Append) -> Result<Appended, AppendError> {
        let message = "the store of `given_handler` accepts no appends; pass an `app`";
        Err(StoreError::new(StoreErrorKind::Internal, message).into())
    }

    fn read_stream(&self, read: StreamRead) -> Pages<Version> {
        let missing = ReadError::StreamNotFound { stream: read.stream };
        stream::iter([Err(missing)]).boxed()
    }

    fn read_log(&self, _: LogRead) -> Pages<Position> {
        let empty = cqrs_core::store::Page::new(Vec::new(), Position::START);
        stream::iter([Ok(empty)]).boxed()
    }

    async fn head(&self) -> Result<Position, StoreError> {
        Ok(Position::START)
    }

    async fn wait_for_head_after(&self, _: Position) {
        std::future::pending().await
    }

    async fn stream_info(&self, _: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        Ok(None)
    }

    async fn list_streams(&self, _: StreamQuery) -> Result<StreamListing, StoreError> {
        Ok(StreamListing::new(Vec::new(), 0))
    }

    async fn find_command(&self, _: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        Ok(None)
    }

    async fn forget_commands(&self, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests fail by panicking
mod tests {
    use super::*;
    use cqrs::{
        Aggregate, Event, Recorded, aggregate, memory::MemoryStore, process::HandlerContext,
    };
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Serialize, Deserialize, cqrs::Command)]
    #[command(aggregate = Tally, id = tally)]
    struct Count {
        tally: String,
    }

    #[derive(Event)]
    #[event(name = "tally.counted")]
    struct Counted {}

    #[derive(Default)]
    struct Tally(u32);

    #[aggregate(category = "tally", id = String)]
    impl Aggregate for Tally {
        fn execute(&self, _: Count) -> Result<Vec<Counted>, std::convert::Infallible> {
            Ok(vec![Counted {}])
        }
        fn apply(&mut self, _: &Counted) {
            self.0 += 1;
        }
    }

    /// Counts in another tally until that one has two, then fails.
    struct Copy;

    impl EventHandler for Copy {
        type Event = Counted;
        const NAME: &'static str = "copy";

        async fn handle(
            &self,
            _: &Recorded<Counted>,
            context: &mut HandlerContext<'_>,
        ) -> Result<(), HandlerError> {
            let other = "copy".to_owned();
            if context.app().load::<Tally>(&other).await?.state().0 >= 2 {
                return Err("full".into());
            }
            let outcome = context.dispatch(Count { tally: other }).await?;
            assert_eq!(outcome.stream.as_str(), "tally-copy");
            Ok(())
        }
    }

    fn count() -> Count {
        Count { tally: "copy".into() }
    }

    #[tokio::test]
    async fn commands_are_recorded_and_not_executed() {
        let app = App::new(MemoryStore::new());
        let given = given_handler(Copy).app(app.clone());
        let given = given.when(Counted {}).await.then_dispatched([count()]);
        assert_eq!(app.load::<Tally>(&"copy".into()).await.unwrap().state().0, 0);
        app.dispatch(count()).await.unwrap();
        app.dispatch(count()).await.unwrap();
        let failed = given.when(Counted {}).await;
        failed.then_error(|error| assert_eq!(error.to_string(), "full"));
    }

    #[tokio::test]
    #[should_panic(expected = "-     list: [],")]
    async fn an_unexpected_command_fails_the_test() {
        let _ = given_handler(Copy).when(Counted {}).await.then_nothing();
    }

    #[tokio::test]
    #[should_panic(expected = "the handler succeeded")]
    async fn an_unexpected_success_fails_the_test() {
        let _ = given_handler(Copy).when(Counted {}).await.then_error(|_| {});
    }
}
