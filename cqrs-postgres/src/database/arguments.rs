//! The arguments of a statement.

use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;

/// The arguments of a statement, or why one cannot be encoded.
pub(crate) type Arguments = Result<PgArguments, BoxDynError>;

/// Arguments in the order of `$1`, `$2` ...
macro_rules! arguments {
    ($($value:expr),* $(,)?) => {{
        let arguments = sqlx::postgres::PgArguments::default();
        let given = Ok::<_, sqlx::error::BoxDynError>(arguments);
        $(let given = given.and_then(|mut arguments| {
            sqlx::Arguments::add(&mut arguments, $value)?;
            Ok(arguments)
        });)*
        given
    }};
}
pub(crate) use arguments;
