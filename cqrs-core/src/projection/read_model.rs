//! What a read model is, independent of the store that keeps it.

use std::borrow::Cow;
use std::fmt;

use crate::{Event, Recorded};

/// Describes a read model: its name, its version, the events it is built from and how they are
/// ordered.
///
/// A [`Projector`](crate::Projector) for each read store adds how the events change its rows. A
/// read model that runs on two stores is one `impl ReadModel` and two `impl Projector<S>`.
///
/// ```
/// # use cqrs_core::Event;
/// # #[derive(Event)] #[event(crate = cqrs_core)]
/// # enum CartEvent { #[event(name = "cart.added")] Added }
/// use cqrs_core::ReadModel;
///
/// struct CartSizes;
///
/// impl ReadModel for CartSizes {
///     type Event = CartEvent;
///     const NAME: &'static str = "cart_sizes";
///     const VERSION: u32 = 1;
/// }
///
/// assert_eq!(CartSizes::NAME, "cart_sizes");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a read model",
    label = "no `impl ReadModel` for `{Self}`",
    note = "write `impl ReadModel for {Self}` with `Event`, `NAME` and `VERSION`, or derive it"
)]
pub trait ReadModel: Send + Sync + 'static {
    /// The events it is built from, of one or several aggregates. The event store skips all
    /// others.
    type Event: Event;

    /// Its name, under which the checkpoint and the tables are kept: 1 to 32 lower-case letters,
    /// digits and underscores, starting with a letter. An invalid name does not compile.
    const NAME: &'static str;

    /// Its version. Increment it when the tables or their meaning change: the new version is
    /// built alongside the live one, which readers see until the new one has caught up.
    const VERSION: u32;

    /// Returns what orders its events. Default: [`Key::stream`].
    fn key(&self) -> Key<Self::Event> {
        Key::stream()
    }
}

/// What an event is about: events with the same key are handled in order, in the same partition.
/// If one of them is parked, the later ones of its key are parked too.
///
/// ```
/// # use cqrs_core::{Event, Recorded};
/// # #[derive(Event)] #[event(name = "shop.sold", crate = cqrs_core)]
/// # struct Sold { product: String }
/// use std::borrow::Cow;
/// use cqrs_core::{ReadModel, projection::Key};
///
/// fn product(sold: &Recorded<Sold>) -> Cow<'_, str> {
///     Cow::Borrowed(&sold.event.product)
/// }
///
/// struct SalesByProduct;
///
/// impl ReadModel for SalesByProduct {
///     type Event = Sold;
///     const NAME: &'static str = "sales_by_product";
///     const VERSION: u32 = 1;
///
///     fn key(&self) -> Key<Sold> {
///         Key::by(product)
///     }
/// }
///
/// assert!(!SalesByProduct.key().is_stream());
/// ```
pub struct Key<E> {
    by: Option<KeyOf<E>>,
}

/// Computes the key of an event.
type KeyOf<E> = for<'e> fn(&'e Recorded<E>) -> Cow<'e, str>;

impl<E> Key<E> {
    /// Orders events by their stream.
    #[must_use]
    pub const fn stream() -> Self {
        Self { by: None }
    }

    /// Orders events by a key computed from them. It must depend on the event alone.
    ///
    /// If an upcaster splits a stored event into several, the key of the first one counts for all.
    /// An event that cannot be decoded has the name of its stream as its key.
    #[must_use]
    pub const fn by(key: for<'e> fn(&'e Recorded<E>) -> Cow<'e, str>) -> Self {
        Self { by: Some(key) }
    }

    /// Returns `true` if events are ordered by their stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.by.is_none()
    }

    /// Returns the key of an event.
    #[must_use]
    pub fn of<'e>(&self, event: &'e Recorded<E>) -> Cow<'e, str> {
        match self.by {
            Some(key) => key(event),
            None => Cow::Borrowed(event.stream.as_str()),
        }
    }
}

impl<E> Clone for Key<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Key<E> {}

impl<E> Default for Key<E> {
    fn default() -> Self {
        Self::stream()
    }
}

impl<E> fmt::Debug for Key<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_stream() { "Key::stream()" } else { "Key::by(..)" })
    }
}
