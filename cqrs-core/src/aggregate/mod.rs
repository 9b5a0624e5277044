//! Aggregates: pure decisions over a state that is computed from events.

mod reservations;
mod steps;

pub use reservations::{ReservationError, Reservations, UniqueKey};
pub(crate) use reservations::{Transfer, TransferError, holder, transfers};
pub use steps::Steps;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Command, Event};

/// A consistency boundary that decides commands: an account, a product, an order.
///
/// `execute` decides and `apply` computes the state. Both are pure and synchronous: they use no
/// clock, generate no ids and do no I/O. Everything a decision needs is in the state or in the
/// command. `Default` is the state before the first event.
///
/// The library calls `execute` with the state after all stored events of the stream, and applies
/// the returned events only after they are stored.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use cqrs_core::{Command, Event};
/// # #[derive(Clone, Serialize, Deserialize, Command)] #[command(crate = cqrs_core, aggregate = Seat, id = seat)]
/// # struct Book { seat: String }
/// # #[derive(Debug, PartialEq, Event)] #[event(crate = cqrs_core, name = "cinema.seat-booked")] struct Booked {}
/// # #[derive(Debug, PartialEq)] struct AlreadyBooked;
/// # impl std::fmt::Display for AlreadyBooked { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("booked") } }
/// # impl std::error::Error for AlreadyBooked {}
/// use cqrs_core::Aggregate;
///
/// #[derive(Debug, Default, PartialEq)]
/// enum Seat {
///     #[default]
///     Free,
///     Taken,
/// }
///
/// impl Aggregate for Seat {
///     const CATEGORY: &'static str = "seat"; // streams are named `seat-<id>`
///     type Id = String;
///     type Command = Book;
///     type Event = Booked;
///     type Error = AlreadyBooked;
///
///     fn execute(&self, _: Book) -> Result<Vec<Booked>, AlreadyBooked> {
///         match self {
///             Seat::Free => Ok(vec![Booked {}]),
///             Seat::Taken => Err(AlreadyBooked),
///         }
///     }
///
///     fn apply(&mut self, _: &Booked) {
///         *self = Seat::Taken;
///     }
/// }
///
/// let book = Book { seat: "12A".into() };
/// let events = Seat::default().execute(book.clone())?;
/// let seat = Seat::replay(&events);
/// assert_eq!(seat, Seat::Taken);
/// assert_eq!(seat.execute(book), Err(AlreadyBooked));
/// # Ok::<(), AlreadyBooked>(())
/// ```
///
/// The attribute `#[aggregate(category = "seat", id = String)]` on the `impl` fills in the constant
/// and the types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    label = "`{Self}` does not implement `Aggregate`",
    note = "write `#[aggregate(category = \"..\", id = ..)] impl Aggregate for {Self}` with `execute` and `apply`"
)]
pub trait Aggregate: Default + Send + Sync + 'static {
    /// The category of the aggregate's streams: `account` for `account-<id>`. Never change it once
    /// events are stored. It has 1 to 255 bytes, no dash, no NUL and no leading `$`; anything else
    /// does not compile.
    const CATEGORY: &'static str;

    /// The type of the aggregate's id. Its `Display` becomes part of the stream name, so it must
    /// never change for an id that is in use.
    type Id: fmt::Display + Clone + Send + Sync + 'static;

    /// All commands of the aggregate, usually an enum.
    type Command: Command<Aggregate = Self> + Clone + Serialize + DeserializeOwned + Sync;

    /// All events of the aggregate, usually an enum.
    type Event: Event;

    /// The reasons why the aggregate rejects commands.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Decides a command. An empty list accepts the command without storing anything.
    ///
    /// # Errors
    /// Returns the domain's own error to reject the command. In that case nothing is stored.
    fn execute(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// Updates the state with one event. Must not panic: the event has already happened.
    fn apply(&mut self, event: &Self::Event);

    /// Returns the unique keys that a decision reserves for this aggregate, and those it releases.
    /// `self` is the state before the events.
    ///
    /// Reservations are stored together with the events: if several aggregates reserve a key at
    /// the same time, one of them succeeds and the others fail with a [`ReservationError`]. Each key
    /// costs one read. Default: none.
    ///
    /// ```
    /// # use cqrs_core::aggregate::{Reservations, UniqueKey};
    /// # enum UserEvent { Registered { email: String }, Left }
    /// # #[derive(Default)] struct User { email: String }
    /// # impl User {
    /// fn reservations(&self, events: &[UserEvent]) -> Reservations {
    ///     events.iter().fold(Reservations::none(), |all, event| match event {
    ///         UserEvent::Registered { email } => all.reserve(UniqueKey::new("e-mail", email)),
    ///         UserEvent::Left => all.release(UniqueKey::new("e-mail", &self.email)),
    ///     })
    /// }
    /// # }
    /// # let registered = UserEvent::Registered { email: "a@b.c".into() };
    /// # let reserved = Reservations::none().reserve(UniqueKey::new("e-mail", "a@b.c"));
    /// # assert_eq!(User::default().reservations(&[registered]), reserved);
    /// # let released = Reservations::none().release(UniqueKey::new("e-mail", "a@b.c"));
    /// # assert_eq!(User { email: "a@b.c".into() }.reservations(&[UserEvent::Left]), released);
    /// ```
    fn reservations(&self, events: &[Self::Event]) -> Reservations {
        let _ = events;
        Reservations::none()
    }

    /// Applies events to the default state and returns the result.
    #[must_use]
    fn replay<'a>(events: impl IntoIterator<Item = &'a Self::Event>) -> Self {
        let mut state = Self::default();
        events.into_iter().for_each(|event| state.apply(event));
        state
    }
}
