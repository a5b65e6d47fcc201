//! Commands: sent, taken back, fetched, answered, over. What a step does stands in the platform's rules.

use std::{ops::Range, sync::LazyLock};

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::{
        command::{Command, CommandId, CommandMove, CommandStep, Expected, Order},
        device::DeviceState,
        log::LogEntry,
    },
    ports::{StoreError, Written},
    rules::{
        commands::{NotSent, SendCase, ended_kept, kept_from, next_id},
        life::Standing,
    },
};
use rusqlite::{OptionalExtension, Params, Row, params};

use super::{
    super::{
        rows,
        schema::{
            Stored, Update,
            registry::{COMMANDS, CommandRow},
            sql,
        },
    },
    Change, Registry, meta, missing, unless_damaged,
};

/// What a step changes.
static PUT: LazyLock<Update> =
    LazyLock::new(|| COMMANDS.update(&["state", "code", "data", "message", "sent", "ended", "fetched"]));

/// What has ended of a device, the last one first, with the bytes of the replies. A length stands at the head
/// of a row, and is taken from there where a column alone is asked for it: no reply is read.
const ENDED: &str = "SELECT ended, n, ifnull(octet_length(data), 0) + ifnull(octet_length(message), 0) \
                     FROM commands WHERE device = ?1 AND ended IS NOT NULL ORDER BY ended DESC, n DESC";

impl Registry {
    pub(in crate::sqlite) fn send_command(
        &mut self,
        device: DeviceId,
        (order, only_id): (&Order, Option<CommandId>),
        expected: Option<Expected>,
        at: UnixMillis,
    ) -> Change<Result<Command, NotSent>> {
        let Some((row, _)) = self.device_and_product(device)? else { return Ok(Err(missing(device))) };
        let mut case = SendCase {
            activated: row.active_time.is_some(),
            online: row.state == DeviceState::Online,
            open: self.count_open_commands(device)?,
            open_max: self.open_commands_max,
            pending_ttl_s: order.pending_ttl_s,
        };
        if case.is_full() && self.may_be_over(device, at)? {
            // What is over by its time makes room, also where no server has written that down.
            let over = self.step_open_commands(device, None, &CommandStep::TimePasses, at)?;
            self.commands_moved(device, &over, at)?;
            case.open = self.count_open_commands(device)?;
        }
        if let Err(why) = case.permit() {
            return Ok(Ok(Err(why)));
        }
        let id = self.next_command(device, at)?;
        if only_id.is_some_and(|only| only != id) {
            return Ok(Ok(Err(NotSent::OtherId(id))));
        }
        let mut row = rows::new_command(device, id, (order, expected), at);
        row.n = row.insert_numbered(&self.connection)?;
        row.put_sum(&self.connection)?;
        self.drop_old_commands(device, at)?;
        let command = rows::command(row);
        self.note(LogEntry::command_sent(device, at, &command))?;
        self.tell_command(device, at, &command)?;
        Ok(Ok(Ok(command)))
    }

    fn count_open_commands(&self, device: DeviceId) -> rusqlite::Result<usize> {
        let open = "SELECT count(*) FROM commands WHERE device = ?1 AND ended IS NULL";
        let open: i64 = self.connection.prepare_cached(open)?.query_row([device.0], |row| row.get(0))?;
        Ok(usize::try_from(open).unwrap_or(usize::MAX))
    }

    /// Whether one of those that have not ended may be over by its time: asked before all of them are read,
    /// as each command that is refused for a full queue would cost that.
    fn may_be_over(&self, device: DeviceId, at: UnixMillis) -> rusqlite::Result<bool> {
        // One that waits is over after its time to live. That the device still has it then is found later.
        let sql = "SELECT EXISTS (SELECT 1 FROM commands WHERE device = ?1 AND ended IS NULL AND ?2 >= \
                   iif(pending_ttl_s > 0, created + 1000 * pending_ttl_s, \
                   ifnull(sent, created) + 1000 * timeout_s))";
        self.connection.prepare_cached(sql)?.query_row(params![device.0, at.0], |row| row.get(0))
    }

