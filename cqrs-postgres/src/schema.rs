//! The schema a store lives in: its name, its migrations, and whether the tables fit the program.

use std::sync::Arc;

use cqrs_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use crate::error::store_error;

/// What has to be done to a schema, in order. A migration that was released is never edited:
/// another follows.
#[derive(Debug)]
pub(crate) struct Migrations {
    what: &'static str,
    /// What makes them.
    by: &'static str,
    list: &'static [(&'static str, &'static str)],
}

pub(crate) const EVENT_STORE: Migrations = Migrations {
    what: "event store",
    by: "PgStoreBuilder::migrate",
    list: &[
        ("log", include_str!("../migrations/0001_log.sql")),
        ("records", include_str!("../migrations/0002_records.sql")),
        ("append", include_str!("../migrations/0003_append.sql")),
        ("append-one", include_str!("../migrations/0004_append_one.sql")),
        ("log-view", include_str!("../migrations/0005_log_view.sql")),
        ("subscriptions", include_str!("../migrations/0006_subscriptions.sql")),
    ],
};

pub(crate) const READ_STORE: Migrations = Migrations {
    what: "read store",
    by: "PgReadStoreBuilder::migrate",
    list: &[
        ("records", include_str!("../migrations/read_store/0001_records.sql")),
        ("leases", include_str!("../migrations/read_store/0002_leases.sql")),
        ("generations", include_str!("../migrations/read_store/0003_generations.sql")),
    ],
};

const TRACKING: &str = "create table if not exists cqrs.migrations (
  version integer primary key,
  name text not null,
  applied_at timestamptz not null default clock_timestamp()
);\n";

/// Longest name: what is made of it, such as a channel, must fit into 63 bytes.
const MAX_BYTES: usize = 48;

/// One change to the database's tables and functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Its place in the order, from 1.
    pub number: usize,
    /// What it is about.
    pub name: &'static str,
    /// Whether it was made in this database.
    pub is_applied: bool,
}

/// The name of a schema.
///
/// All SQL is written for the schema `cqrs` and reads as it is; for another one the qualifier is
/// replaced, which is safe because a name contains nothing that SQL could take for something else.
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
            "a schema's name is up to {MAX_BYTES} lower-case letters, digits and underscores and \
             does not start with a digit or `pg_`"
        );
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where the commits of the store are announced.
    pub(crate) fn channel(&self) -> String {
        // As the functions of the schema call it, see `sql`.
        format!("\"{}\".head", self.name)
    }

    /// SQL written for the schema `cqrs`, for this one.
    pub(crate) fn sql(&self, text: &str) -> Arc<str> {
        text.replace("cqrs.", &format!("\"{}\".", self.name)).into()
    }

    /// Brings the schema to the version of this program. Nothing happens when it is there.
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
            // One at a time in a database: two runners at once do not both create a schema.
            transaction.execute("select pg_advisory_xact_lock(7166469118243893)").await?;
            // Asked first, because creating it needs a right that an application may lack.
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
                let note = self.sql("insert into cqrs.migrations (version, name) values ($1, $2)");
                let note = sqlx::query(AssertSqlSafe(note)).bind(number).bind(*name);
                note.execute(&mut *transaction).await?;
                tracing::info!(schema = self.name(), number, name, "migrated");
            }
            transaction.commit().await
        };
        applied.await.map_err(store_error)
    }

    /// How many migrations were applied; `None` when the schema is not a store's.
    async fn version(&self, connection: &mut PgConnection) -> Result<Option<usize>, sqlx::Error> {
        let is_there = "select exists (select from pg_class c join pg_namespace n \
             on n.oid = c.relnamespace where n.nspname = $1 and c.relname = 'migrations')";
        let query = sqlx::query_scalar::<_, bool>(is_there).bind(self.name());
        if !query.fetch_one(&mut *connection).await? {
            return Ok(None);
        }
        let count = self.sql("select coalesce(max(version), 0) from cqrs.migrations");
        let row = sqlx::query(AssertSqlSafe(count)).fetch_one(connection).await?;
        Ok(Some(usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or(0)))
    }

    /// Fails when the tables are missing, older or newer than this program.
    pub(crate) async fn check(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let Migrations { what, by, list } = self.migrations;
        let known = list.len();
        let name = self.name();
        let (kind, message) = match self.version(connection).await.map_err(store_error)? {
            Some(version) if version == known => return Ok(()),
            None | Some(0) => (
                StoreErrorKind::SchemaMissing,
                format!("schema `{name}` has no {what}; `{by}` creates it"),
            ),
            Some(version) if version < known => (
                StoreErrorKind::SchemaOutdated,
                format!("schema `{name}` is at version {version} of {known}; `{by}` updates it"),
            ),
            Some(version) => (
                StoreErrorKind::Unsupported,
                format!("schema `{name}` is at version {version}, this program knows {known}"),
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

    /// Everything as one SQL script, for those who apply changes by hand.
    pub(crate) fn script(&self) -> String {
        let mut script = format!("begin;\ncreate schema if not exists \"{}\";\n", self.name);
        script.push_str(&self.sql(TRACKING));
        for (number, (name, text)) in (1..).zip(self.migrations.list) {
            script.push_str(&format!("\n-- {number}: {name}\n{}", self.sql(text)));
            let note = format!(
                "insert into cqrs.migrations (version, name) values ({number}, '{name}');\n"
            );
            script.push_str(&self.sql(&note));
        }
        script.push_str("commit;\n");
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_identifiers() {
        for name in ["cqrs", "a", "_x", "tenant_7", "user", &"a".repeat(48)] {
            assert!(Schema::new(name, &EVENT_STORE).is_ok(), "{name}");
        }
        for name in ["", "7a", "Tenant", "a-b", "a.b", "a\"b", "pg_x", "ä", &"a".repeat(49)] {
            assert!(Schema::new(name, &EVENT_STORE).is_err(), "{name}");
        }
    }

    #[test]
    fn sql_is_for_one_schema_only() {
        for migrations in [&EVENT_STORE, &READ_STORE] {
            for (name, text) in migrations.list {
                let text = Schema::new("elsewhere", migrations).unwrap().sql(text);
                assert!(!text.contains("cqrs."), "{name}");
            }
        }
    }
}
