//! The schema of a store: its name, its migrations, and whether its tables fit the program.

use std::sync::Arc;

use cqrs_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::error::store_error;

/// The migrations of a schema, in order. A released migration is never edited; changes are made by
/// another one.
#[derive(Debug)]
pub(crate) struct Migrations {
    what: &'static str,
    /// The function that applies them.
    by: &'static str,
    list: &'static [(&'static str, &'static str)],
}

pub(crate) const EVENT_STORE: Migrations = Migrations {
    what: "event store",
    by: "PgStoreBuilder::migrate",
    list: &[
        ("log", include_str!("../../migrations/0001_log.sql")),
        ("records", include_str!("../../migrations/0002_records.sql")),
        ("append", include_str!("../../migrations/0003_append.sql")),
        ("append-one", include_str!("../../migrations/0004_append_one.sql")),
        ("log-view", include_str!("../../migrations/0005_log_view.sql")),
        ("subscriptions", include_str!("../../migrations/0006_subscriptions.sql")),
    ],
};

pub(crate) const READ_STORE: Migrations = Migrations {
    what: "read store",
    by: "PgReadStoreBuilder::migrate",
    list: &[
        ("records", include_str!("../../migrations/read_store/0001_records.sql")),
        ("leases", include_str!("../../migrations/read_store/0002_leases.sql")),
        ("generations", include_str!("../../migrations/read_store/0003_generations.sql")),
    ],
};

const TRACKING: &str = "create table if not exists cqrs.migrations (
  version integer primary key,
  name text not null,
  applied_at timestamptz not null default clock_timestamp()
);\n";

/// Maximum length of a name: what is derived from it, such as a channel, has to fit into 63 bytes.
const MAX_BYTES: usize = 48;

/// One change to the database's tables and functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Its number in the order of application, from 1.
    pub number: usize,
    /// A short name, such as `append`.
    pub name: &'static str,
    /// `true` if it was applied to this database.
    pub is_applied: bool,
}

/// The name of a schema.
///
/// All SQL is written for the schema `cqrs`. For another schema the qualifier is replaced, which is
/// safe because a name consists of letters, digits and underscores.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    name: Arc<str>,
    migrations: &'static Migrations,
}

impl Schema {
    pub(crate) fn new(name: &str, migrations: &'static Migrations) -> Result<Self, StoreError> {
        let mut letters = name.bytes();
        let first = letters.next().is_some_and(|byte| byte == b'_' || byte.is_ascii_lowercase());
        let rest = letters.all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit());
        if first && rest && name.len() <= MAX_BYTES && !name.starts_with("pg_") {
            return Ok(Self { name: name.into(), migrations });
        }
        let message = format!(
            "invalid schema name `{name}`; use up to {MAX_BYTES} lower-case letters, digits and \
             underscores, and do not start with a digit or `pg_`"
        );
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The channel on which the commits of the store are announced.
    pub(crate) fn channel(&self) -> String {
        // As `sql` makes it of the name in the functions of the schema.
        format!("\"{}\".head", self.name)
    }

    /// Rewrites SQL for the schema `cqrs` to this schema.
    pub(crate) fn sql(&self, text: &str) -> Arc<str> {
        text.replace("cqrs.", &format!("\"{}\".", self.name)).into()
    }

    /// Applies the migrations that are missing. Does nothing if none is.
    pub(crate) async fn migrate(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        self.migrate_to(self.migrations.list.len(), connection).await
    }

