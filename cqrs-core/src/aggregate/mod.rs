//! Aggregates: pure decisions over a state that is folded from events.

mod reservations;
mod steps;

pub use reservations::{ReservationError, Reservations, UniqueKey};
pub(crate) use reservations::{Transfer, Unreserved, holder, transfers};
pub use steps::Steps;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Command, Event};

/// One consistency boundary: an account, a product, an order.
///
/// Both methods are pure and synchronous: no clock, no ids, no I/O. What a decision needs to know
/// is in the state or in the command. `Default` is the state before anything happened; an enum
/// such as `Unopened | Open | Closed` says it best.
///
/// The library calls `execute` with the state after every stored event of the stream, stores what
/// it returns and only then calls `apply`. Nothing is ever applied twice.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    label = "it needs `execute` and `apply`",
    note = "implement `Aggregate` for `{Self}`"
)]
pub trait Aggregate: Default + Send + Sync + 'static {
    /// The kind of stream it lives in: `account` for `account-<id>`. Stored, so never changed.
    /// No dash, no NUL, no leading `$`, 1 to 255 bytes; anything else does not compile.
    const CATEGORY: &'static str;

    /// What tells one from another. Its `Display` becomes part of the stream's name, so it must
    /// never change for an id that is in use.
    type Id: fmt::Display + Clone + Send + Sync + 'static;

    /// Everything it can be asked, usually an enum of the command structs.
    type Command: Command<Aggregate = Self> + Clone + Serialize + DeserializeOwned + Sync;

    /// Everything that can happen to it.
    type Event: Event;

    /// Why it refuses.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Decides. An empty list means: accepted, and nothing to do.
    ///
    /// # Errors
    /// The domain's refusal. Nothing is stored then.
    fn execute(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// Takes in what happened. Cannot refuse: it has happened.
    fn apply(&mut self, event: &Self::Event);

    /// What a decision reserves for this aggregate alone, and what it gives back: `self` is the state
    /// before the events. Granted with the append of the events or not at all, so that of several
    /// that want the same at once one wins, and a crash leaves nothing behind. Costs a read for
    /// each; nothing unless it is written.
    ///
    /// ```
    /// # use cqrs_core::aggregate::{Reservations, UniqueKey};
    /// # enum UserEvent { Registered { email: String }, Left }
    /// # struct User { email: String }
    /// # impl User {
    /// fn reservations(&self, events: &[UserEvent]) -> Reservations {
    ///     events.iter().fold(Reservations::none(), |all, event| match event {
    ///         UserEvent::Registered { email } => all.reserve(UniqueKey::new("e-mail", email)),
    ///         UserEvent::Left => all.release(UniqueKey::new("e-mail", &self.email)),
    ///     })
    /// }
    /// # }
    /// ```
    fn reservations(&self, events: &[Self::Event]) -> Reservations {
        let _ = events;
        Reservations::none()
    }

    /// The state after these events, from the beginning.
    #[must_use]
    fn replay<'a>(events: impl IntoIterator<Item = &'a Self::Event>) -> Self {
        let mut state = Self::default();
        events.into_iter().for_each(|event| state.apply(event));
        state
    }
}
