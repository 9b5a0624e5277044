//! The database of an event store: its connections, its statements, and what this process knows of
//! it. Requests build on this module; it depends on none of them.

pub(crate) mod arguments;
pub(crate) mod connect;
pub(crate) mod connections;
pub(crate) mod epoch;
pub(crate) mod error;
pub(crate) mod head;
pub(crate) mod names;
pub(crate) mod numbers;
pub(crate) mod pool;
pub(crate) mod schema;
pub(crate) mod sql;
pub(crate) mod statements;

use std::sync::Arc;

use cqrs_core::{Position, Timestamp, app::Clock, store::StoreError};
use sqlx::Row;

use arguments::arguments;
use connections::Connections;
use epoch::Epoch;
use error::store_error;
use head::Head;
use names::Names;
use numbers::unsigned;
use schema::Schema;
use sql::Sql;

/// What every request works with.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) schema: Schema,
    pub(crate) sql: Sql,
    pub(crate) epoch: Epoch,
    pub(crate) names: Names,
    pub(crate) head: Head,
    pub(crate) connections: Connections,
    /// The source of `stored_at`; the server's clock if there is none.
    clock: Option<Arc<dyn Clock>>,
}

impl Database {
    pub(crate) fn new(
        schema: Schema,
        connections: Connections,
        epoch: Epoch,
        clock: Option<Arc<dyn Clock>>,
    ) -> Self {
        Self {
            sql: Sql::of(&schema),
            schema,
            names: Names::new(epoch.clone()),
            head: Head::new(epoch.clone()),
            epoch,
            connections,
            clock,
        }
    }

    /// Reads the head from the database.
    pub(crate) async fn read_head(&self) -> Result<Position, StoreError> {
        let rows = self.connections.fetch(&self.sql.head, arguments![]).await?;
        let head: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(store_error)?;
        let head = Position::new(unsigned(head));
        self.head.raise(head);
        Ok(head)
    }

    /// The time of the configured clock; `None` if the server's clock counts.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }
}
