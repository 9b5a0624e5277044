//! How statements are declared.
//!
//! **Where SQL lives:** every statement of a store is declared in its `sql` module, those of the
//! event store in `database/sql.rs` and those of the read store in `read_store/sql.rs`; a statement
//! with variable parts is built by a function there. Functions that run in the server are in
//! `migrations/`. What manages schemas and sessions (`schema.rs`, `connect.rs`) keeps its few
//! statements itself.
//!
//! All SQL is written for the schema `cqrs`, so it can be pasted into `psql`. Another schema is
//! substituted once, when a store connects.

/// Declares the struct `Sql` with a field for each statement.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        /// The statements of a store, each with the name of its schema.
        pub(crate) struct Sql {
            $($(#[$doc])* pub(crate) $name: std::sync::Arc<str>,)*
        }

        impl Sql {
            pub(crate) fn of(schema: &$crate::database::schema::Schema) -> Self {
                Self { $($name: schema.sql($text),)* }
            }
        }

        impl std::fmt::Debug for Sql {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Sql").finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use statements;
