//! Conditions on events.

use crate::{Category, CorrelationId, EventName, EventType, RecordedEvent, StreamName};

/// Selects events of the log.
///
/// An event passes if it meets every condition that is set; [`Filter::all`] sets none. The store
/// applies the filter, so events that do not pass are not transferred.
///
/// ```
/// use cqrs_core::{StreamName, store::{Category, Filter}};
///
/// let orders_and_carts =
///     Filter::category(Category::new("order")?).and_category(Category::new("cart")?);
/// assert!(!orders_and_carts.is_all());
///
/// let one_stream = Filter::stream(StreamName::new("order-7")?);
/// assert!(one_stream.categories.is_empty());
/// # Ok::<(), cqrs_core::store::InvalidName>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// If set, only events of this stream pass.
    pub stream: Option<StreamName>,
    /// If not empty, only events of these categories pass.
    pub categories: Vec<Category>,
    /// If not empty, only events with these type names pass.
    pub types: Vec<EventName>,
    /// If set, only events with this correlation id pass.
    pub correlation_id: Option<CorrelationId>,
}

impl Filter {
    /// Creates a filter that lets every event pass.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Creates a filter for the events of one stream.
    #[must_use]
    pub fn stream(stream: StreamName) -> Self {
        Self { stream: Some(stream), ..Self::default() }
    }

    /// Creates a filter for the events of one category. Call
    /// [`and_category`](Self::and_category) to add more.
    #[must_use]
    pub fn category(category: Category) -> Self {
        Self::default().and_category(category)
    }

    /// Creates a filter for the types of an [`Event`](crate::Event):
    /// `Filter::types(AccountEvent::TYPES)`.
    #[must_use]
    pub fn types(types: &[EventType]) -> Self {
        Self { types: types.iter().map(|known| known.event_name()).collect(), ..Self::default() }
    }

    /// Creates a filter for the events with this correlation id, in any stream.
    #[must_use]
    pub fn correlation(id: CorrelationId) -> Self {
        Self { correlation_id: Some(id), ..Self::default() }
    }

    /// Adds a category.
    #[must_use]
    pub fn and_category(mut self, category: Category) -> Self {
        self.categories.push(category);
        self
    }

    /// Adds an event type.
    #[must_use]
    pub fn and_type(mut self, name: EventName) -> Self {
        self.types.push(name);
        self
    }

    /// Returns `true` if the filter sets no condition.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Returns `true` if the event passes.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.stream.as_ref().is_none_or(|stream| *stream == event.stream)
            && (self.categories.is_empty()
                || self.categories.iter().any(|c| c.as_str() == event.stream.category()))
            && (self.types.is_empty() || self.types.contains(&event.event.name))
            && self.correlation_id.is_none_or(|id| event.metadata.correlation_id == Some(id))
    }
}
