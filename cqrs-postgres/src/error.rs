//! What the database says, as trouble that a program can act on.
//!
//! Errors are told apart by their SQLSTATE, never by their text.

use std::sync::Arc;

use cqrs_core::store::{Retry, StoreError, StoreErrorKind};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Raised by the functions of the schema: an append above READ COMMITTED.
const WRONG_ISOLATION: &str = "CQ001";

/// The SQLSTATE, if the server answered with one.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<&str> {
    Some(from_server(error)?.code())
}

fn from_server(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// Whether the connection is gone, so that what was sent last may have happened.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match from_server(error) {
        // The server says so itself: it ends this session, or it does not know either.
        Some(error) => {
            matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                || error.code() == "40003"
        }
        // Everything else came from the wire, or is an answer that cannot be understood.
        None => !matches!(error, sqlx::Error::Encode(_)),
    }
}

/// Whether the content of the statement is to blame, so that less of it may succeed.
pub(crate) fn is_about_content(error: &sqlx::Error) -> bool {
    // Data exceptions, violated constraints, limits of a program.
    sqlstate(error)
        .is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

/// Whether a unique index refused a second copy.
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
        // Cancelled by a time limit, or waited too long for a lock.
        "57014" | "55P03" => Kind::Timeout,
        // A database, schema, table or function that is not there.
        "3D000" | "3F000" | "42P01" | "42883" => Kind::SchemaMissing,
        // A column that is not there.
        "42703" => Kind::SchemaOutdated,
        "42501" => Kind::PermissionDenied,
        WRONG_ISOLATION => Kind::Unsupported,
        // A pooler in transaction mode: it refuses our settings, or the statement was prepared in
        // another session.
        "08P01" | "26000" | "42P05" => Kind::Unsupported,
        // A standby, which may become the primary; a deadlock or a serialisation failure.
        "25006" | "40001" | "40P01" => Kind::Unavailable,
        // Too many connections: it passes. Disk, memory and other limits need room.
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

/// Whether the same statement can work later.
pub(crate) fn retry(error: &sqlx::Error) -> Retry {
    StoreError::new(kind(error), "").retry()
}

pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    let kind = kind(&error);
    StoreError::new(kind, message(kind)).with_source(error)
}

/// The same of an error that concerns several appends.
pub(crate) fn shared_store_error(error: &Arc<sqlx::Error>) -> StoreError {
    let kind = kind(error);
    StoreError::new(kind, message(kind)).with_source(Arc::clone(error))
}

const fn message(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Unavailable => "the database is not available",
        StoreErrorKind::Timeout => "the database did not answer in time",
        StoreErrorKind::Full => "the database has no room left",
        StoreErrorKind::Corrupt => "the database found damaged data",
        StoreErrorKind::SchemaMissing => {
            "the tables of the event store are not there; `PgStoreBuilder::migrate` creates them"
        }
        StoreErrorKind::SchemaOutdated => {
            "the tables of the event store are outdated; `PgStoreBuilder::migrate` updates them"
        }
        StoreErrorKind::PermissionDenied => "the database refuses access",
        StoreErrorKind::Unsupported => {
            "the database cannot do this here (behind a pooler: let it work in session mode)"
        }
        _ => "the database refused the statement",
    }
}

/// A deadline of this program passed; the server may still be at it.
pub(crate) fn no_answer() -> StoreError {
    StoreError::new(StoreErrorKind::Timeout, "the database did not answer in time")
}

pub(crate) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store was closed")
}

/// The log contradicts itself.
pub(crate) fn corrupt(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, message)
}
