//! Information about streams.

use cqrs_core::{
    StreamName,
    store::{StoreError, StreamInfo, StreamListing, StreamQuery},
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::Pg;
use crate::database::Database;
use crate::database::arguments::arguments;
use crate::database::error::store_error;
use crate::database::names::stream_name;
use crate::database::numbers::{signed, unsigned};
use crate::database::sql::streams_page;

pub(crate) async fn info(
    database: &Database,
    stream: &StreamName,
) -> Result<Option<StreamInfo>, StoreError> {
    let given = arguments![stream.as_str()];
    let rows = database.connections.fetch(&database.sql.stream_info, given).await?;
    rows.first().map(stream_info).transpose()
}

pub(crate) async fn page(
    database: &Database,
    query: &StreamQuery,
) -> Result<StreamListing, StoreError> {
    // The fields are public, so their values may be out of range.
    let size = query.clone().page_size(query.page_size).page_size;
    let offset = query.page.saturating_sub(1).saturating_mul(size);
    // No name contains NUL, and no argument of a statement may.
    if query.search.contains('\0') {
        return Ok(StreamListing::new(Vec::new(), 0));
    }
    let given = arguments![query.search.as_str()];
    let rows = database.connections.fetch(&database.sql.count_streams, given).await?;
    let total: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(store_error)?;
    let sql = database.schema.sql(&streams_page(query.order, query.direction));
    let given = arguments![query.search.as_str(), signed(size), signed(offset)];
    let rows = database.connections.fetch(&sql, given).await?;
    let streams = rows.iter().map(stream_info).collect::<Result<_, _>>()?;
    Ok(StreamListing::new(streams, unsigned(total)))
}

fn stream_info(row: &PgRow) -> Result<StreamInfo, StoreError> {
    let read = || -> Result<_, sqlx::Error> {
        let (Pg(version), Pg(position)) = (row.try_get(1)?, row.try_get(2)?);
        let (Pg(created), Pg(updated)) = (row.try_get(3)?, row.try_get(4)?);
        Ok((row.try_get(0)?, version, position, created, updated))
    };
    let (name, version, position, created, updated) = read().map_err(store_error)?;
    Ok(StreamInfo::new(stream_name(name)?, version, position, created, updated))
}
