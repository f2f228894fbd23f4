//! The shared ledger as somebody reads it.

use crate::ledger::Error;
use crate::ledger::engine::{Row, Value};
use crate::ledger::fleet::place::Place;
use crate::ledger::fleet::schema;
use crate::ledger::fleet::session::{Session, Stop, Waiting};
use crate::ledger::fleet::trouble::Trouble;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A connection that can only read, and is made anew when it breaks.
pub struct Asked {
    place: Place,
    waiting: Arc<Waiting>,
    stop: Stop,
    /// Held, so that nothing stops.
    _brake: watch::Sender<Option<tokio::time::Instant>>,
    session: Mutex<Option<Session>>,
}

impl Asked {
    pub(in crate::ledger) fn open(place: &Place) -> Result<Self, Trouble> {
        let (brake, stop) = Stop::new();
        let waiting = Waiting::new().map_err(|error| Trouble::Unreachable {
            place: place.to_string(),
            why: error.to_string(),
        })?;
        let asked = Self {
            place: place.clone(),
            waiting: Arc::new(waiting),
            stop,
            _brake: brake,
            session: Mutex::new(None),
        };
        let session = asked.connect()?;
        *asked.held() = Some(session);
        Ok(asked)
    }

    /// Where it is.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    fn connect(&self) -> Result<Session, Trouble> {
        let session = Session::open(&self.place, Arc::clone(&self.waiting), self.stop.clone())?;
        // Compiling a question takes longer than most answers do.
        session.run(
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;
             SET jit = off; SET statement_timeout = '50s'",
        )?;
        schema::check(&session)?;
        Ok(session)
    }

    pub(in crate::ledger) fn rows(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Trouble> {
        let mut held = self.held();
        let session = match held.take() {
            Some(session) if !session.is_closed() => session,
            Some(_) | None => self.connect()?,
        };
        match session.rows(sql, values) {
            Err(Trouble::Unreachable { .. }) => {
                // It broke while nobody looked: the server was started anew.
                let session = self.connect()?;
                let rows = session.rows(sql, values);
                *held = Some(session);
                rows
            }
            // An answer may still be under way: nobody knows to which question.
            Err(trouble @ (Trouble::TooSlow { .. } | Trouble::Stopped)) => Err(trouble),
            answer => {
                *held = Some(session);
                answer
            }
        }
    }

    /// Asks several questions about one moment.
    pub(in crate::ledger) fn one_moment<T>(
        &self,
        ask: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.rows("SELECT 1", &[])
            .and_then(|_| self.run("BEGIN ISOLATION LEVEL REPEATABLE READ"))
            .map_err(Error::Fleet)?;
        let answer = ask();
        self.run("ROLLBACK").ok();
        answer
    }

    fn run(&self, sql: &str) -> Result<(), Trouble> {
        match self.held().as_ref() {
            Some(session) => session.run(sql),
            None => Err(Trouble::Unreachable {
                place: self.place.to_string(),
                why: "the connection was closed".to_owned(),
            }),
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
