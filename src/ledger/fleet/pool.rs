//! Connections for those who ask the shared ledger again and again.

use crate::ledger::Error;
use crate::ledger::engine::Engine;
use crate::ledger::figures::Figures;
use crate::ledger::fleet::place::Place;

use std::sync::{Mutex, PoisonError};

/// More than this nobody needs who reads pages.
const IDLE: usize = 4;

/// Connections that wait for a question.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Pool(Mutex<Vec<Figures>>);

impl Pool {
    /// Asks the ledger at that place.
    pub(in crate::ledger) fn ask<T>(
        &self,
        place: &Place,
        ask: impl FnOnce(&Figures) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let figures = match idle {
            Some(figures) => figures,
            None => Figures::new(Engine::connect(place)?),
        };
        let answer = ask(&figures);
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(figures);
        }
        answer
    }
}
