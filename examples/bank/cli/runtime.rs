//! The runtime that the program works on.

/// Runs `work` to completion on a current-thread runtime.
///
/// # Errors
/// If the runtime cannot be started.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map(|runtime| runtime.block_on(work)).map_err(|error| error.to_string())
}
