//! The time in a story: the system's, until the story sets it.

use std::sync::{Arc, Mutex, PoisonError};

use cqrs::{
    Timestamp,
    app::{Clock, SystemClock},
};

/// A clock that a story can set. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub(super) struct StoryClock {
    set_to: Arc<Mutex<Option<Timestamp>>>,
}

impl StoryClock {
    /// Sets the time, which does not move until the next call.
    ///
    /// # Errors
    /// Returns the current time if `moment` is before it.
    pub(super) fn set(&self, moment: Timestamp) -> Result<(), Timestamp> {
        let mut set_to = self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
        match *set_to {
            Some(now) if now > moment => Err(now),
            _ => {
                *set_to = Some(moment);
                Ok(())
            }
        }
    }
}

impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        let set_to = *self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
        set_to.unwrap_or_else(|| SystemClock.now())
    }
}
