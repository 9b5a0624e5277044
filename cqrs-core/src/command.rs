//! Commands: requests to one aggregate.

use crate::Aggregate;

/// A request to one aggregate.
///
/// Usually derived with `#[derive(Command)]`. A manual implementation is short:
///
/// ```
/// # use cqrs_core::{Aggregate, Command};
/// # #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
/// # enum CartCommand { Add(AddItem) }
/// # impl Command for CartCommand {
/// #     type Aggregate = Cart;
/// #     fn aggregate_id(&self) -> String { match self { Self::Add(c) => c.aggregate_id() } }
/// # }
/// # #[derive(Default, Clone)] struct Cart;
/// # impl Aggregate for Cart {
/// #     const CATEGORY: &'static str = "cart";
/// #     type Id = String; type Command = CartCommand; type Event = Never; type Error = std::fmt::Error;
/// #     fn execute(&self, _: CartCommand) -> Result<Vec<Never>, std::fmt::Error> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &Never) {}
/// # }
/// # enum Never {}
/// # impl cqrs_core::Event for Never {
/// #     const TYPES: &'static [cqrs_core::event::EventType] = &[];
/// #     fn event_type(&self) -> cqrs_core::event::EventType { match *self {} }
/// #     fn encode(&self) -> Result<cqrs_core::event::Payload, cqrs_core::event::PayloadError> { match *self {} }
/// #     fn decode(_: &str, _: &cqrs_core::event::Payload) -> Result<Self, cqrs_core::event::DecodeFailure> { Err(cqrs_core::event::DecodeFailure::UnknownType) }
/// # }
/// #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
/// struct AddItem {
///     cart: String,
///     sku: String,
/// }
///
/// impl Command for AddItem {
///     type Aggregate = Cart;
///
///     fn aggregate_id(&self) -> String {
///         self.cart.clone()
///     }
/// }
///
/// impl From<AddItem> for CartCommand {
///     fn from(command: AddItem) -> Self {
///         Self::Add(command)
///     }
/// }
///
/// let add = AddItem { cart: "7".into(), sku: "abc".into() };
/// assert_eq!(CartCommand::from(add).aggregate_id(), "7");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command",
    label = "nothing says which aggregate this is for",
    note = "add `#[derive(Command)]` and `#[command(aggregate = Account, id = account_id)]`"
)]
pub trait Command: CommandOf<<Self as Command>::Aggregate> + Send + 'static {
    /// The kind of aggregate that decides the command.
    type Aggregate: Aggregate;

    /// Returns the id of the aggregate that decides the command.
    fn aggregate_id(&self) -> <Self::Aggregate as Aggregate>::Id;
}

/// A type that converts into the commands of an aggregate.
///
/// Implemented for every type that converts `Into` the aggregate's [`Command`](Aggregate::Command):
/// that type itself, and each struct that one of its variants holds. You never implement this
/// trait; it exists to improve error messages.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not one of the commands of `{A}`",
    label = "no variant of the command enum of `{A}` holds `{Self}`",
    note = "name the right aggregate in `#[command(aggregate = ..)]`, or add a variant that holds `{Self}` to the enum that is `type Command` of `{A}`"
)]
pub trait CommandOf<A: Aggregate> {
    /// Converts the command into the aggregate's own type.
    fn into_command(self) -> A::Command;
}

// Without this, errors name the missing `From` instead.
#[diagnostic::do_not_recommend]
impl<A: Aggregate, C: Into<A::Command>> CommandOf<A> for C {
    fn into_command(self) -> A::Command {
        self.into()
    }
}
