//! One connection to the shared database, in which every wait has an end.

use crate::ledger::engine::{Row, Value};
use crate::ledger::fleet::place::Place;
use crate::ledger::fleet::tls::Tls;
use crate::ledger::fleet::trouble::Trouble;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

use std::borrow::Cow;
use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any statement may take.
pub(super) const STATEMENT: Duration = Duration::from_secs(60);

/// How long a connection may take in all: names, sockets, TLS, password.
const CONNECT: Duration = Duration::from_secs(20);

/// What waiting is done with; it can end in whatever place.
pub(super) struct Waiting(Option<Runtime>);

impl Waiting {
    pub(super) fn new() -> std::io::Result<Self> {
        Builder::new_current_thread().enable_all().build().map(|runtime| Self(Some(runtime)))
    }

    /// Waits for it. Where others wait with a runtime of theirs, as in the
    /// dashboard, that is done beside them: a runtime within a runtime panics.
    fn until<T: Send>(&self, work: impl Future<Output = T> + Send) -> Option<T> {
        let runtime = self.0.as_ref()?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Some(runtime.block_on(work));
        }
        std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join().ok())
    }

    /// Waits so long, or until it is time to stop.
    pub(super) fn pause(&self, pause: Duration, stop: &mut Stop) {
        self.until(async { timeout(pause, stop.changed()).await.ok() });
    }
}

/// A runtime must not be dropped, waiting, where others are not to wait.
impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// By when to be done; nothing while there is no hurry.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Receiver<Option<Instant>>);

impl Stop {
    /// A hand on the brake, and who feels it.
    pub(super) fn new() -> (watch::Sender<Option<Instant>>, Self) {
        let (brake, stop) = watch::channel(None);
        (brake, Self(stop))
    }

    /// By when to be done.
    pub(super) fn by(&self) -> Option<Instant> {
        match self.0.has_changed() {
            // Whoever could have told us is gone.
            Err(_) => Some(Instant::now()),
            Ok(_) => *self.0.borrow(),
        }
    }

    async fn changed(&mut self) {
        self.0.changed().await.ok();
    }

    async fn comes(mut self) {
        loop {
            let by = *self.0.borrow_and_update();
            if let Some(by) = by {
                return sleep_until(by).await;
            }
            if self.0.changed().await.is_err() {
                return;
            }
        }
    }
}

/// A value of a statement, and what it is to the database.
pub(super) type Given<'v> = (&'v (dyn ToSql + Sync), Type);

/// A connection.
pub(super) struct Session {
    client: Client,
    waiting: Arc<Waiting>,
    stop: Stop,
    place: String,
}

