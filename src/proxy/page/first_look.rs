//! The beginning of a page, which is judged before its head leaves.

use crate::enforce::{Pipeline, PipelineError};
use crate::proxy::body::Source;
use crate::proxy::error::Error;
use crate::proxy::memo::Remembered;
use crate::proxy::page::held::Share;
use crate::proxy::page::{FIRST_LOOK_BYTES, STEPS};

use bytes::Bytes;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

/// The beginning of a page, both as it came and as it would leave.
pub(super) struct FirstLook {
    /// What it counts for.
    pub(super) share: Share,
    /// What arrived and was not looked at yet.
    pub(super) arrived: VecDeque<Bytes>,
    pub(super) ended: bool,
    pub(super) originals: Vec<Bytes>,
    pub(super) out: Vec<u8>,
    pub(super) taken: usize,
}

/// What comes next of a page.
pub(super) enum Next {
    Data(Bytes),
    End,
    /// Nothing, for too long.
    Late,
}

impl FirstLook {
    pub(super) const fn new(share: Share) -> Self {
        Self {
            share,
            arrived: VecDeque::new(),
            ended: false,
            originals: Vec::new(),
            out: Vec::new(),
            taken: 0,
        }
    }

    /// Counts what there is; whether there may be more.
    pub(super) fn has_room(&mut self, pipeline: &Pipeline) -> bool {
        let bytes = self.out.len() + pipeline.waiting_bytes() + self.arrived_bytes();
        self.share.set(bytes);
        self.share.may_grow(bytes)
    }

    /// How much came that was not looked at.
    pub(super) fn arrived_bytes(&self) -> usize {
        self.arrived.iter().map(Bytes::len).sum()
    }

    pub(super) async fn next(
        &mut self,
        source: &mut Source,
        deadline: Instant,
    ) -> Result<Next, Error> {
        if let Some(data) = self.arrived.pop_front() {
            return Ok(Next::Data(data));
        }
        loop {
            if self.ended {
                return Ok(Next::End);
            }
            match timeout_at(deadline, source.frame()).await {
                Err(_) => return Ok(Next::Late),
                Ok(None) => self.ended = true,
                Ok(Some(Err(error))) => {
                    return Err(Error::OriginBroken(format!("its body broke off: {error}")));
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Next::Data(data));
                    }
                }
            }
        }
    }

    /// Whether what arrives is that page, and nothing more. What was read for
    /// that is looked at again otherwise.
    pub(super) async fn is(
        &mut self,
        known: &Remembered,
        source: &mut Source,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let mut read = VecDeque::new();
        let mut at = 0;
        let same = loop {
            match self.next(source, deadline).await? {
                Next::Late => break false,
                Next::End => break at == known.original.len(),
                Next::Data(data) => {
                    let goes_on = known.goes_on(at, &data);
                    at += data.len();
                    read.push_back(data);
                    if !goes_on {
                        break false;
                    }
                }
            }
        };
        self.arrived = read;
        Ok(same)
    }

    /// Looks at what came, as far as there may be more; the pipeline is busy with
    /// the rest.
    pub(super) async fn take(
        &mut self,
        data: Bytes,
        most: usize,
        pipeline: &mut Pipeline,
    ) -> Result<(), PipelineError> {
        self.taken += data.len();
        self.originals.push(data.clone());
        pipeline.push(data);
        // A compressed one becomes larger, but not what it would like to be.
        let held = most.max(FIRST_LOOK_BYTES.saturating_mul(4));
        let mut steps = 0;
        while pipeline.is_busy() {
            let is_enough = self.out.len() + pipeline.waiting_bytes() >= held;
            if is_enough || !self.has_room(pipeline) {
                return Ok(());
            }
            self.out.extend(pipeline.step()?);
            steps += 1;
            if steps % STEPS == 0 {
                yield_now().await;
            }
        }
        Ok(())
    }
}

/// The pieces in memory of their own: each is part of a buffer that may be much
/// larger.
pub(super) fn joined(pieces: &[Bytes]) -> Bytes {
    pieces.concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::enforce::Start;
    use crate::enforce::codec::{Coding, Encoder};
    use crate::enforce::html::PageContext;
    use crate::policy::{Policy, Unlisted};
    use crate::proxy::page::WHOLE_BYTES;
    use crate::proxy::page::held::{ALWAYS_BYTES, Held, MOST_BYTES};
    use std::sync::Arc;

    fn pipeline() -> Pipeline {
        let catalogue = Arc::new(Catalogue::compile(&[]).unwrap());
        let policy = Policy::new(catalogue, Unlisted::Observe, &[]);
        let context = PageContext { guarded: true, ..PageContext::of_shop(policy) };
        let start = Start {
            context: context.into(),
            codings: vec![Coding::Gzip],
            send: Coding::Identity,
            content_type: Some("text/html; charset=utf-8".into()),
            inflation: 1000,
            append_only: false,
            pass_unfilterable: false,
        };
        let mut pipeline = Pipeline::new(start).unwrap();
        pipeline.wait();
        pipeline
    }

    /// Pages that begin side by side all see that there is room.
    #[tokio::test]
    async fn what_is_held_is_counted_while_it_gathers() {
        let mut encoder = Encoder::new(Coding::Gzip).unwrap();
        encoder
            .write(&b"<p>A paragraph of some length, and one more.</p>\n".repeat(9_000))
            .unwrap();
        let page = Bytes::from(encoder.finish().unwrap());
        let held = Arc::new(Held::default());
        let mut others = held.share();
        others.set(MOST_BYTES - 1_000_000);
        assert!(held.has_room());
        let mut looks: Vec<_> =
            (0..5).map(|_| (FirstLook::new(held.share()), pipeline())).collect();
        for (look, pipeline) in &mut looks {
            look.take(page.clone(), WHOLE_BYTES, pipeline).await.unwrap();
        }
        let waits: Vec<_> = looks.iter().map(|(_, pipeline)| pipeline.waiting_bytes()).collect();
        let whole: Vec<_> = looks.iter().map(|(_, pipeline)| !pipeline.is_busy()).collect();
        assert_eq!(whole, [true, true, true, false, false], "{waits:?}");
        // What a piece becomes is known afterwards.
        assert!(waits.last().is_some_and(|bytes| *bytes < 2 * ALWAYS_BYTES), "{waits:?}");
        assert!(!held.has_room());
        drop((looks, others));
        assert!(held.has_room());
    }
}
