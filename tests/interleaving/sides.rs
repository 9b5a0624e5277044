//! The two who meet.

use cqrs_core::{
    EventStore,
    store::{Append, AppendError, Appended},
};
use cqrs_postgres::PgStore;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// What a side does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Appends one event.
    One,
    /// Appends to two streams.
    Several,
    /// Appends to two streams in a transaction of its own, with a row of its own.
    Transaction(End),
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Rollback,
    /// Its session is ended where it is held.
    Killed,
}

/// How a side ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Stored(Appended),
    Rejected(AppendError),
    RolledBack,
    /// It does not know.
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

/// Runs a side. `options` are those of its own session, `store` is what it appends through.
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
        // Its own session is gone, so it cannot know.
        Err(_) | Ok(Outcome::Rejected(AppendError::Store(_))) if end == End::Killed => {
            Outcome::Unknown
        }
        outcome => outcome.unwrap(),
    }
}
