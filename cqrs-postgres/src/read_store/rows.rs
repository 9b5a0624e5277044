//! Values of rows, and JSON.

use cqrs_core::store::{StoreError, StoreErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};

use crate::database::error::{corrupt, store_error};

/// The first column of the first row.
pub(super) fn single<T>(rows: &[PgRow]) -> Result<T, StoreError>
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    let row = rows.first().ok_or_else(|| corrupt("a statement returned no row"))?;
    row.try_get(0).map_err(store_error)
}

pub(super) fn json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| corrupt("a record of the read store cannot be decoded").with_source(error))
}

pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| {
        let message = "a record of the read store cannot be encoded";
        StoreError::new(StoreErrorKind::Internal, message).with_source(error)
    })
}

/// Text without NUL, which Postgres does not store.
pub(super) fn text(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}
