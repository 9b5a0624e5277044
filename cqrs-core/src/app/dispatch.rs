//! Dispatching one command: its options, the middleware around it, its deadline.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::Instrument;

use super::decide::{Decision, Failure, Options, Request};
use super::middleware::{CommandContext, CommandResult, Flow};
use super::{App, DispatchError, Outcome, stream_of};
use crate::panics::panic_message;
use crate::{
    Aggregate, Command, CommandId, CorrelationId, ExpectedVersion, Metadata, StoreError,
    StoreErrorKind, Version, Waiter,
};

/// A command with its options, and the future that executes it. Created by [`App::dispatch`].
/// `.await` it, or pass it to `tokio::spawn` or `join_all`. Options have no effect after the first
/// poll.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use cqrs_core::{App, CommandId, ExpectedVersion, Metadata};
/// use cqrs_memory::MemoryStore;
///
/// let app = App::new(MemoryStore::new());
/// let id = CommandId::random();
/// let outcome = app
///     .dispatch(deposit("alice", 500))
///     .command_id(id)
///     .metadata(Metadata::default().with_actor("teller-7"))
///     .expected_version(ExpectedVersion::NoStream)
///     .deadline(Duration::from_secs(5))
///     .with_state()
///     .await?;
/// assert_eq!(outcome.state, Some(Account { cents: 500 }));
///
/// // The same command again is recognized by its id, and stores nothing.
/// let again = app.dispatch(deposit("alice", 500)).command_id(id).await?;
/// assert!(again.repeated);
/// assert_eq!(again.version, outcome.version);
///
/// // A spawned command finishes even if the caller is dropped:
/// let spawned = tokio::spawn(app.dispatch(withdraw("alice", 200)));
/// assert_eq!(spawned.await??.version.get(), 2);
/// # Ok(()) }
/// ```
///
/// # Cancel safety
/// If the future is dropped, the command has either taken effect as a whole or not at all, and
/// other commands are not affected. [`Middleware::after`](super::Middleware::after) does not run.
#[must_use = "a command does nothing until it is awaited"]
pub struct Dispatch<C: Command> {
    app: App,
    /// `None` after the first poll.
    command: Option<C>,
    options: Options<C::Aggregate>,
    /// `None` before the first poll.
    running: Option<Running<C::Aggregate>>,
}

type DispatchResult<A> = Result<Outcome<A>, Failure<A>>;
type Running<A> = Pin<Box<dyn Future<Output = DispatchResult<A>> + Send>>;

impl<C: Command> std::fmt::Debug for Dispatch<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatch")
            .field("category", &C::Aggregate::CATEGORY)
            .field("command_id", &self.options.command_id)
            .finish_non_exhaustive()
    }
}

impl<C: Command> Dispatch<C> {
    pub(super) fn new(app: App, command: C) -> Self {
        let (retries, deadline) = (app.shared.retries, app.shared.deadline);
        let options = Options { retries, deadline, ..Options::default() };
        Self { app, command: Some(command), options, running: None }
    }

    /// Returns a dispatch that does not reach the aggregate: its outcome has no events. The command
    /// is recorded elsewhere.
    pub(crate) fn unsent(app: App, id: &<C::Aggregate as Aggregate>::Id) -> Self {
        let command_id = app.shared.ids.next().into();
        let outcome = stream_of::<C::Aggregate>(id)
            .map(|stream| Outcome::unchanged(stream, Version::ZERO, command_id))
            .map_err(DispatchError::InvalidId);
        let running: Running<C::Aggregate> = Box::pin(std::future::ready(outcome));
        Self { app, command: None, options: Options::default(), running: Some(running) }
    }

    /// Gives the command an id, so that sending it again is harmless. If a command with this id was
    /// accepted before, it is not decided again and its first outcome is returned, even after a
    /// restart. Rejections are not recorded. Default: a new id, which is not recorded.
    pub fn command_id(mut self, id: impl Into<CommandId>) -> Self {
        self.options.command_id = Some(id.into());
        self
    }

    /// Requires that the aggregate is at a version, for example the one that the user saw when
    /// filling in a form. If it is not, the dispatch fails with
    /// [`DispatchError::Conflict`](super::DispatchError::Conflict) instead of deciding again.
    /// Default: [`ExpectedVersion::Any`].
    pub fn expected_version(mut self, expected: impl Into<ExpectedVersion>) -> Self {
        self.options.expected = match expected.into() {
            ExpectedVersion::Any => None,
            required => Some(required),
        };
        self
    }

