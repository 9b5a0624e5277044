//! The rule.

use serde::{Deserialize, Serialize};

use crate::domain::ProductEvent;

/// So many pieces are few, unless it is said otherwise.
pub const THRESHOLD: u64 = 5;

/// What is to be done about a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// Nothing: there is enough, or it was never shipped.
    #[default]
    Nothing,
    /// Somebody is to be told that so many are left.
    Open {
        /// After the shipment that made them few.
        left: u64,
    },
    /// Somebody was told. Nobody is told again before it was filled up.
    Told,
}

impl Item {
    /// What is to be done after an event, if up to `threshold` pieces are few.
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
            (Self::Open { .. }, ProductEvent::NotifiedLowProductQuantity { .. }) => Self::Told,
            (unchanged, _) => unchanged,
        }
    }
}
