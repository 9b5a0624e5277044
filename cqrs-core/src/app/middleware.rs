//! What happens around every command: checks, permissions, audit, metrics.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;

use super::{Denial, Outcome};
use crate::{
    Aggregate, CommandId, ExpectedVersion, Metadata, Payload, PayloadError, Position, StreamName,
    Version,
};

/// Sees every command before it is decided and after it is done.
///
/// `before` runs in the order in which middlewares were added, `after` too, once each for a
/// dispatch. When a `before` refuses or answers, the later ones and the aggregate are not asked,
/// and `after` runs for those whose `before` ran. `after` only looks: what happened has happened.
///
/// ```
/// use cqrs_core::app::{CommandContext, Denial, Flow, Middleware};
///
/// #[derive(Debug)]
/// struct TellersOnly;
///
/// #[async_trait::async_trait]
/// impl Middleware for TellersOnly {
///     async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
///         match &context.metadata.actor {
///             Some(_) => Ok(Flow::Continue),
///             None => Err(Denial::new("who are you?").field("actor", "is missing")),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Middleware: fmt::Debug + Send + Sync + 'static {
    /// Before the aggregate is loaded. May change the command and its metadata, answer in the
    /// aggregate's place, or refuse.
    ///
    /// # Errors
    /// [`Denial`]; the caller gets it as [`DispatchError::Denied`](super::DispatchError::Denied).
    async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
        let _ = context;
        Ok(Flow::Continue)
    }

    /// Before the aggregate is asked, with its state: `state.downcast_ref::<Account>()`. Runs
    /// again whenever the command is decided again, so it only looks and never waits.
    ///
    /// # Errors
    /// [`Denial`], as for [`before`](Self::before).
    fn before_execute(
        &self,
        context: &CommandContext<'_>,
        state: &(dyn Any + Send + Sync),
    ) -> Result<(), Denial> {
        let _ = (context, state);
        Ok(())
    }

    /// After the command is done, well or not. A panic here is logged and changes nothing.
    /// Not called when the caller drops the dispatch.
    async fn after(&self, context: &CommandContext<'_>, done: Done<'_>) {
        let _ = (context, done);
    }
}

/// How to go on.
#[derive(Debug)]
pub enum Flow {
    /// With the next middleware, and then the aggregate.
    Continue,
    /// Not at all: this is the answer.
    Answer(Answer),
}

impl Flow {
    /// Answers in the aggregate's place.
    #[must_use]
    pub fn answer<A: Aggregate>(outcome: Outcome<A>) -> Self {
        Self::Answer(Answer(Box::new(outcome)))
    }
}

/// An outcome of some aggregate.
pub struct Answer(pub(super) Box<dyn Any + Send + Sync>);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Done<'a> {
    /// It took effect.
    #[non_exhaustive]
    Accepted {
        /// The aggregate's version.
        version: Version,
        /// The position of its last event, [`Position::START`] when there was none.
        position: Position,
        /// How many events.
        events: usize,
        /// Whether it had been stored before.
        repeated: bool,
    },
    /// It did not take effect, or that is not known: the [`DispatchError`](super::DispatchError).
    Failed(&'a (dyn std::error::Error + Send + Sync + 'static)),
}

/// One command on its way.
pub struct CommandContext<'a> {
    /// Who asks, and on whose behalf. Becomes the metadata of the events.
    pub metadata: &'a mut Metadata,
    pub(super) command: &'a mut (dyn ErasedCommand + 'a),
    pub(super) command_id: CommandId,
    pub(super) stream: StreamName,
    pub(super) expected: Option<ExpectedVersion>,
    pub(super) values: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl CommandContext<'_> {
    /// The command's id.
    #[must_use]
    pub const fn command_id(&self) -> CommandId {
        self.command_id
    }

    /// The aggregate's stream: its category and id.
    #[must_use]
    pub const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The version the caller insists on.
    #[must_use]
    pub const fn expected_version(&self) -> Option<ExpectedVersion> {
        self.expected
    }

    /// The command, if it is one of this aggregate's: `context.command::<Account>()`.
    #[must_use]
    pub fn command<A: Aggregate>(&self) -> Option<&A::Command> {
        self.command.as_any().downcast_ref()
    }

    /// The command, to change it. A changed id leads to another aggregate.
    pub fn command_mut<A: Aggregate>(&mut self) -> Option<&mut A::Command> {
        self.command.as_any_mut().downcast_mut()
    }

    /// The command as JSON, whatever it is; for an audit log.
    ///
    /// # Errors
    /// [`PayloadError`] when it cannot be written.
    pub fn command_json(&self) -> Result<Payload, PayloadError> {
        self.command.json()
    }

    /// Keeps a value for a later hook of this dispatch, one for each type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// A value that an earlier hook kept.
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

/// A command whose type a hook asks for by name.
pub(super) trait ErasedCommand: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn json(&self) -> Result<Payload, PayloadError>;
}

impl<C: serde::Serialize + Send + Sync + 'static> ErasedCommand for C {
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