    /// Sets the metadata of the command and its events: who sent it, in which conversation, and
    /// why. The command id in it is overwritten. The correlation and causation ids default to the
    /// command's id.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.options.metadata = metadata;
        self
    }

    /// Sets the conversation that the command belongs to. Default: a new one.
    pub fn correlation_id(mut self, id: impl Into<CorrelationId>) -> Self {
        self.options.metadata.correlation_id = Some(id.into());
        self
    }

    /// Limits how long the dispatch takes, including [`before`](super::Middleware::before) of all
    /// middleware. The error says whether anything may have been stored:
    /// [`DeadlineExceeded`](super::DispatchError::DeadlineExceeded) or
    /// [`OutcomeUnknown`](super::DispatchError::OutcomeUnknown). Default: the
    /// [application's](super::AppBuilder::deadline).
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// Removes the application's deadline for this command.
    pub const fn no_deadline(mut self) -> Self {
        self.options.deadline = None;
        self
    }

    /// Sets how many times the command is decided again after a conflict. Default: the
    /// [application's](super::AppBuilder::retries).
    pub const fn retries(mut self, retries: u32) -> Self {
        self.options.retries = retries;
        self
    }

    /// After the command has taken effect, waits until read models show it, for at most `timeout`.
    /// The deadline does not include this time. [`Outcome::waited`] contains the result; a timeout
    /// is not a failure of the command. Default: does not wait.
    pub fn wait_for(mut self, waiter: &Waiter, timeout: Duration) -> Self {
        self.options.wait = Some((waiter.clone(), timeout));
        self
    }

    /// Marks a command id as most probably unused. It is then looked up only by the append and
    /// after a rejection, which saves a query.
    pub(crate) const fn probably_new(mut self, is_new: bool) -> Self {
        self.options.look_first = !is_new;
        self
    }

    /// Returns the state after the command in [`Outcome::state`]. Default: `None`.
    pub fn with_state(mut self) -> Self
    where
        C::Aggregate: Clone,
    {
        self.options.copy = Some(C::Aggregate::clone);
        self
    }
}

impl<C: Command> Future for Dispatch<C> {
    type Output = DispatchResult<C::Aggregate>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(command) = self.command.take() {
            // All code after this is compiled once for each aggregate, not for each command.
            let id = command.aggregate_id();
            let options = std::mem::take(&mut self.options);
            let running = run(self.app.clone(), id, command.into_command(), options);
            self.running = Some(Box::pin(running));
        }
        match &mut self.running {
            Some(running) => running.as_mut().poll(cx),
            None => unreachable!("the command was there until the first poll"),
        }
    }
}

// The command is never pinned: it is moved into the future that runs it.
impl<C: Command> Unpin for Dispatch<C> {}

async fn run<A: Aggregate>(
    app: App,
    id: A::Id,
    command: A::Command,
    mut options: Options<A>,
) -> DispatchResult<A> {
    let stream = stream_of::<A>(&id).map_err(DispatchError::InvalidId)?;
    let command_id = options.command_id.unwrap_or_else(|| app.shared.ids.next().into());
    let mut metadata = std::mem::take(&mut options.metadata);
    metadata.command_id = Some(command_id);
    metadata.correlation_id.get_or_insert(command_id.as_uuid().into());
    metadata.causation_id.get_or_insert(command_id.into());

    let span = tracing::debug_span!("dispatch", %stream, %command_id);
    // A deadline too far away to represent counts as none.
    let until = options.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
    let decision = Decision { app: &app, stream, command_id, options, until };
    async {
        if app.shared.middleware.is_empty() {
            let result = supervised(&decision, &AtomicBool::new(false), |sent| {
                let metadata = Arc::new(metadata);
                decision.run(Request { command, metadata, check: &|_| Ok(()), sent })
            })
            .await;
            return wait(result, decision.options.wait.as_ref()).await;
        }
        run_with_middleware(decision, command, metadata).await
    }
    .instrument(span)
    .await
}

async fn run_with_middleware<A: Aggregate>(
    mut decision: Decision<'_, A>,
    mut command: A::Command,
    mut metadata: Metadata,
) -> DispatchResult<A> {
    let app = decision.app;
    let mut context = CommandContext {
        metadata: &mut metadata,
        command: &mut command,
        command_id: decision.command_id,
        stream: decision.stream.clone(),
        expected: decision.options.expected,
        values: HashMap::new(),
    };
    let mut entered = 0;
    let before = before(app, &mut context, &mut entered);
    let result = match supervised(&decision, &AtomicBool::new(false), |_| before).await {
        Err(error) => Err(error),
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => decide_as_changed(&mut decision, &mut context).await,
    };
    let result = wait(result, decision.options.wait.as_ref()).await;
    after(app, &context, entered, &result).await;
    result
}

