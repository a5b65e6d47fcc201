//! The port of reading: which pages there are, and where they come from.

use narrowgate_platform::{
    paging::Part,
    ports::{History, HistoryPage, PortFuture, Query, StoreError},
    rules::buckets::BUCKETS_MAX,
};

use super::{SqliteStore, VALUES_MAX, arrivals, buckets, history, queries, stream};

impl History for SqliteStore {
    fn read(&self, query: Query) -> PortFuture<'_, Result<HistoryPage, StoreError>> {
        let options = &self.shared.options;
        let within = |part: Part| Part { limit: part.limit.min(VALUES_MAX), ..part };
        match query {
            Query::PointsLatest { device } => {
                self.read(move |reader| self.latest_points(reader, device).map(HistoryPage::Points))
            }
            Query::PointsHistory { device, mut query } => {
                query.limit = query.limit.min(VALUES_MAX);
                self.read_long(move |reader| {
                    history::read(reader, self.shared.spans(), device.0, &query).map(HistoryPage::Points)
                })
            }
            Query::Buckets { device, mut query } => {
                query.limit = query.limit.min(BUCKETS_MAX);
                self.read_long(move |reader| {
                    buckets::read(reader, self.shared.spans(), device.0, query).map(HistoryPage::Buckets)
                })
            }
            Query::Events { device, mut query } => {
                query.limit = query.limit.min(VALUES_MAX);
                self.read_long(move |reader| {
                    history::events(reader, self.shared.spans(), device.0, &query).map(HistoryPage::Events)
                })
            }
            Query::DeviceLog { device, part } => self.read_long(move |reader| {
                queries::device_log(reader, device, within(part), options).map(HistoryPage::Entries)
            }),
            Query::Refusals { part } => self.read_long(move |reader| {
                queries::refusals(reader, within(part), options).map(HistoryPage::Entries)
            }),
            Query::Commands { device, part } => self.read_long(move |reader| {
                queries::commands(reader, device, within(part)).map(HistoryPage::Commands)
            }),
            Query::Arrivals { device, limit } => self.read(move |reader| {
                let limit = limit.min(VALUES_MAX);
                arrivals::of_device(reader, &self.shared.spans(), device, limit).map(HistoryPage::Arrivals)
            }),
            Query::Happened { after, limit } => self.read_stream(move |reader| {
                stream::read(reader, &self.shared, after, limit).map(HistoryPage::Happened)
            }),
            Query::Presence { device, part } => self.read(move |reader| {
                queries::presence_history(reader, device, within(part), options).map(HistoryPage::Presence)
            }),
        }
    }
}
