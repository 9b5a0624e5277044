//! Waiting for something to become true.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// The pause between two looks; it grows a little so that long waits do not spin.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until there is an answer, and returns it.
///
/// # Panics
/// When there is still none after `within`, with what the last look said.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use cqrs_testing::eventually;
///
/// let mut looks = 0;
/// let third = eventually(Duration::from_secs(5), || {
///     looks += 1;
///     async move { if looks == 3 { Ok(looks) } else { Err(format!("{looks} looks")) } }
/// })
/// .await;
/// assert_eq!(third, 3);
/// # });
/// ```
pub async fn eventually<T, E: Display, F>(within: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    let until = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(not_yet) if Instant::now() >= until => {
                panic!("still not after {within:?}: {not_yet}");
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
    #[should_panic(expected = "still not after 3s: nobody came")]
    async fn it_ends_with_what_was_seen_last() {
        eventually(Duration::from_secs(3), || async { Err::<(), _>("nobody came") }).await;
    }
}
