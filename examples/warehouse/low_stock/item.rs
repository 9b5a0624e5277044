//! The rule that decides when a product is low.

use serde::{Deserialize, Serialize};

use crate::domain::ProductEvent;

/// The default number of pieces at or below which stock is low.
pub const THRESHOLD: u64 = 5;

/// Whether a low-stock notification is due for a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// No notification is due: there is enough stock, or nothing was shipped yet.
    #[default]
    Nothing,
    /// A notification is due.
    Open {
        /// The number of pieces left after the shipment.
        left: u64,
    },
    /// A notification was sent. The next one is due only after the product was restocked.
    Notified,
}

impl Item {
    /// Returns the item after an event, if stock is low at or below `threshold` pieces.
    #[must_use]
    pub const fn after(self, event: &ProductEvent, threshold: u64) -> Self {
        match (self, event) {
            (Self::Nothing, ProductEvent::ProductQuantityShipped { on_hand_after, .. })
                if *on_hand_after <= threshold =>
            {
                Self::Open { left: *on_hand_after }
            }
            (_, ProductEvent::ProductQuantityIncreased { on_hand_after, .. })
                if *on_hand_after > threshold =>
            {
                Self::Nothing
            }
            (Self::Open { .. }, ProductEvent::NotifiedLowProductQuantity { .. }) => Self::Notified,
            (unchanged, _) => unchanged,
        }
    }
}
