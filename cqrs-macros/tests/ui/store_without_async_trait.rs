use cqrs::store::{
    Append, AppendError, Appended, CommandRecord, LogRead, Pages, StoreError, StreamInfo,
    StreamListing, StreamQuery, StreamRead,
};
use cqrs::{CommandId, EventStore, Position, StreamName, Timestamp, Version};

#[derive(Debug)]
struct FileStore;

impl EventStore for FileStore {
    async fn append(&self, _: Append) -> Result<Appended, AppendError> {
        todo!()
    }
    fn read_stream(&self, _: StreamRead) -> Pages<Version> {
        todo!()
    }
    fn read_log(&self, _: LogRead) -> Pages<Position> {
        todo!()
    }
    async fn head(&self) -> Result<Position, StoreError> {
        todo!()
    }
    async fn wait_for_head_after(&self, _: Position) {
        todo!()
    }
    async fn stream_info(&self, _: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        todo!()
    }
    async fn list_streams(&self, _: StreamQuery) -> Result<StreamListing, StoreError> {
        todo!()
    }
    async fn find_command(&self, _: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        todo!()
    }
    async fn forget_commands(&self, _: Timestamp) -> Result<u64, StoreError> {
        todo!()
    }
}

fn main() {}
