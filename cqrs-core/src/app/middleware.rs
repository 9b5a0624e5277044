//! Code that runs around every command: checks, permissions, audit, metrics.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::future::ready;

use async_trait::async_trait;

use super::{Denial, Outcome};
use crate::{
    Aggregate, CommandId, ExpectedVersion, Metadata, Payload, PayloadError, Position, StreamName,
    Version,
};

/// Runs before each command is decided and after it has finished.
///
/// All methods have defaults. Implement those you need as plain `async fn`s:
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::{App, Metadata};
/// use cqrs_core::app::{CommandContext, Denial, DispatchError, Flow, Middleware};
/// use cqrs_memory::MemoryStore;
///
/// #[derive(Debug)]
/// struct TellersOnly;
///
/// impl Middleware for TellersOnly {
///     async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
///         match &context.metadata.actor {
///             Some(actor) if actor.starts_with("teller-") => Ok(Flow::Continue),
///             _ => Err(Denial::new("only tellers may do this")),
///         }
///     }
/// }
///
/// let app = App::builder(MemoryStore::new()).middleware(TellersOnly).build()?;
/// let denied = app.dispatch(deposit("alice", 500)).await;
/// assert!(matches!(denied, Err(DispatchError::Denied(_))));
///
/// let by_a_teller = Metadata::default().with_actor("teller-7");
/// app.dispatch(deposit("alice", 500)).metadata(by_a_teller).await?;
/// # Ok(()) }
/// ```
///
/// Do not add `#[async_trait]`: the compiler then reports that the lifetime parameters of the method
/// do not match the trait.
///
/// # Order
///
/// Middleware runs in the order in which it was added, both before and after the command, and once
/// per dispatch. If a `before` denies or answers the command, neither later middleware nor the
/// aggregate sees it, and `after` runs only for the middleware whose `before` ran.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a middleware",
    label = "this type does not implement `Middleware`",
    note = "implement `Middleware` for `{Self}`; its methods are plain `async fn`s, without `#[async_trait]`"
)]
pub trait Middleware: fmt::Debug + Send + Sync + 'static {
    /// Runs before the aggregate is loaded. May change the command and its metadata, answer in
    /// place of the aggregate, or deny the command. Default: continues.
    ///
    /// # Errors
    /// Returns a [`Denial`] to deny the command. Nothing is stored, and the caller receives
    /// [`DispatchError::Denied`](super::DispatchError::Denied).
    fn before(
        &self,
        context: &mut CommandContext<'_>,
    ) -> impl Future<Output = Result<Flow, Denial>> + Send {
        let _ = context;
        ready(Ok(Flow::Continue))
    }

    /// Runs after the aggregate was loaded and before it decides. `state` is the aggregate:
    /// `state.downcast_ref::<Account>()`. Runs again for each attempt, so it is synchronous and
    /// must not have side effects. Default: allows every command.
    ///
    /// # Errors
    /// Returns a [`Denial`] to deny the command, as [`before`](Self::before) does.
    fn before_execute(
        &self,
        context: &CommandContext<'_>,
        state: &(dyn Any + Send + Sync),
    ) -> Result<(), Denial> {
        let _ = (context, state);
        Ok(())
    }

    /// Runs after the command succeeded or failed, and cannot change its result. A panic here is
    /// logged and otherwise ignored. Does not run if the caller drops the dispatch. Default: does
    /// nothing.
    fn after(
        &self,
        context: &CommandContext<'_>,
        result: CommandResult<'_>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (context, result);
        ready(())
    }
}

/// The form of [`Middleware`] that an application holds: object-safe, with boxed futures.
#[async_trait]
pub(super) trait DynMiddleware: fmt::Debug + Send + Sync {
    async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial>;
    fn before_execute(
        &self,
        context: &CommandContext<'_>,
        state: &(dyn Any + Send + Sync),
    ) -> Result<(), Denial>;
    async fn after(&self, context: &CommandContext<'_>, result: CommandResult<'_>);
}

#[async_trait]
impl<M: Middleware> DynMiddleware for M {
    async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
        Middleware::before(self, context).await
    }
    fn before_execute(
        &self,
        context: &CommandContext<'_>,
        state: &(dyn Any + Send + Sync),
    ) -> Result<(), Denial> {
        Middleware::before_execute(self, context, state)
    }
    async fn after(&self, context: &CommandContext<'_>, result: CommandResult<'_>) {
        Middleware::after(self, context, result).await;
    }
}

/// What happens to a command after a [`Middleware`] has seen it.
#[derive(Debug)]
pub enum Flow {
    /// Passes the command on to the next middleware, and finally to the aggregate.
    Continue,
    /// Ends the dispatch with this answer; see [`Flow::answer`].
    Answer(Answer),
}

impl Flow {
    /// Ends the dispatch with an outcome in place of the aggregate's.
    ///
    /// The outcome must belong to the kind of aggregate that the command addresses; otherwise the
    /// caller receives [`DispatchError::WrongAnswer`](super::DispatchError::WrongAnswer).
    ///
    /// ```
    /// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cqrs_core::app::{CommandContext, Denial, Flow, Middleware};
    /// use cqrs_core::{App, Outcome, Version};
    /// use cqrs_memory::MemoryStore;
    ///
    /// /// Accepts commands to accounts without executing them.
    /// #[derive(Debug)]
    /// struct DryRun;
    ///
    /// impl Middleware for DryRun {
    ///     async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
    ///         let (stream, id) = (context.stream().clone(), context.command_id());
    ///         Ok(Flow::answer(Outcome::<Account>::unchanged(stream, Version::ZERO, id)))
    ///     }
    /// }
    ///
    /// let app = App::builder(MemoryStore::new()).middleware(DryRun).build()?;
    /// let outcome = app.dispatch(deposit("alice", 500)).await?;
    /// assert!(outcome.events.is_empty());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn answer<A: Aggregate>(outcome: Outcome<A>) -> Self {
        Self::Answer(Answer(Box::new(outcome)))
    }
}

