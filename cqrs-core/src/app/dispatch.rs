//! One command on its way: its options, the hooks around it, its deadline.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::Instrument;

use super::decide::{Decision, Options};
use super::middleware::{CommandContext, Done, Flow};
use super::{App, DispatchError, Outcome, stream_of};
use crate::panics::panic_message;
use crate::{
    Aggregate, Command, CommandId, CorrelationId, ExpectedVersion, Metadata, StoreError,
    StoreErrorKind, Waiter,
};

/// A command with its options, and the future that sends it: use `.await`, `tokio::spawn` or
/// `join_all`. Options have no effect after the first poll.
///
/// # Cancel safety
/// Dropping the future stores the command whole or not at all, and harms no other command. The
/// hooks behind it do not run then.
#[must_use = "a command does nothing until it is awaited"]
pub struct Dispatch<C: Command> {
    app: App,
    /// `None` after the first poll.
    command: Option<C>,
    options: Options<C::Aggregate>,
    /// `None` before the first poll.
    running: Option<Running<C::Aggregate>>,
}

type Answered<A> = Result<Outcome<A>, DispatchError<<A as Aggregate>::Error>>;
type Running<A> = Pin<Box<dyn Future<Output = Answered<A>> + Send>>;

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

    /// Gives the command an identity. A command that was accepted under it before is not decided
    /// again: its first outcome is the answer, also after a restart. Refusals are not kept.
    pub fn command_id(mut self, id: impl Into<CommandId>) -> Self {
        self.options.command_id = Some(id.into());
        self
    }

    /// Insists on a version, for example the one a form was shown with. When the aggregate has
    /// another one, the caller gets the conflict and nothing is decided again.
    pub fn expected_version(mut self, expected: impl Into<ExpectedVersion>) -> Self {
        self.options.expected = match expected.into() {
            ExpectedVersion::Any => None,
            insisted => Some(insisted),
        };
        self
    }

    /// Sets who asks, in which conversation, and why. Its command id is replaced by the
    /// command's own; correlation and causation default to that.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.options.metadata = metadata;
        self
    }

    /// Continues a conversation.
    pub fn correlation_id(mut self, id: impl Into<CorrelationId>) -> Self {
        self.options.metadata.correlation_id = Some(id.into());
        self
    }

    /// Gives up after this long, hooks before the command included. Whether something was stored
    /// is told by the error.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// Takes as long as it takes, whatever the application's default is.
    pub const fn no_deadline(mut self) -> Self {
        self.options.deadline = None;
        self
    }

    /// Decides again at most this often after a conflict.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.options.retries = retries;
        self
    }

    /// Waits, once the command took effect, until read models know it, but no longer than this,
    /// on top of any deadline. What came of it is in [`Outcome::waited`]: being late is not a
    /// failure of the command.
    pub fn wait_for(mut self, waiter: &Waiter, within: Duration) -> Self {
        self.options.wait = Some((waiter.clone(), within));
        self
    }

    /// For a command id that was most probably never used: it is looked for only when the command
    /// is refused, and by the append. Saves a question to the store.
    pub(crate) const fn probably_new(mut self, is_new: bool) -> Self {
        self.options.look_first = !is_new;
        self
    }

    /// Returns the state after the command with the outcome.
    pub fn with_state(mut self) -> Self
    where
        C::Aggregate: Clone,
    {
        self.options.copy = Some(C::Aggregate::clone);
        self
    }
}

impl<C: Command> Future for Dispatch<C> {
    type Output = Answered<C::Aggregate>;

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
    mut command: A::Command,
    mut options: Options<A>,
) -> Answered<A> {
    let stream = stream_of::<A>(&id).map_err(DispatchError::InvalidId)?;
    let command_id = options.command_id.unwrap_or_else(|| app.shared.ids.next().into());
    let mut metadata = std::mem::take(&mut options.metadata);
    metadata.command_id = Some(command_id);
    metadata.correlation_id.get_or_insert(command_id.as_uuid().into());
    metadata.causation_id.get_or_insert(command_id.into());

    let span = tracing::debug_span!("dispatch", %stream, %command_id);
    // A deadline beyond the end of time is none.
    let until = options.deadline.and_then(|within| Instant::now().checked_add(within));
    let mut decision = Decision { app: &app, stream, command_id, options, until };
    async {
        if app.shared.middleware.is_empty() {
            let answered = within(&decision, &AtomicBool::new(false), |sent| {
                decision.run(command, Arc::new(metadata), &|_| Ok(()), sent)
            })
            .await;
            return wait(answered, decision.options.wait.as_ref()).await;
        }
        let mut context = CommandContext {
            metadata: &mut metadata,
            command: &mut command,
            command_id,
            stream: decision.stream.clone(),
            expected: decision.options.expected,
            values: std::collections::HashMap::new(),
        };
        let mut asked = 0;
        let before = before(&app, &mut context, &mut asked);
        let answered = match within(&decision, &AtomicBool::new(false), |_| before).await {
            Err(error) => Err(error),
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => decide_as_changed(&mut decision, &mut context).await,
        };
        let answered = wait(answered, decision.options.wait.as_ref()).await;
        after(&app, &context, asked, &answered).await;
        answered
    }
    .instrument(span)
    .await
}

