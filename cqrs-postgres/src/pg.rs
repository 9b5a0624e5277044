//! Values of the core as columns of Postgres.
//!
//! The driver's own features for times and UUIDs stay off: they would change the types that an
//! application's other queries produce, and the one for UUIDs pulls a SQLite binding into the
//! resolution of every dependent.

use cqrs_core::event::{CausationId, Uuid};
use cqrs_core::{CommandId, CorrelationId, EventId, Position, Timestamp, Version};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

use crate::database::numbers::{signed, unsigned};

// Fixed in the catalogue of Postgres.
const BIGINT: Oid = Oid(20);
const BIGINT_ARRAY: Oid = Oid(1016);
const TIMESTAMPTZ: Oid = Oid(1184);
const TIMESTAMPTZ_ARRAY: Oid = Oid(1185);
const UUID: Oid = Oid(2950);
const UUID_ARRAY: Oid = Oid(2951);

/// From 1970 to 2000, where Postgres starts to count.
const MICROS_TO_2000: i64 = 946_684_800_000_000;

/// A value of this library in your own SQL: `Pg(event.position)` binds it, and reading a column as
/// `Pg<Position>` returns it.
///
/// | Rust | Postgres |
/// |---|---|
/// | [`Timestamp`] | `timestamptz` |
/// | [`Position`], [`Version`] | `bigint` |
/// | [`EventId`], [`CommandId`], [`CorrelationId`], [`CausationId`], [`Uuid`] | `uuid` |
///
/// `Option<Pg<T>>` is a column that may be null, `Vec<Pg<T>>` an array. Your own id types convert
/// to and from [`Uuid`]. Nothing has to be formatted as text or cast in SQL.
///
/// ```no_run
/// use cqrs_core::{Position, Recorded, Timestamp};
/// use cqrs_postgres::{Pg, PgReadTransaction};
/// use sqlx::Row;
///
/// # struct Opened;
/// async fn insert(
///     tx: &mut PgReadTransaction,
///     event: &Recorded<Opened>,
/// ) -> Result<(Timestamp, Position), sqlx::Error> {
///     let insert = "insert into accounts (id, opened_at, position) values ($1, $2, $3)
///                   returning opened_at, position";
///     let row = sqlx::query(insert)
///         .bind(Pg(event.id))
///         .bind(Pg(event.recorded_at))
///         .bind(Pg(event.position))
///         .fetch_one(&mut **tx)
///         .await?;
///     let Pg(opened_at) = row.try_get("opened_at")?;
///     let Pg(position) = row.try_get("position")?;
///     Ok((opened_at, position))
/// }
/// ```
///
/// [`Uuid`]: cqrs_core::event::Uuid
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pg<T>(pub T);

impl<T> From<T> for Pg<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

/// A type with a column type of Postgres. Implemented for the types that [`Pg`] lists; sealed.
pub trait PgColumn: private::Column {}

impl<T: private::Column> PgColumn for T {}

mod private {
    use super::{BoxDynError, Oid, PgArgumentBuffer, PgValueRef};

    pub trait Column: Sized {
        const TYPE: Oid;
        const ARRAY: Oid;

        fn write(&self, buffer: &mut PgArgumentBuffer) -> Result<(), BoxDynError>;
        fn read(value: PgValueRef<'_>) -> Result<Self, BoxDynError>;
    }
}

impl<T: PgColumn> Type<Postgres> for Pg<T> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(T::TYPE)
    }
}

impl<T: PgColumn> PgHasArrayType for Pg<T> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(T::ARRAY)
    }
}

impl<T: PgColumn> Encode<'_, Postgres> for Pg<T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.write(buffer)?;
        Ok(IsNull::No)
    }
}

impl<T: PgColumn> Decode<'_, Postgres> for Pg<T> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        T::read(value).map(Self)
    }
}

fn write_i64(number: i64, buffer: &mut PgArgumentBuffer) -> Result<(), BoxDynError> {
    <i64 as Encode<'_, Postgres>>::encode_by_ref(&number, buffer).map(drop)
}

fn read_i64(value: PgValueRef<'_>) -> Result<i64, BoxDynError> {
    <i64 as Decode<'_, Postgres>>::decode(value)
}

impl private::Column for Timestamp {
    const TYPE: Oid = TIMESTAMPTZ;
    const ARRAY: Oid = TIMESTAMPTZ_ARRAY;

    fn write(&self, buffer: &mut PgArgumentBuffer) -> Result<(), BoxDynError> {
        // Timestamps end long before the difference could overflow.
        write_i64(self.as_micros().saturating_sub(MICROS_TO_2000), buffer)
    }

    fn read(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                Ok(Self::from_micros(read_i64(value)?.saturating_add(MICROS_TO_2000)))
            }
            PgValueFormat::Text => Ok(value.as_str()?.parse()?),
        }
    }
}

impl private::Column for Uuid {
    const TYPE: Oid = UUID;
    const ARRAY: Oid = UUID_ARRAY;

    fn write(&self, buffer: &mut PgArgumentBuffer) -> Result<(), BoxDynError> {
        buffer.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn read(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => Ok(Self::from_slice(value.as_bytes()?)?),
            PgValueFormat::Text => Ok(Self::try_parse(value.as_str()?)?),
        }
    }
}

macro_rules! numbers {
    ($($name:ident)*) => {$(
        impl private::Column for $name {
            const TYPE: Oid = BIGINT;
            const ARRAY: Oid = BIGINT_ARRAY;

            fn write(&self, buffer: &mut PgArgumentBuffer) -> Result<(), BoxDynError> {
                write_i64(signed(self.get()), buffer)
            }

            fn read(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
                Ok(Self::new(unsigned(read_i64(value)?)))
            }
        }
    )*};
}
numbers!(Position Version);

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl private::Column for $name {
            const TYPE: Oid = UUID;
            const ARRAY: Oid = UUID_ARRAY;

            fn write(&self, buffer: &mut PgArgumentBuffer) -> Result<(), BoxDynError> {
                self.as_uuid().write(buffer)
            }

            fn read(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
                Uuid::read(value).map(Self::new)
            }
        }
    )*};
}
ids!(EventId CommandId CorrelationId CausationId);
