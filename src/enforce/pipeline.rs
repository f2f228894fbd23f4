//! One page on its way through: decoded, read in its charset, rewritten,
//! encoded again.

use crate::enforce::browser::{BrowserPolicy, Memory, Reach, insertion_point};
use crate::enforce::charset::{PRESCAN_BYTES, charset_of, header_charset, is_told};
use crate::enforce::codec::{Coding, Decoder, Encoder};
use crate::enforce::html::{PageContext, RewriteError, Rewriter};
use crate::policy::Decisions;

use bytes::Bytes;
use encoding_rs::{Encoding, REPLACEMENT, UTF_8};
use std::io;
use std::sync::Arc;

/// Until a page is this large, its inflation is nobody's business.
const INFLATION_GRACE_BYTES: u64 = 8 * 1024 * 1024;

/// The same where it was compressed twice, which nobody does but to make a bomb.
const TWICE_GRACE_BYTES: u64 = 1024 * 1024;

/// How a page enters.
#[derive(Clone, Debug)]
pub struct Start {
    /// What it is judged by.
    pub context: Arc<PageContext>,
    /// The origin's codings, in the order they were applied.
    pub codings: Vec<Coding>,
    /// The coding to send it in.
    pub send: Coding,
    /// The origin's `Content-Type`.
    pub content_type: Option<String>,
    /// How many times larger than its compressed form it may be.
    pub inflation: u64,
    /// Whether only `context.appended` is added, because nothing can be
    /// blocked: a copy is judged, for the record.
    pub append_only: bool,
    /// Whether the rest is passed on as it is where it cannot be rewritten.
    pub pass_unfilterable: bool,
}

/// Why a page cannot be passed on.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The body is not in the coding it claims.
    #[error("the body is not in the content coding it claims: {0}")]
    Coding(io::Error),
    /// It inflates far more than pages do.
    #[error("the body inflates to more than `limits.page_inflation` times its size")]
    Inflation,
    /// No browser can read its charset.
    #[error("the page's charset cannot be decoded")]
    Charset,
    /// The rewriter gave up.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
}

impl From<io::Error> for PipelineError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Self::Inflation,
            _ => Self::Coding(error),
        }
    }
}

/// One page on its way through.
pub struct Pipeline {
    /// One at least.
    decoders: Vec<Decoder>,
    stage: Stage,
    encoder: Option<Encoder>,
    /// What is rewritten and waits for [`Pipeline::release`].
    waiting: Option<Vec<u8>>,
    reach: Reach,
    context: Arc<PageContext>,
    content_type: Option<String>,
    append_only: bool,
    pass_unfilterable: bool,
    failure: Option<String>,
    inflation: u64,
    bytes_in: u64,
    /// What one coding made of it for the other.
    bytes_between: u64,
    bytes_decoded: u64,
    transcoded: bool,
    decisions: Decisions,
    changed: bool,
}

enum Stage {
    /// Waiting for enough bytes to know the charset.
    Charset(Vec<u8>),
    Rewrite {
        transcoder: Option<Box<encoding_rs::Decoder>>,
        rewriter: Box<Rewriter>,
    },
    /// The witness sees what passes and changes nothing.
    Append {
        witness: Option<Box<Rewriter>>,
    },
    /// It could not be rewritten further, and passes as it is.
    Pass {
        transcoder: Option<Box<encoding_rs::Decoder>>,
    },
    Ended,
}

impl Pipeline {
    /// Sets a page's journey up.
    ///
    /// # Errors
    /// When a decoder cannot be set up.
    pub fn new(start: Start) -> Result<Self, PipelineError> {
        // The last coding applied is the first to undo.
        let codings = match start.codings.as_slice() {
            [] => &[Coding::Identity],
            codings => codings,
        };
        let decoders = codings.iter().rev().map(|coding| Decoder::new(*coding));
        Ok(Self {
            decoders: decoders.collect::<io::Result<_>>()?,
            stage: Stage::Charset(Vec::new()),
            encoder: Some(Encoder::new(start.send)?),
            waiting: None,
            reach: Reach::default(),
            context: start.context,
            content_type: start.content_type,
            append_only: start.append_only,
            pass_unfilterable: start.pass_unfilterable,
            failure: None,
            inflation: start.inflation,
            bytes_in: 0,
            bytes_between: 0,
            bytes_decoded: 0,
            transcoded: false,
            decisions: Decisions::default(),
            changed: false,
        })
    }