    /// Those that are open at this time, whether their end is written down or not.
    pub(super) fn count_commands_open_at(&self, device: DeviceId, at: UnixMillis) -> rusqlite::Result<usize> {
        let sql = sql!("SELECT {} FROM commands c WHERE c.device = ?1 AND c.ended IS NULL", COMMANDS.list());
        let mut select = self.connection.prepare_cached(sql)?;
        let read = |row: &Row<'_>| unless_damaged(read_row(row).map(Some));
        let open = select.query_map([device.0], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let is_open = |row: &CommandRow| !rows::command(row.clone()).is_over(at);
        // A damaged one counts as open: nothing ends it.
        Ok(open.iter().filter(|row| row.as_ref().is_none_or(is_open)).count())
    }

    /// The id of the newest one that is kept.
    pub(super) fn last_command(&self, device: DeviceId) -> rusqlite::Result<Option<CommandId>> {
        let last = "SELECT id FROM commands WHERE device = ?1 ORDER BY n DESC LIMIT 1";
        let last =
            self.connection.prepare_cached(last)?.query_row([device.0], |row| row.get(0)).optional()?;
        Ok(last.map(CommandId))
    }

    fn next_command(&self, device: DeviceId, at: UnixMillis) -> rusqlite::Result<CommandId> {
        let last = self.last_command(device)?.max(meta::command_of_gone(&self.connection)?);
        let kept = "SELECT EXISTS (SELECT 1 FROM commands WHERE device = ?1 AND id = ?2)";
        let mut failure = None;
        let id = next_id(last, at, |id| {
            let look = || {
                let mut select = self.connection.prepare_cached(kept)?;
                select.query_row([device.0, id.0.into()], |row| row.get(0))
            };
            look().unwrap_or_else(|error| {
                failure = Some(error);
                false
            })
        });
        failure.map_or(Ok(id), Err)
    }

    /// Of a device: what ended too long ago, and what ended first where too many have ended, or their replies
    /// have too many bytes.
    fn drop_old_commands(&self, device: DeviceId, at: UnixMillis) -> rusqlite::Result<()> {
        let ended: Vec<(i64, i64, i64)> = {
            let mut select = self.connection.prepare_cached(ENDED)?;
            let rows = select.query_map([device.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let bytes = ended.iter().map(|(.., bytes)| usize::try_from(*bytes).unwrap_or(usize::MAX));
        let (surplus_ended, surplus_n) =
            ended.get(ended_kept(bytes)).map_or((i64::MIN, i64::MIN), |(ended, n, _)| (*ended, *n));
        let sql = "DELETE FROM commands WHERE device = ?1 AND ended IS NOT NULL \
                   AND (ended < ?2 OR (ended, n) <= (?3, ?4))";
        let values = params![device.0, kept_from(at).0, surplus_ended, surplus_n];
        self.take_away("commands", sql, values).map(drop)
    }

    /// Deletes what ended before a time, of the devices whose ids lie in a range; returns how many rows.
    /// Where there is nothing, nothing is written.
    pub(in crate::sqlite) fn forget_commands_before(
        &mut self,
        devices: Range<i64>,
        before: UnixMillis,
    ) -> rusqlite::Result<usize> {
        let values = params![devices.start, devices.end, before.0];
        let old = "SELECT EXISTS (SELECT 1 FROM commands WHERE device >= ?1 AND device < ?2 AND ended < ?3)";
        if !self.connection.prepare_cached(old)?.query_row(values, |row| row.get::<_, bool>(0))? {
            return Ok(0);
        }
        self.begin()?;
        let sql = "DELETE FROM commands WHERE device >= ?1 AND device < ?2 AND ended < ?3";
        let rows = self.take_away("commands", sql, values)?;
        let number = self.number()?;
        self.commit()?;
        self.numbered(number);
        Ok(rows)
    }

    pub(in crate::sqlite) fn cancel_commands(
        &mut self,
        device: DeviceId,
        id: Option<CommandId>,
        at: UnixMillis,
    ) -> Change<Vec<Command>> {
        if self.device_and_product(device)?.is_none() {
            return Ok(Err(missing(device)));
        }
        if let Some(id) = id
            && self.command_of(device, id)?.is_none()
        {
            return Ok(Err(StoreError::Missing { what: "command", key: id.to_string() }));
        }
        let cancelled = self.cancel_open_commands(device, id, at)?;
        self.commands_moved(device, &cancelled, at)?;
        if let Some(entry) = LogEntry::commands_cancelled(device, at, &cancelled) {
            self.note(entry)?;
        }
        Ok(Ok(cancelled))
    }

    /// Takes back one or all that have not ended. Damaged ones stay as they are.
    pub(super) fn cancel_open_commands(
        &self,
        device: DeviceId,
        id: Option<CommandId>,
        at: UnixMillis,
    ) -> rusqlite::Result<Vec<Command>> {
        self.step_open_commands(device, id, &CommandStep::Cancel, at)
    }

    /// A step of one or all that have not ended; returns those that have changed, as they then are.
    fn step_open_commands(
        &self,
        device: DeviceId,
        id: Option<CommandId>,
        step: &CommandStep,
        at: UnixMillis,
    ) -> rusqlite::Result<Vec<Command>> {
        let sql = sql!(
            "SELECT {} FROM commands c WHERE c.device = ?1 AND c.ended IS NULL ORDER BY c.n",
            COMMANDS.list()
        );
        let open: Vec<Option<CommandRow>> = {
            let mut select = self.connection.prepare_cached(sql)?;
            let read = |row: &Row<'_>| unless_damaged(read_row(row).map(Some));
            select.query_map([device.0], read)?.collect::<rusqlite::Result<_>>()?
        };
        let wanted = open.into_iter().flatten().filter(|row| id.is_none_or(|id| row.id == id.0));
        let mut changed = Vec::new();
        for row in wanted {
            let mut command = rows::command(row.clone());
            if command.step(step, at) == Ok(true) {
                self.put_command(row, &command)?;
                self.tell_command(device, at, &command)?;
                changed.push(command);
            }
        }
        Ok(changed)
    }

    /// A step of a command on the data path.
    pub(in crate::sqlite) fn move_command(&mut self, wanted: &CommandMove) -> rusqlite::Result<Written> {
        let found = unless_damaged(self.device_of_any_product(wanted.device))?;
        let Some((device, product_enabled)) = found else { return Ok(Written::DeviceUnavailable) };
        if let Some(session) = wanted.session {
            let standing = Standing {
                enabled: device.enabled && product_enabled,
                login: device.login_number,
                secret_version: device.secret_version,
            };
            if let Err(refused) = standing.permit_report(Some(session.login), session.secret_version) {
                return Ok(refused);
            }
        }
        match self.command_of(wanted.device, wanted.id)? {
            Some(row) => self.step_command(&row, &wanted.step, wanted.at),
            None => Ok(Written::CommandOver),
        }
    }

    fn step_command(
        &mut self,
        row: &CommandRow,
        step: &CommandStep,
        at: UnixMillis,
    ) -> rusqlite::Result<Written> {
        let mut command = rows::command(row.clone());
        match command.step(step, at) {
            Ok(true) => {}
            Ok(false) => return Ok(Written::Unchanged),
            Err(_) => return Ok(Written::CommandOver),
        }
        self.put_command(row.clone(), &command)?;
        self.tell_command(row.device, at, &command)?;
        let upgrade = self.commands_moved(row.device, &[command], at)?;
        Ok(upgrade.map_or(Written::Done, Written::Upgrade))
    }

    /// Writes what has become of a command.
    fn put_command(&self, row: CommandRow, command: &Command) -> rusqlite::Result<()> {
        let Command { state, code, sent, ended, fetched, .. } = *command;
        let [data, message] =
            [&command.data_json, &command.message].map(|text| text.as_deref().map(str::to_owned));
        let row = CommandRow { state, code, data, message, sent, ended, fetched, ..row };
        PUT.run(&self.connection, &row).map(drop)
    }

    fn command_of(&self, device: DeviceId, id: CommandId) -> rusqlite::Result<Option<CommandRow>> {
        let sql = sql!("SELECT {} FROM commands c WHERE c.device = ?1 AND c.id = ?2", COMMANDS.list());
        self.one_command(sql, params![device.0, id.0])
    }

    fn one_command(&self, sql: &str, values: impl Params) -> rusqlite::Result<Option<CommandRow>> {
        self.connection.prepare_cached(sql)?.query_row(values, read_row).optional()
    }
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<CommandRow> {
    CommandRow::intact(row, 0, || rows::name_of_command(row))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{super::super::schema::registry::schema, *};

    /// `OPFLAG_BYTELENARG` of SQLite: only the length of the column is wanted.
    const LENGTH_ALONE: i64 = 0xc0;

    #[test]
    fn no_reply_is_read_to_add_up_the_bytes_of_replies() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&schema()).unwrap();
        let sql = "SELECT cid FROM pragma_table_info('commands') WHERE name IN ('data', 'message')";
        let mut select = connection.prepare(sql).unwrap();
        let replies: Vec<i64> = select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut explain = connection.prepare(&format!("EXPLAIN {ENDED}")).unwrap();
        let read = |row: &Row<'_>| Ok((row.get("opcode")?, row.get("p2")?, row.get("p5")?));
        let steps = explain.query_map([1], read).unwrap().map(Result::unwrap);
        let steps: Vec<(String, i64, i64)> = steps.collect();
        let of_replies =
            steps.iter().filter(|(code, column, _)| code == "Column" && replies.contains(column));
        let flags: Vec<i64> = of_replies.map(|(.., flags)| *flags).collect();
        assert_eq!(flags, [LENGTH_ALONE; 2], "{steps:?}");
    }
}
