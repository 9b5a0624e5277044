//! Opening connections.

use std::time::Duration;

use cqrs_core::store::{StoreError, StoreErrorKind};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::timeout;

use super::error::{connect_error, store_error};

/// How long to wait for a server to accept a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Parses an address. What cannot be parsed is reported when the store connects.
pub(crate) fn parse(url: &str) -> Result<PgConnectOptions, String> {
    url.parse().map_err(|error: sqlx::Error| error.to_string())
}

/// The options of a builder, with the name under which the server lists the connections.
pub(crate) fn named(
    options: &Result<PgConnectOptions, String>,
    application: &str,
) -> Result<PgConnectOptions, StoreError> {
    let options = options.clone().map_err(|error| {
        let message = "invalid address of the database; expected \
                       `postgres://user:password@host:port/database`";
        StoreError::new(StoreErrorKind::Unsupported, message).with_source(error)
    })?;
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name(application),
    })
}

/// Opens a connection.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    match timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => connected.map_err(|error| connect_error(error, &target(options))),
        Err(_) => {
            let seconds = CONNECT_TIMEOUT.as_secs();
            let target = target(options);
            let message = format!("{target} did not accept a connection within {seconds} s");
            Err(StoreError::new(StoreErrorKind::Unavailable, message))
        }
    }
}

/// What a connection leads to, without the password.
pub(crate) fn target(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!("database `{database}` at {host}:{}", options.get_port())
}

/// Makes sure that nothing is acknowledged before it is durable, whatever the server's default is.
pub(crate) async fn with_durable_commits(
    mut connection: PgConnection,
) -> Result<PgConnection, StoreError> {
    let sql = "select set_config('synchronous_commit', 'on', false)
                where current_setting('synchronous_commit') = 'off'";
    sqlx::query(sql).execute(&mut connection).await.map_err(store_error)?;
    Ok(connection)
}
