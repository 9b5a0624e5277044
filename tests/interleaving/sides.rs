//! The operations of the two writers.

use cqrs_core::{
    EventStore,
    store::{Append, AppendError, Appended},
};
use cqrs_postgres::PgStore;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// What one writer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Appends one event.
    One,
    /// Appends to two streams.
    Several,
    /// Appends to two streams in a transaction that also inserts another row.
    Transaction(End),
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Rollback,
    /// The session is terminated where it is held.
    Killed,
}

/// The result of a side.
#[derive(Debug)]
pub(crate) enum Outcome {
    Stored(Appended),
    Rejected(AppendError),
    RolledBack,
    /// It is unknown whether the append was stored.
    Unknown,
}

impl From<Result<Appended, AppendError>> for Outcome {
    fn from(answer: Result<Appended, AppendError>) -> Self {
        match answer {
            Ok(appended) => Self::Stored(appended),
            Err(AppendError::OutcomeUnknown(_)) => Self::Unknown,
            Err(error) => Self::Rejected(error),
        }
    }
}

/// Runs a side. `options` are for the session of its transaction.
pub(crate) async fn run(
    side: Side,
    append: Append,
    store: PgStore,
    options: PgConnectOptions,
) -> Outcome {
    let Side::Transaction(end) = side else { return store.append(append).await.into() };
    let mut connection = options.connect().await.unwrap();
    let run = async {
        let mut transaction = connection.begin().await?;
        sqlx::query("insert into public.callers_rows values (1)")
            .execute(&mut *transaction)
            .await?;
        sqlx::query("select public.gate('transaction:0')").execute(&mut *transaction).await?;
        let appended = store.append_in(&mut transaction, append).await;
        if matches!(appended, Err(AppendError::Store(_) | AppendError::OutcomeUnknown(_))) {
            return Ok(appended.into());
        }
        sqlx::query("select public.gate('transaction:1')").execute(&mut *transaction).await?;
        if end == End::Rollback {
            transaction.rollback().await?;
            return Ok(Outcome::RolledBack);
        }
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(appended.into())
    };
    match run.await {
        // The session was terminated, so the outcome is unknown.
        Err(_) | Ok(Outcome::Rejected(AppendError::Store(_))) if end == End::Killed => {
            Outcome::Unknown
        }
        outcome => outcome.unwrap(),
    }
}