/// Waits for read models if that was asked for.
async fn wait<A: Aggregate>(
    mut answered: Answered<A>,
    wait: Option<&(Waiter, Duration)>,
) -> Answered<A> {
    if let (Ok(outcome), Some((waiter, within))) = (&mut answered, wait) {
        outcome.waited = Some(waiter.wait(outcome.position, *within).await);
    }
    answered
}

/// Decides the command as the hooks have left it: they may have changed it, its destination too.
async fn decide_as_changed<A: Aggregate>(
    decision: &mut Decision<'_, A>,
    context: &mut CommandContext<'_>,
) -> Answered<A> {
    let command = context.command::<A>().cloned().ok_or(DispatchError::WrongAnswer)?;
    decision.stream = stream_of::<A>(&command.aggregate_id()).map_err(DispatchError::InvalidId)?;
    context.stream = decision.stream.clone();
    context.metadata.command_id = Some(decision.command_id);
    let metadata = Arc::new(context.metadata.clone());
    let guard = |state: &A| {
        let mut hooks = decision.app.shared.middleware.iter();
        hooks.try_for_each(|hook| hook.before_execute(context, state))
    };
    within(decision, &AtomicBool::new(false), |sent| decision.run(command, metadata, &guard, sent))
        .await
}

/// Asks the hooks in front of the aggregate; counts those asked.
async fn before<A: Aggregate>(
    app: &App,
    context: &mut CommandContext<'_>,
    asked: &mut usize,
) -> Result<Option<Outcome<A>>, DispatchError<A::Error>> {
    for middleware in &app.shared.middleware {
        *asked += 1;
        match middleware.before(context).await.map_err(DispatchError::Denied)? {
            Flow::Continue => {}
            Flow::Answer(answer) => {
                let outcome = answer.0.downcast().map_err(|_| DispatchError::WrongAnswer)?;
                return Ok(Some(*outcome));
            }
        }
    }
    Ok(None)
}

async fn after<A: Aggregate>(
    app: &App,
    context: &CommandContext<'_>,
    asked: usize,
    answered: &Answered<A>,
) {
    let done = match answered {
        Ok(outcome) => Done::Accepted {
            version: outcome.version,
            position: outcome.position,
            events: outcome.events.len(),
            repeated: outcome.repeated,
        },
        Err(error) => Done::Failed(error),
    };
    for middleware in app.shared.middleware.iter().take(asked) {
        let hook = AssertUnwindSafe(middleware.after(context, done)).catch_unwind();
        if let Err(panic) = hook.await {
            let message = panic_message(&*panic);
            tracing::error!(?middleware, message, "a hook behind a command panicked");
        }
    }
}

/// Keeps the deadline and turns a panic into an error. `sent` is set while events are on their
/// way to the store, when giving up does not mean that nothing happens.
async fn within<'s, A: Aggregate, T, F>(
    decision: &Decision<'_, A>,
    sent: &'s AtomicBool,
    work: impl FnOnce(&'s AtomicBool) -> F,
) -> Result<T, DispatchError<A::Error>>
where
    F: Future<Output = Result<T, DispatchError<A::Error>>>,
{
    let unknown = |kind, message| DispatchError::OutcomeUnknown {
        command_id: decision.command_id,
        source: StoreError::new(kind, message),
    };
    let work = AssertUnwindSafe(work(sent)).catch_unwind();
    let done = match decision.until {
        None => work.await,
        Some(until) => match tokio::time::timeout_at(until, work).await {
            Ok(done) => done,
            Err(_) if sent.load(Ordering::Relaxed) => {
                let message = "no answer when the deadline passed".to_owned();
                return Err(unknown(StoreErrorKind::Timeout, message));
            }
            Err(_) => return Err(DispatchError::DeadlineExceeded),
        },
    };
    done.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        if sent.load(Ordering::Relaxed) {
            let message = format!("user code panicked: {message}");
            return Err(unknown(StoreErrorKind::Internal, message));
        }
        Err(DispatchError::Panicked { message })
    })
}