    async fn migrate_to(
        &self,
        version: usize,
        connection: &mut PgConnection,
    ) -> Result<(), StoreError> {
        let applied = async {
            let mut transaction = connection.begin().await?;
            // One at a time in a database, so that two processes do not create the same schema.
            transaction.execute("select pg_advisory_xact_lock(7166469118243893)").await?;
            // Checked first, because creating it needs a privilege that an application may lack.
            let exists = "select exists (select from pg_namespace where nspname = $1)";
            let exists: bool =
                sqlx::query_scalar(exists).bind(self.name()).fetch_one(&mut *transaction).await?;
            if !exists {
                let create = format!("create schema \"{}\"", self.name);
                transaction.execute(sqlx::raw_sql(AssertSqlSafe(create))).await?;
            }
            if self.version(&mut transaction).await?.is_none() {
                transaction.execute(sqlx::raw_sql(AssertSqlSafe(self.sql(TRACKING)))).await?;
            }
            let before = self.version(&mut transaction).await?.unwrap_or(0);
            let all = (1..).zip(self.migrations.list);
            for (number, (name, text)) in all.take(version).skip(before) {
                transaction.execute(sqlx::raw_sql(AssertSqlSafe(self.sql(text)))).await?;
                let record =
                    self.sql("insert into cqrs.migrations (version, name) values ($1, $2)");
                let record = sqlx::query(AssertSqlSafe(record)).bind(number).bind(*name);
                record.execute(&mut *transaction).await?;
                tracing::info!(schema = self.name(), number, name, "migration applied");
            }
            transaction.commit().await
        };
        applied.await.map_err(store_error)
    }

    /// The number of applied migrations; `None` if the schema is not one of a store.
    async fn version(&self, connection: &mut PgConnection) -> Result<Option<usize>, sqlx::Error> {
        let exists = "select exists (select from pg_class c join pg_namespace n \
             on n.oid = c.relnamespace where n.nspname = $1 and c.relname = 'migrations')";
        let query = sqlx::query_scalar::<_, bool>(exists).bind(self.name());
        if !query.fetch_one(&mut *connection).await? {
            return Ok(None);
        }
        let count = self.sql("select coalesce(max(version), 0) from cqrs.migrations");
        let row = sqlx::query(AssertSqlSafe(count)).fetch_one(connection).await?;
        Ok(Some(usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or(0)))
    }

    /// Fails if the tables are missing, or older or newer than this program.
    pub(crate) async fn check(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let Migrations { what, by, list } = self.migrations;
        let known = list.len();
        let name = self.name();
        let (kind, message) = match self.version(connection).await.map_err(store_error)? {
            Some(version) if version == known => return Ok(()),
            None | Some(0) => (
                StoreErrorKind::SchemaMissing,
                format!("schema `{name}` contains no {what}; create it with `{by}`"),
            ),
            Some(version) if version < known => (
                StoreErrorKind::SchemaOutdated,
                format!(
                    "schema `{name}` is at version {version} of {known}; update it with `{by}`"
                ),
            ),
            Some(version) => (
                StoreErrorKind::Unsupported,
                format!(
                    "schema `{name}` is at version {version}, newer than version {known} of this \
                     program; deploy a newer program"
                ),
            ),
        };
        Err(StoreError::new(kind, message))
    }

    pub(crate) async fn migrations(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<Migration>, StoreError> {
        let applied = self.version(connection).await.map_err(store_error)?.unwrap_or(0);
        let known = (1..).zip(self.migrations.list);
        Ok(known
            .map(|(number, &(name, _))| Migration { number, name, is_applied: number <= applied })
            .collect())
    }

    /// All migrations as one SQL script.
    pub(crate) fn script(&self) -> String {
        let mut script = format!("begin;\ncreate schema if not exists \"{}\";\n", self.name);
        script.push_str(&self.sql(TRACKING));
        for (number, (name, text)) in (1..).zip(self.migrations.list) {
            script.push_str(&format!("\n-- {number}: {name}\n{}", self.sql(text)));
            let record = format!(
                "insert into cqrs.migrations (version, name) values ({number}, '{name}');\n"
            );
            script.push_str(&self.sql(&record));
        }
        script.push_str("commit;\n");
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_name_is_a_plain_identifier() {
        for name in ["cqrs", "a", "_x", "tenant_7", "user", &"a".repeat(48)] {
            assert!(Schema::new(name, &EVENT_STORE).is_ok(), "{name}");
        }
        for name in ["", "7a", "Tenant", "a-b", "a.b", "a\"b", "pg_x", "ä", &"a".repeat(49)] {
            assert!(Schema::new(name, &EVENT_STORE).is_err(), "{name}");
        }
    }

    #[test]
    fn the_qualifier_is_replaced_everywhere() {
        for migrations in [&EVENT_STORE, &READ_STORE] {
            for (name, text) in migrations.list {
                let text = Schema::new("elsewhere", migrations).unwrap().sql(text);
                assert!(!text.contains("cqrs."), "{name}");
            }
        }
    }
}
