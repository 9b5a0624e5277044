//! The time in a story: the machine's, until the story says what time it is.

use std::sync::{Arc, Mutex, PoisonError};

use cqrs::{
    Timestamp,
    app::{Clock, SystemClock},
};

/// Clones show the same time.
#[derive(Clone, Debug, Default)]
pub(super) struct StoryClock {
    told: Arc<Mutex<Option<Timestamp>>>,
}

impl StoryClock {
    /// It is this moment now, until the next word about it.
    ///
    /// # Errors
    /// The time it is already, when that is later.
    pub(super) fn set(&self, moment: Timestamp) -> Result<(), Timestamp> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match *told {
            Some(now) if now > moment => Err(now),
            _ => {
                *told = Some(moment);
                Ok(())
            }
        }
    }
}

impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.unwrap_or_else(|| SystemClock.now())
    }
}
