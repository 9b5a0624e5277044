//! What the store can tell about its streams.

use std::sync::Arc;

use cqrs_core::{
    Position, StreamName, Version,
    store::{Direction, StoreError, StreamInfo, StreamListing, StreamOrder, StreamQuery},
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::connections::arguments;
use crate::error::store_error;
use crate::moment::Moment;
use crate::names::stream_name;
use crate::numbers::{signed, unsigned};
use crate::store::Shared;

/// The newest and the first event of each stream of `s`.
const ENDS: &str = "
 cross join lateral (
   select e.version, e.position, e.recorded_at from cqrs.events e
    where e.stream_id = s.id order by e.version desc limit 1
 ) newest
 cross join lateral (
   select e.recorded_at from cqrs.events e
    where e.stream_id = s.id order by e.version limit 1
 ) first";

const SELECTED: &str = "s.name, newest.version, newest.position, \
     first.recorded_at as created_at, newest.recorded_at as updated_at";

pub(crate) const COUNT: &str =
    "select count(*) from cqrs.streams s where $1 = '' or strpos(s.name, $1) > 0";

pub(crate) async fn info(
    shared: &Shared,
    stream: &StreamName,
) -> Result<Option<StreamInfo>, StoreError> {
    let sql = format!("select {SELECTED} from cqrs.streams s {ENDS} where s.name = $1");
    let sql = shared.schema.sql(&sql);
    let rows = shared.connections.fetch(&sql, arguments![stream.as_str()]).await?;
    rows.first().map(described).transpose()
}

pub(crate) async fn page(
    shared: &Shared,
    query: &StreamQuery,
) -> Result<StreamListing, StoreError> {
    // The fields are public: whatever they hold is brought within its bounds.
    let size = query.clone().page_size(query.page_size).page_size;
    let offset = query.page.saturating_sub(1).saturating_mul(size);
    // No name contains NUL, and the database cannot be asked about it.
    if query.search.contains('\0') {
        return Ok(StreamListing::new(Vec::new(), 0));
    }
    let given = arguments![query.search.as_str()];
    let rows = shared.connections.fetch(&shared.sql.count_streams, given).await?;
    let total: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(store_error)?;
    let sql: Arc<str> = shared.schema.sql(&text(query.order, query.direction));
    let given = arguments![query.search.as_str(), signed(size), signed(offset)];
    let rows = shared.connections.fetch(&sql, given).await?;
    let streams = rows.iter().map(described).collect::<Result<_, _>>()?;
    Ok(StreamListing::new(streams, unsigned(total)))
}

fn text(order: StreamOrder, direction: Direction) -> String {
    let direction = match direction {
        Direction::Forward => "asc",
        Direction::Backward => "desc",
    };
    let matching = "where $1 = '' or strpos(s.name, $1) > 0";
    let order = match order {
        // The page is cut out by the index on names before anything else is looked up.
        StreamOrder::Name => {
            return format!(
                "select {SELECTED} from (select * from cqrs.streams s {matching} \
                   order by s.name {direction} limit $2 offset $3) s {ENDS} \
                 order by s.name {direction}"
            );
        }
        StreamOrder::Version => "newest.version",
        StreamOrder::CreatedAt => "first.recorded_at",
        StreamOrder::Position => "newest.position",
    };
    format!(
        "select {SELECTED} from cqrs.streams s {ENDS} {matching} \
          order by {order} {direction}, s.name limit $2 offset $3"
    )
}

fn described(row: &PgRow) -> Result<StreamInfo, StoreError> {
    let read = || -> Result<_, sqlx::Error> {
        let numbers = (row.try_get(1)?, row.try_get(2)?);
        let times = (row.try_get::<Moment, _>(3)?.0, row.try_get::<Moment, _>(4)?.0);
        Ok((row.try_get(0)?, numbers, times))
    };
    let (name, (version, position), (created, updated)) = read().map_err(store_error)?;
    let version = Version::new(unsigned(version));
    Ok(StreamInfo::new(
        stream_name(name)?,
        version,
        Position::new(unsigned(position)),
        created,
        updated,
    ))
}