impl Session {
    /// Connects, once.
    pub(super) fn open(place: &Place, waiting: Arc<Waiting>, stop: Stop) -> Result<Self, Trouble> {
        let shown = place.to_string();
        let tls = Tls::new(place.ca_file.as_deref())
            .map_err(|why| Trouble::Tls { place: shown.clone(), why })?;
        let connected = {
            let (shown, stop) = (shown.clone(), stop.clone());
            let config = place.config.clone();
            waiting.until(async move {
                let connect = Box::pin(config.connect(tls));
                let (client, connection) = wait(&shown, CONNECT, stop, connect).await?;
                // It ends with the client, and tells it when it ends before.
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "the connection to the shared ledger ended");
                    }
                });
                Ok(client)
            })
        };
        let client = connected.unwrap_or(Err(Trouble::Stopped))?;
        Ok(Self { client, waiting, stop, place: shown })
    }

    /// Where it leads.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Whether the other side has hung up.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn wait<T: Send>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, Trouble> {
        let waited = self.waiting.until(wait(&self.place, STATEMENT, self.stop.clone(), work));
        waited.unwrap_or(Err(Trouble::Stopped))
    }

    /// Statements without values.
    pub(super) fn run(&self, sql: &str) -> Result<(), Trouble> {
        self.wait(self.client.batch_execute(sql))
    }

    /// One statement; the number of rows it touched.
    pub(super) fn change(&self, sql: &str, values: &[Given<'_>]) -> Result<u64, Trouble> {
        self.wait(self.client.execute_typed(sql, values))
    }

    /// Rows by the thousand.
    pub(super) fn copy<'r, const N: usize>(
        &self,
        sql: &str,
        types: &[Type; N],
        rows: impl Iterator<Item = [&'r (dyn ToSql + Sync); N]> + Send,
    ) -> Result<u64, Trouble> {
        self.wait(async {
            let sink = self.client.copy_in::<_, bytes::Bytes>(sql).await?;
            let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, types));
            for row in rows {
                writer.as_mut().write(&row).await?;
            }
            writer.finish().await
        })
    }

    /// The rows that answer a statement in PostgreSQL's own words.
    pub(super) fn ask(&self, sql: &str, values: &[Given<'_>]) -> Result<Vec<Row>, Trouble> {
        let answer = self.wait(self.client.query_typed(sql, values))?;
        answer
            .iter()
            .map(|row| (0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>())
            .map(|row| row.map(Row::of).map_err(|error| Trouble::odd(&error)))
            .collect()
    }

    /// A question as an engine asks it.
    pub(super) fn rows(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Trouble> {
        let values: Vec<Given<'_>> =
            values.iter().map(|value| (value as &(dyn ToSql + Sync), sort(value))).collect();
        self.ask(&numbered(sql), &values)
    }
}

/// Waits for an answer, but not for ever.
async fn wait<T>(
    place: &str,
    longest: Duration,
    stop: Stop,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Trouble> {
    tokio::select! {
        done = timeout(longest, work) => match done {
            Ok(done) => done.map_err(|error| Trouble::of(place, &error)),
            Err(_) => Err(Trouble::TooSlow { place: place.to_owned(), seconds: longest.as_secs() }),
        },
        () = stop.comes() => Err(Trouble::Stopped),
    }
}

/// `$1` for `?1`: what is a value in a question that both engines understand.
fn numbered(sql: &str) -> String {
    let mut written = String::with_capacity(sql.len());
    let mut in_text = false;
    let mut chars = sql.chars().peekable();
    while let Some(char) = chars.next() {
        in_text ^= char == '\'';
        let is_value = char == '?' && !in_text && chars.peek().is_some_and(char::is_ascii_digit);
        written.push(if is_value { '$' } else { char });
    }
    written
}

const fn sort(value: &Value) -> Type {
    match value {
        Value::Int(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
        // The server finds out what it is nothing of.
        Value::Null => Type::UNKNOWN,
    }
}

type Failed = Box<dyn StdError + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, to: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Failed> {
        match self {
            Self::Int(number) => number.to_sql(to, out),
            Self::Text(text) => kept(text).to_sql(to, out),
            Self::Bytes(bytes) => bytes.to_sql(to, out),
            Self::Null => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'r> FromSql<'r> for Value {
    fn from_sql(from: &Type, raw: &'r [u8]) -> Result<Self, Failed> {
        Ok(match *from {
            Type::INT8 => Self::Int(i64::from_sql(from, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(from, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(from, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(from, raw)?.into()),
            Type::BYTEA => Self::Bytes(raw.to_vec()),
            _ => Self::Text(given(<&str>::from_sql(from, raw)?).into_owned()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failed> {
        Ok(Self::Null)
    }

    fn accepts(sort: &Type) -> bool {
        matches!(*sort, Type::INT8 | Type::INT4 | Type::INT2 | Type::BOOL | Type::BYTEA)
            || <&str as FromSql<'_>>::accepts(sort)
            || *sort == Type::UNKNOWN
    }
}

/// PostgreSQL keeps no NUL in a text, and whoever writes a page may put one
/// there: it is kept as this character and a 0, and the character itself as
/// this and a 1.
const MARK: char = '\u{f0000}';

/// A text as PostgreSQL keeps it.
pub(super) fn kept(text: &str) -> Cow<'_, str> {
    if text.contains(['\0', MARK]) {
        text.replace(MARK, "\u{f0000}1").replace('\0', "\u{f0000}0").into()
    } else {
        text.into()
    }
}

/// The text that was kept so.
pub(super) fn given(kept: &str) -> Cow<'_, str> {
    if kept.contains(MARK) {
        kept.replace("\u{f0000}0", "\0").replace("\u{f0000}1", "\u{f0000}").into()
    } else {
        kept.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_understood_by_both() {
        assert_eq!(
            numbered("SELECT ?1, '?2', 'it''s ?3', a ? b, ?12"),
            "SELECT $1, '?2', 'it''s ?3', a ? b, $12"
        );
    }

    #[test]
    fn a_text_comes_back_as_it_was_whatever_is_in_it() {
        for text in ["", "plain", "a\0b", "\u{f0000}", "\u{f0000}0\0\u{f0000}1", "\0\0"] {
            let kept = kept(text);
            assert!(!kept.contains('\0'), "{text:?}");
            assert_eq!(given(&kept), text);
        }
    }
}