    /// Takes a piece of the origin's body, for [`Pipeline::step`].
    pub fn push(&mut self, input: Bytes) {
        self.bytes_in += input.len() as u64;
        if let Some(decoder) = self.decoders.first_mut() {
            decoder.push(input);
        }
    }

    /// Whether [`Pipeline::step`] has something to do.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.decoders.iter().any(Decoder::is_busy)
    }

    /// Judges no more of what came in than becomes of it at once, and gives back
    /// what can be sent of that.
    ///
    /// # Errors
    /// When the page cannot be passed on; nothing more may be sent then.
    pub fn step(&mut self) -> Result<Vec<u8>, PipelineError> {
        if let Some(decoded) = self.decode()? {
            self.take_in(&decoded, false)?;
        }
        Ok(self.encoder.as_mut().map(Encoder::take).unwrap_or_default())
    }

    /// The next piece of the page, if there is one after so much work as is done
    /// at once.
    fn decode(&mut self) -> Result<Option<Bytes>, PipelineError> {
        let mut waiting = self.decoders.len();
        // What came furthest goes first.
        while let Some(at) = waiting.checked_sub(1) {
            let Some((decoder, later)) =
                self.decoders.get_mut(at..).and_then(<[_]>::split_first_mut)
            else {
                break;
            };
            match (decoder.next_piece()?, later.first_mut()) {
                (Some(decoded), None) => return Ok(Some(decoded)),
                (Some(decoded), Some(next)) => {
                    self.bytes_between += decoded.len() as u64;
                    next.push(decoded);
                    // It may make nothing of that, however much there is.
                    return match self.is_bomb(self.bytes_between) {
                        true => Err(PipelineError::Inflation),
                        false => Ok(None),
                    };
                }
                (None, _) => waiting = at,
            }
        }
        Ok(None)
    }

    /// Whether so many bytes are far more than became of any page.
    fn is_bomb(&self, bytes: u64) -> bool {
        let unread = self.decoders.first().map_or(0, Decoder::unread) as u64;
        let read = self.bytes_in.saturating_sub(unread);
        let is_once = self.decoders.len() < 2;
        let grace = if is_once { INFLATION_GRACE_BYTES } else { TWICE_GRACE_BYTES };
        bytes > grace && bytes > read.saturating_mul(self.inflation)
    }

    /// Gives nothing out before [`Pipeline::release`] says what goes before
    /// it.
    pub fn wait(&mut self) {
        self.waiting = Some(Vec::new());
    }

    /// How much waits, in bytes of the page.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, Vec::len)
    }

    /// What the browser may load of the page so far, for its policy.
    #[must_use]
    pub fn browser_policy(&mut self, memory: &Memory) -> BrowserPolicy {
        self.gather_reach();
        let html = self.waiting.as_deref().unwrap_or_default();
        BrowserPolicy::of(&self.context, memory, &self.reach, html)
    }

    /// Where the page's visitor can choose.
    #[must_use]
    pub fn choices_url(&self) -> &str {
        &self.context.placeholders.choices_url
    }

    /// The globals that the page lacks and something stands in for.
    #[must_use]
    pub fn stand_ins(&mut self) -> Vec<String> {
        self.gather_reach();
        self.reach.lacks.names(self.context.policy.catalogue())
    }

    /// Whether a script stands in the page that will run.
    #[must_use]
    pub fn runs_scripts(&mut self) -> bool {
        self.gather_reach();
        self.reach.runs
    }

    /// Lets out what waits, with `markup` at the beginning of the page's head.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn release(&mut self, markup: &str) -> Result<Vec<u8>, PipelineError> {
        let html = self.waiting.take().unwrap_or_default();
        let at = if markup.is_empty() { 0 } else { insertion_point(&html) };
        let (before, after) = html.split_at_checked(at).unwrap_or((&html, &[]));
        self.changed |= !markup.is_empty();
        let Some(mut encoder) = self.encoder.take() else { return Ok(Vec::new()) };
        for part in [before, markup.as_bytes(), after] {
            encoder.write(part)?;
        }
        if matches!(self.stage, Stage::Ended) {
            return Ok(encoder.finish()?);
        }
        let out = encoder.take();
        self.encoder = Some(encoder);
        Ok(out)
    }

    fn gather_reach(&mut self) {
        if let Stage::Rewrite { rewriter, .. } = &mut self.stage {
            self.reach.absorb(rewriter.take_reach());
        }
    }

    fn give(&mut self, bytes: &[u8]) -> Result<(), PipelineError> {
        match (&mut self.waiting, &mut self.encoder) {
            (Some(waiting), _) => waiting.extend_from_slice(bytes),
            (None, Some(encoder)) => encoder.write(bytes)?,
            (None, None) => {}
        }
        Ok(())
    }

    /// Gives back everything that can be sent without waiting for more.
    ///
    /// # Errors
    /// When the page cannot be passed on.
    pub fn flush(&mut self) -> Result<Vec<u8>, PipelineError> {
        let known = self.content_type.as_deref().and_then(header_charset).is_some();
        if known && matches!(&self.stage, Stage::Charset(start) if start.len() >= 3) {
            self.take_in(&[], true)?;
        }
        match &mut self.encoder {
            Some(encoder) => {
                encoder.flush()?;
                Ok(encoder.take())
            }
            None => Ok(Vec::new()),
        }
    }

    /// The origin's body has ended: gives back the rest.
    ///
    /// # Errors
    /// When the page cannot be passed on.
    pub fn finish(&mut self) -> Result<Vec<u8>, PipelineError> {
        while self.is_busy() {
            if let Some(decoded) = self.decode()? {
                self.take_in(&decoded, false)?;
            }
        }
        for decoder in &mut self.decoders {
            decoder.finish()?;
        }
        self.take_in(&[], true)?;
        let (rest, appends) = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Rewrite { transcoder, mut rewriter } => {
                let rest = transcoder.map(|mut decoder| transcode(&mut decoder, &[], true));
                let mut out = Vec::new();
                let mut ended = rewriter.write(rest.unwrap_or_default().as_bytes());
                if let Ok(written) = &mut ended {
                    out.append(written);
                    ended = rewriter.finish();
                }
                match ended {
                    Ok(written) => out.extend(written),
                    Err(error) => out.extend(self.unless_passed(&mut rewriter, error)?),
                }
                self.reach.absorb(rewriter.take_reach());
                self.changed |= rewriter.changed();
                self.decisions.extend(rewriter.take_decisions().iter().cloned());
                (out, false)
            }
            Stage::Append { witness } => {
                if let Some(mut witness) = witness {
                    let _ = witness.finish();
                    self.decisions.extend(witness.take_decisions().iter().cloned());
                }
                (Vec::new(), true)
            }
            Stage::Pass { transcoder: Some(mut transcoder) } => {
                (transcode(&mut transcoder, &[], true).into_bytes(), false)
            }
            Stage::Pass { transcoder: None } | Stage::Charset(_) | Stage::Ended => {
                (Vec::new(), false)
            }
        };
        self.give(&rest)?;
        if appends {
            let context = Arc::clone(&self.context);
            self.changed |= !context.appended.is_empty();
            self.give(context.appended.as_bytes())?;
        }
        if self.waiting.is_some() {
            return Ok(Vec::new());
        }
        let Some(encoder) = self.encoder.take() else { return Ok(Vec::new()) };
        Ok(encoder.finish()?)
    }

    /// Whether the page was changed so far.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.changed
            || self.transcoded
            || matches!(&self.stage, Stage::Rewrite { rewriter, .. } if rewriter.changed())
    }

    /// Why the rest passes as it is, once.
    #[must_use]
    pub fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    /// Whether the page is now UTF-8 and was not before.
    #[must_use]
    pub const fn transcoded(&self) -> bool {
        self.transcoded
    }

    /// Takes the decisions made so far.
    #[must_use]
    pub fn take_decisions(&mut self) -> Decisions {
        if let Stage::Rewrite { rewriter, .. } | Stage::Append { witness: Some(rewriter) } =
            &mut self.stage
        {
            self.decisions.extend(rewriter.take_decisions().iter().cloned());
        }
        std::mem::take(&mut self.decisions)
    }

    fn take_in(&mut self, decoded: &[u8], last: bool) -> Result<(), PipelineError> {
        self.bytes_decoded += decoded.len() as u64;
        if self.is_bomb(self.bytes_decoded) {
            return Err(PipelineError::Inflation);
        }
        if let Stage::Charset(start) = &mut self.stage {
            start.extend_from_slice(decoded);
            if start.len() < PRESCAN_BYTES && !last && !is_told(start) {
                return Ok(());
            }
            let start = std::mem::take(start);
            self.begin(&start)?;
            return self.rewrite(&start);
        }
        self.rewrite(decoded)
    }

    fn begin(&mut self, start: &[u8]) -> Result<(), PipelineError> {
        let encoding = charset_of(self.content_type.as_deref(), start);
        if encoding == REPLACEMENT {
            return Err(PipelineError::Charset);
        }
        if self.append_only {
            let witnessed = PageContext {
                appended: String::new(),
                opening: None,
                enforcing: false,
                ..(*self.context).clone()
            };
            let witnessed = Arc::new(witnessed);
            // Markup is appended as ASCII, which means nothing in UTF-16.
            let witness = if encoding.is_ascii_compatible() {
                Some(Box::new(Rewriter::new(witnessed, encoding)))
            } else {
                self.context = witnessed;
                None
            };
            self.stage = Stage::Append { witness };
            return Ok(());
        }
        let (transcoder, encoding): (_, &'static Encoding) = if encoding.is_ascii_compatible() {
            (None, encoding)
        } else {
            self.transcoded = true;
            (Some(Box::new(encoding.new_decoder_with_bom_removal())), UTF_8)
        };
        let rewriter = Box::new(Rewriter::new(Arc::clone(&self.context), encoding));
        self.stage = Stage::Rewrite { transcoder, rewriter };
        Ok(())
    }

    fn rewrite(&mut self, input: &[u8]) -> Result<(), PipelineError> {
        match &mut self.stage {
            Stage::Rewrite { transcoder, rewriter } => {
                let written = match transcoder {
                    Some(decoder) => rewriter.write(transcode(decoder, input, false).as_bytes()),
                    None => rewriter.write(input),
                };
                match written {
                    Ok(written) => self.give(&written)?,
                    Err(error) => return self.pass_rest(error),
                }
            }
            Stage::Pass { transcoder: Some(decoder) } => {
                let text = transcode(decoder, input, false);
                self.give(text.as_bytes())?;
            }
            Stage::Pass { transcoder: None } => self.give(input)?,
            Stage::Append { witness } => {
                if let Some(seeing) = witness
                    && seeing.write(input).is_err()
                {
                    // It is there for the record only: the page goes on.
                    self.decisions.extend(seeing.take_decisions().iter().cloned());
                    *witness = None;
                }
                self.give(input)?;
            }
            Stage::Charset(_) | Stage::Ended => {}
        }
        Ok(())
    }

    /// From here on the page passes as it is, where that is wanted.
    fn pass_rest(&mut self, error: RewriteError) -> Result<(), PipelineError> {
        let (transcoder, mut rewriter) = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Rewrite { transcoder, rewriter } => (transcoder, rewriter),
            Stage::Charset(_) | Stage::Append { .. } | Stage::Pass { .. } | Stage::Ended => {
                return Err(error.into());
            }
        };
        let unread = self.unless_passed(&mut rewriter, error)?;
        self.changed |= rewriter.changed();
        self.decisions.extend(rewriter.take_decisions().iter().cloned());
        self.stage = Stage::Pass { transcoder };
        self.reach.absorb(rewriter.take_reach());
        self.give(&unread)
    }

    /// What the rewriter has read and not given back, if it may pass.
    fn unless_passed(
        &mut self,
        rewriter: &mut Rewriter,
        error: RewriteError,
    ) -> Result<Vec<u8>, RewriteError> {
        if !self.pass_unfilterable {
            return Err(error);
        }
        self.failure = Some(error.to_string());
        Ok(rewriter.take_unread())
    }
}

fn transcode(decoder: &mut encoding_rs::Decoder, input: &[u8], last: bool) -> String {
    let mut out = String::new();
    if let Some(needed) = decoder.max_utf8_buffer_length(input.len()) {
        out.reserve(needed);
        let _ = decoder.decode_to_string(input, &mut out, last);
    }
    out
}