/// The [`Outcome`] of an aggregate of any kind. Created by [`Flow::answer`].
pub struct Answer(pub(super) Box<dyn Any + Send + Sync>);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

/// The result of a command, as [`Middleware::after`] sees it.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use cqrs_core::App;
/// use cqrs_core::app::{CommandContext, CommandResult, Middleware};
/// use cqrs_memory::MemoryStore;
///
/// #[derive(Clone, Debug, Default)]
/// struct StoredEvents(Arc<AtomicUsize>);
///
/// impl Middleware for StoredEvents {
///     async fn after(&self, _: &CommandContext<'_>, result: CommandResult<'_>) {
///         if let CommandResult::Accepted { events, .. } = result {
///             self.0.fetch_add(events, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let stored = StoredEvents::default();
/// let app = App::builder(MemoryStore::new()).middleware(stored.clone()).build()?;
/// app.dispatch(deposit("alice", 500)).await?;
/// app.dispatch(withdraw("alice", 900)).await.unwrap_err();
/// assert_eq!(stored.0.load(Ordering::Relaxed), 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum CommandResult<'a> {
    /// The command took effect.
    #[non_exhaustive]
    Accepted {
        /// The version of the aggregate after the command.
        version: Version,
        /// The position of the last event, or [`Position::START`] if there was none.
        position: Position,
        /// The number of events.
        events: usize,
        /// `true` if the command had been stored before and this is its first result.
        repeated: bool,
    },
    /// The command did not take effect, or it is unknown whether it did. Contains the
    /// [`DispatchError`](super::DispatchError).
    Failed(&'a (dyn std::error::Error + Send + Sync + 'static)),
}

/// One command during its dispatch, as [`Middleware`] sees it.
///
/// ```
/// # mod account { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/account.rs")); } use account::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cqrs_core::App;
/// use cqrs_core::app::{CommandContext, Denial, Flow, Middleware};
/// use cqrs_memory::MemoryStore;
///
/// /// Marks large deposits, so that their events can be found later.
/// #[derive(Debug)]
/// struct MarkLargeDeposits;
///
/// impl Middleware for MarkLargeDeposits {
///     async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
///         if let Some(AccountCommand::Deposit(deposit)) = context.command::<Account>()
///             && deposit.cents > 1_000_000
///         {
///             context.metadata.headers.insert("large".into(), true.into());
///         }
///         Ok(Flow::Continue)
///     }
/// }
///
/// let app = App::builder(MemoryStore::new()).middleware(MarkLargeDeposits).build()?;
/// let outcome = app.dispatch(deposit("alice", 2_000_000)).await?;
/// assert_eq!(outcome.metadata.headers["large"], true);
/// # Ok(()) }
/// ```
pub struct CommandContext<'a> {
    /// Who sent the command, and on whose behalf. Becomes the metadata of the events.
    pub metadata: &'a mut Metadata,
    pub(super) command: &'a mut (dyn DynCommand + 'a),
    pub(super) command_id: CommandId,
    pub(super) stream: StreamName,
    pub(super) expected: Option<ExpectedVersion>,
    pub(super) values: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl CommandContext<'_> {
    /// Returns the command's id.
    #[must_use]
    pub const fn command_id(&self) -> CommandId {
        self.command_id
    }

    /// Returns the aggregate's stream, which consists of its category and id.
    #[must_use]
    pub const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Returns the version that the caller requires, if any.
    #[must_use]
    pub const fn expected_version(&self) -> Option<ExpectedVersion> {
        self.expected
    }

    /// Returns the command if it is addressed to this kind of aggregate:
    /// `context.command::<Account>()`.
    #[must_use]
    pub fn command<A: Aggregate>(&self) -> Option<&A::Command> {
        self.command.as_any().downcast_ref()
    }

    /// Returns the command if it is addressed to this kind of aggregate, to change it. If its
    /// aggregate id changes, the command is sent to that other aggregate.
    pub fn command_mut<A: Aggregate>(&mut self) -> Option<&mut A::Command> {
        self.command.as_any_mut().downcast_mut()
    }

    /// Returns the command as JSON, regardless of its aggregate; useful for an audit log.
    ///
    /// # Errors
    /// Returns a [`PayloadError`] if the command cannot be serialized as JSON that can be stored.
    pub fn command_json(&self) -> Result<Payload, PayloadError> {
        self.command.json()
    }

    /// Stores a value for middleware that runs later in this dispatch. Replaces any earlier value
    /// of the same type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// Returns the value of this type that was stored with [`insert`](Self::insert).
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

impl fmt::Debug for CommandContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandContext")
            .field("command_id", &self.command_id)
            .field("stream", &self.stream)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

/// A command of any aggregate.
pub(super) trait DynCommand: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn json(&self) -> Result<Payload, PayloadError>;
}

impl<C: serde::Serialize + Send + Sync + 'static> DynCommand for C {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn json(&self) -> Result<Payload, PayloadError> {
        Payload::encode(self)
    }
}
