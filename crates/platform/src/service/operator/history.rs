//! What devices reported and what happened to them.

use narrowgate_api::{
    device::NamedDevice,
    history::{EventView, LogView, PointValues, PointView, PresenceView, RefusalView},
    page::Page,
    problem::Problem,
    query::{DeviceEventsQuery, LatestQuery, Paging, PointValuesQuery, ValuesQuery},
};

use super::Operator;
use crate::{model::device::Device, ports::HistoryQuery};

const POINTS: &str = "cannot show the device's points";

impl Operator {
    /// The latest value of every point of a device, by name.
    ///
    /// # Errors
    /// There is none; a limit or a cursor is none.
    pub async fn list_latest_values(
        &self,
        name: &NamedDevice,
        query: LatestQuery,
    ) -> Result<Page<PointView>, Problem> {
        let LatestQuery { point, limit, cursor } = query;
        let act = async |device: Device| {
            self.registrar.points_latest(&device, point.as_deref(), &Paging { limit, cursor }).await
        };
        self.with_device(POINTS, name, act).await
    }

    /// Values of a device by time, newest first.
    ///
    /// # Errors
    /// There is none; a limit or a cursor is none; the time span ends before it begins.
    pub async fn list_values(
        &self,
        name: &NamedDevice,
        query: ValuesQuery,
    ) -> Result<Page<PointView>, Problem> {
        let ValuesQuery { point, from, to, limit, cursor } = query;
        let query = HistoryQuery { point, from, to, ..HistoryQuery::default() };
        let act = async |device: Device| {
            self.registrar.points_history(&device, query, &Paging { limit, cursor }).await
        };
        self.with_device(POINTS, name, act).await
    }

    /// Values of one point of a device by time, or what they come to in buckets of time; newest first.
    ///
    /// # Errors
    /// There is no such device; a limit, a cursor or a bucket is none; the time span ends before it begins;
    /// one bucket has too many reports.
    pub async fn list_point_values(
        &self,
        name: &NamedDevice,
        point: String,
        query: PointValuesQuery,
    ) -> Result<PointValues, Problem> {
        let act = async |device: Device| self.registrar.point_values(&device, point, query).await;
        self.with_device(POINTS, name, act).await
    }

    /// Events of a device by time, newest first.
    ///
    /// # Errors
    /// There is no such device; a limit or a cursor is none; the time span ends before it begins.
    pub async fn list_device_events(
        &self,
        name: &NamedDevice,
        query: DeviceEventsQuery,
    ) -> Result<Page<EventView>, Problem> {
        let act = async |device: Device| self.registrar.events(&device, query).await;
        self.with_device("cannot show the device's events", name, act).await
    }

    /// What happened to a device, newest first.
    ///
    /// # Errors
    /// There is none; a limit or a cursor is none.
    pub async fn list_device_log(
        &self,
        name: &NamedDevice,
        paging: &Paging,
    ) -> Result<Page<LogView>, Problem> {
        let act = async |device: Device| self.registrar.log(&device, paging).await;
        self.with_device("cannot show the device's log", name, act).await
    }

    /// When a device came and went, newest first.
    ///
    /// # Errors
    /// There is none; a limit or a cursor is none.
    pub async fn list_presence(
        &self,
        name: &NamedDevice,
        paging: &Paging,
    ) -> Result<Page<PresenceView>, Problem> {
        let act = async |device: Device| self.registrar.presence(&device, paging).await;
        self.with_device("cannot show the device's presence", name, act).await
    }

    /// What was refused of a device, newest first.
    ///
    /// # Errors
    /// There is none; a limit or a cursor is none.
    pub async fn list_device_refusals(
        &self,
        name: &NamedDevice,
        paging: &Paging,
    ) -> Result<Page<RefusalView>, Problem> {
        let act = async |device: Device| self.registrar.refusals_of(&device, paging).await;
        self.with_device("cannot list the device's refusals", name, act).await
    }

    /// Refusals of all devices and of strangers, newest first, each with the names that are known of its
    /// peer.
    ///
    /// # Errors
    /// A limit or a cursor is none.
    pub async fn list_refusals(&self, paging: &Paging) -> Result<Page<RefusalView>, Problem> {
        self.tell("cannot list the refusals", None, self.registrar.refusals(paging).await).await
    }
}
