//! Errors of the driver as [`StoreError`]s.
//!
//! Errors of the server are distinguished by their SQLSTATE, never by their text.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use cqrs_core::store::{Retry, StoreError, StoreErrorKind};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Raised by the functions of the schema when an append runs above READ COMMITTED.
const WRONG_ISOLATION: &str = "CQ001";

/// The SQLSTATE, if the server returned the error.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<&str> {
    Some(from_server(error)?.code())
}

fn from_server(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// Returns `true` if the connection is gone, so that the last statement may have been executed.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match from_server(error) {
        // The server ends this session, or does not know the outcome either (40003).
        Some(error) => {
            matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                || error.code() == "40003"
        }
        // Everything else is an error of the network, or a response that cannot be decoded.
        None => !matches!(error, sqlx::Error::Encode(_)),
    }
}

/// Returns `true` if the server rejected a commit, so that it has rolled everything back.
pub(crate) fn is_rolled_back(error: &sqlx::Error) -> bool {
    !is_lost(error) && sqlstate(error).is_some()
}

/// Returns `true` if the values of the statement caused the error, so that a part of them may be
/// accepted.
pub(crate) fn is_about_content(error: &sqlx::Error) -> bool {
    // Data exceptions, constraint violations, program limits.
    sqlstate(error)
        .is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

/// Returns `true` for a violation of a unique index.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    sqlstate(error) == Some("23505")
}

fn kind(error: &sqlx::Error) -> StoreErrorKind {
    use StoreErrorKind as Kind;
    let Some(code) = sqlstate(error) else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed => Kind::Unavailable,
            sqlx::Error::PoolTimedOut => Kind::Timeout,
            sqlx::Error::Configuration(_) => Kind::Unsupported,
            _ => Kind::Internal,
        };
    };
    match code {
        // Cancelled by a timeout of the statement or of a lock.
        "57014" | "55P03" => Kind::Timeout,
        // A missing database, schema, table or function.
        "3D000" | "3F000" | "42P01" | "42883" => Kind::SchemaMissing,
        // A missing column.
        "42703" => Kind::SchemaOutdated,
        "42501" => Kind::PermissionDenied,
        WRONG_ISOLATION => Kind::Unsupported,
        // A pooler in transaction mode: it rejects our settings, or the statement was prepared in
        // another session.
        "08P01" | "26000" | "42P05" => Kind::Unsupported,
        // A standby, which may become the primary; a deadlock or a serialization failure.
        "25006" | "40001" | "40P01" => Kind::Unavailable,
        // Too many connections, which is transient. Other limits of class 53 need more room.
        "53300" => Kind::Unavailable,
        _ => match code.get(..2) {
            Some("08" | "57") => Kind::Unavailable,
            Some("53") => Kind::Full,
            Some("28") => Kind::PermissionDenied,
            Some("XX") if code != "XX000" => Kind::Corrupt,
            Some("58") => Kind::Unavailable,
            _ => Kind::Internal,
        },
    }
}

/// Whether the same statement can succeed later.
pub(crate) fn retry(error: &sqlx::Error) -> Retry {
    StoreError::new(kind(error), "").retry()
}

pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    let kind = kind(&error);
    StoreError::new(kind, message(kind)).with_source(error)
}

/// The same for an error that is reported to several callers.
pub(crate) fn shared_store_error(error: &Arc<sqlx::Error>) -> StoreError {
    let kind = kind(error);
    StoreError::new(kind, message(kind)).with_source(Arc::clone(error))
}

/// A copy of an error for each of several callers, with the same cause.
pub(crate) fn shared(error: &Arc<StoreError>) -> StoreError {
    let copy = StoreError::new(error.kind(), error.to_string());
    if error.source().is_some() { copy.with_source(Cause(Arc::clone(error))) } else { copy }
}

/// The cause of a shared error.
#[derive(Debug)]
struct Cause(Arc<StoreError>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |cause| write!(f, "{cause}"))
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source().and_then(Error::source)
    }
}

/// The error of a failed connection to `target`.
pub(crate) fn connect_error(error: sqlx::Error, target: &str) -> StoreError {
    let kind = kind(&error);
    let message = match kind {
        StoreErrorKind::Unavailable => format!("cannot connect to {target}"),
        StoreErrorKind::SchemaMissing => format!("{target} does not exist"),
        StoreErrorKind::PermissionDenied => format!("{target} denies access"),
        _ => format!("cannot connect to {target}: {}", message(kind)),
    };
    StoreError::new(kind, message).with_source(error)
}

const fn message(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Unavailable => "the database is not available",
        StoreErrorKind::Timeout => "the database did not respond in time",
        StoreErrorKind::Full => "the database has no room left",
        StoreErrorKind::Corrupt => "the database found corrupt data",
        StoreErrorKind::SchemaMissing => {
            "a table or function of the store is missing; the builder's `migrate` creates them"
        }
        StoreErrorKind::SchemaOutdated => {
            "the tables of the store are outdated; the builder's `migrate` updates them"
        }
        StoreErrorKind::PermissionDenied => "the database denies access",
        StoreErrorKind::Unsupported => {
            "the database cannot execute this here (a pooler has to work in session mode)"
        }
        _ => "the database rejected the statement",
    }
}

/// A timeout of this process; the server may still be executing the statement.
pub(crate) fn no_response() -> StoreError {
    StoreError::new(StoreErrorKind::Timeout, "the database did not respond in time")
}

pub(crate) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store is closed")
}

/// The stored data contradicts itself.
pub(crate) fn corrupt(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, message)
}