/// Waits for read models if the caller asked for it.
async fn wait<A: Aggregate>(
    mut result: DispatchResult<A>,
    wait: Option<&(Waiter, Duration)>,
) -> DispatchResult<A> {
    if let (Ok(outcome), Some((waiter, timeout))) = (&mut result, wait) {
        outcome.waited = Some(waiter.wait(outcome.position, *timeout).await);
    }
    result
}

/// Decides the command. Middleware may have changed it, including its aggregate id.
async fn decide_as_changed<A: Aggregate>(
    decision: &mut Decision<'_, A>,
    context: &mut CommandContext<'_>,
) -> DispatchResult<A> {
    let Some(command) = context.command::<A>().cloned() else {
        return Err(DispatchError::WrongAnswer { stream: decision.stream.clone() });
    };
    decision.stream = stream_of::<A>(&command.aggregate_id()).map_err(DispatchError::InvalidId)?;
    context.stream = decision.stream.clone();
    context.metadata.command_id = Some(decision.command_id);
    let metadata = Arc::new(context.metadata.clone());
    let check = |state: &A| {
        let mut all = decision.app.shared.middleware.iter();
        all.try_for_each(|middleware| middleware.before_execute(context, state))
    };
    supervised(decision, &AtomicBool::new(false), |sent| {
        decision.run(Request { command, metadata, check: &check, sent })
    })
    .await
}

/// Runs `before` of each middleware until one denies or answers the command, and counts in
/// `entered` how many ran.
async fn before<A: Aggregate>(
    app: &App,
    context: &mut CommandContext<'_>,
    entered: &mut usize,
) -> Result<Option<Outcome<A>>, Failure<A>> {
    for middleware in &app.shared.middleware {
        *entered += 1;
        match middleware.before(context).await.map_err(DispatchError::Denied)? {
            Flow::Continue => {}
            Flow::Answer(answer) => {
                let stream = context.stream.clone();
                let outcome =
                    answer.0.downcast().map_err(|_| DispatchError::WrongAnswer { stream })?;
                return Ok(Some(*outcome));
            }
        }
    }
    Ok(None)
}

/// Runs `after` of each middleware whose `before` ran.
async fn after<A: Aggregate>(
    app: &App,
    context: &CommandContext<'_>,
    entered: usize,
    result: &DispatchResult<A>,
) {
    let result = match result {
        Ok(outcome) => CommandResult::Accepted {
            version: outcome.version,
            position: outcome.position,
            events: outcome.events.len(),
            repeated: outcome.repeated,
        },
        Err(error) => CommandResult::Failed(error),
    };
    for middleware in app.shared.middleware.iter().take(entered) {
        let after = AssertUnwindSafe(middleware.after(context, result)).catch_unwind();
        if let Err(panic) = after.await {
            let message = panic_message(&*panic);
            tracing::error!(?middleware, message, "middleware panicked after a command");
        }
    }
}

/// Enforces the deadline and turns a panic into an error. `sent` is set while events are being sent
/// to the store: if the work ends early during that time, the events may still be stored.
async fn supervised<'s, A: Aggregate, T, F>(
    decision: &Decision<'_, A>,
    sent: &'s AtomicBool,
    work: impl FnOnce(&'s AtomicBool) -> F,
) -> Result<T, Failure<A>>
where
    F: Future<Output = Result<T, Failure<A>>>,
{
    let stream = || decision.stream.clone();
    let unknown = |kind, message| DispatchError::OutcomeUnknown {
        stream: stream(),
        command_id: decision.command_id,
        source: StoreError::new(kind, message),
    };
    let work = AssertUnwindSafe(work(sent)).catch_unwind();
    let finished = match decision.until {
        None => work.await,
        Some(until) => match tokio::time::timeout_at(until, work).await {
            Ok(finished) => finished,
            Err(_) if sent.load(Ordering::Relaxed) => {
                let message = "no answer from the store before the deadline".to_owned();
                return Err(unknown(StoreErrorKind::Timeout, message));
            }
            Err(_) => return Err(DispatchError::DeadlineExceeded { stream: stream() }),
        },
    };
    finished.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        if sent.load(Ordering::Relaxed) {
            let message = format!("user code panicked: {message}");
            return Err(unknown(StoreErrorKind::Internal, message));
        }
        Err(DispatchError::Panicked { stream: stream(), message })
    })
}
