//! Waiting until a condition holds.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// The pause between two calls; it grows so that long waits do not spin.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Calls a function until it returns `Ok`, and returns the result.
///
/// The pauses between two calls grow from 1 to 50 milliseconds.
///
/// # Panics
/// Panics if the function still returns an error after `within`. The message contains the last
/// error.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use cqrs_testing::eventually;
///
/// let mut calls = 0;
/// let third = eventually(Duration::from_secs(5), || {
///     calls += 1;
///     async move { if calls == 3 { Ok(calls) } else { Err(format!("{calls} calls")) } }
/// })
/// .await;
/// assert_eq!(third, 3);
/// # });
/// ```
pub async fn eventually<T, E: Display, F>(within: Duration, mut call: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    let until = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await {
            Ok(found) => return found,
            Err(not_yet) if Instant::now() >= until => {
                panic!("condition not met after {within:?}: {not_yet}");
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "condition not met after 3s: no reply")]
    async fn the_panic_contains_the_last_error() {
        eventually(Duration::from_secs(3), || async { Err::<(), _>("no reply") }).await;
    }
}
