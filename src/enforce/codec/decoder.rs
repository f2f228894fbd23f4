//! Undoes content codings, a bounded piece at a time.

use crate::enforce::codec::Coding;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use std::io;
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

/// The largest window a compressed page may ask for: 8 MiB, as RFC 8878, 3.1.1.1.2
/// recommends decoders to support.
const ZSTD_WINDOW_LOG: u32 = 23;

/// What is decoded at once, at most and at least: whoever sends a bomb gets no
/// further than this at a time.
const STEP_BYTES: usize = 64 * 1024;
const LEAST_STEP_BYTES: usize = 4 * 1024;

/// What one [`Decoder::write`] may give: two KiB of Brotli can hold gigabytes.
pub(super) const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// How much of a gzip member tells it from junk.
const GZIP_START_BYTES: usize = 4;

/// The largest window of zlib, which all that compresses pages has.
const WINDOW_BITS: u8 = 15;

type BrotliDecoder = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// Undoes one coding.
pub struct Decoder {
    inner: Inner,
    /// What was not decoded yet.
    input: Bytes,
    /// Whether there may be more of what was read already.
    is_full: bool,
}

enum Inner {
    Identity,
    Gzip(Decompress),
    /// Behind a complete gzip member, with what may be the start of another.
    GzipEnd(Vec<u8>),
    /// The first bytes tell zlib from raw deflate.
    DeflateStart(Vec<u8>),
    /// Either.
    Deflate(Decompress),
    Brotli(Box<BrotliDecoder>),
    Zstd {
        decoder: zstd::stream::raw::Decoder<'static>,
        /// Whether a frame has ended and no other has begun.
        is_between: bool,
    },
    /// What follows a complete stream, and what nobody reads.
    Tail,
}

/// How far a decoder came with what it was given.
struct Step {
    read: usize,
    out: Vec<u8>,
    ended: bool,
}

impl Decoder {
    /// A decoder for one coding.
    ///
    /// # Errors
    /// When the decoder cannot be set up (out of memory).
    pub fn new(coding: Coding) -> io::Result<Self> {
        let inner = match coding {
            Coding::Identity => Inner::Identity,
            Coding::Gzip => Inner::Gzip(Decompress::new_gzip(WINDOW_BITS)),
            Coding::Deflate => Inner::DeflateStart(Vec::new()),
            Coding::Brotli => {
                let memory = StandardAlloc::default;
                Inner::Brotli(Box::new(BrotliState::new_strict(memory(), memory(), memory())))
            }
            Coding::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                Inner::Zstd { decoder, is_between: false }
            }
        };
        Ok(Self { inner, input: Bytes::new(), is_full: false })
    }

    /// Takes more input, to be decoded by [`Decoder::next_piece`].
    pub fn push(&mut self, input: Bytes) {
        if self.input.is_empty() {
            self.input = input;
        } else {
            self.input = [&self.input[..], &input[..]].concat().into();
        }
    }

    /// How much of its input it has not looked at, in bytes.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.input.len()
    }

    /// Whether [`Decoder::next_piece`] may have something to give.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.is_full || !self.input.is_empty()
    }

    /// Decodes on, up to 64 KiB at once; `None` when there is nothing before
    /// more comes in.
    ///
    /// # Errors
    /// When the input is not in this coding.
    pub fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        let mut idle = false;
        while self.is_busy() {
            if matches!(self.inner, Inner::Identity) {
                let size = STEP_BYTES.min(self.input.len());
                return Ok(Some(self.input.split_to(size)));
            }
            let space = self.input.len().saturating_mul(4).clamp(LEAST_STEP_BYTES, STEP_BYTES);
            // What is full has more than it was expected to.
            let space = if self.is_full { STEP_BYTES } else { space };
            let Step { read, out, ended } = self.inner.step(&self.input, space)?;
            self.is_full = out.len() >= space && !ended;
            self.input.advance(read.min(self.input.len()));
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
            let was_idle = std::mem::replace(&mut idle, read == 0 && !self.is_full);
            if was_idle && idle {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(None)
    }

    /// Decodes more input, all of it at once.
    ///
    /// # Errors
    /// When the input is not in this coding, or (as `FileTooLarge`) becomes
    /// far larger than any page.
    pub fn write(&mut self, input: &[u8]) -> io::Result<Vec<u8>> {
        self.push(Bytes::copy_from_slice(input));
        let mut whole = Vec::new();
        while let Some(piece) = self.next_piece()? {
            if whole.len() + piece.len() > PIECE_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// The input has ended: gives back what was not decoded yet.
    ///
    /// # Errors
    /// When it ended too early, or as [`Decoder::write`].
    pub fn finish(&mut self) -> io::Result<Vec<u8>> {
        let rest = self.write(&[])?;
        let is_whole = match &self.inner {
            Inner::Identity | Inner::Tail | Inner::GzipEnd(_) => true,
            // Nothing at all is nothing in any form.
            Inner::DeflateStart(start) => start.is_empty(),
            Inner::Gzip(_) | Inner::Deflate(_) | Inner::Brotli(_) => false,
            Inner::Zstd { is_between, .. } => *is_between,
        };
        if is_whole { Ok(rest) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Inner {
    /// Decodes some of the input into no more than `space` bytes. Whoever made
    /// no progress needs more input.
    fn step(&mut self, input: &[u8], space: usize) -> io::Result<Step> {
        let all = |out| Ok(Step { read: input.len(), out, ended: false });
        match self {
            Self::Identity | Self::Tail => all(Vec::new()),
            Self::Gzip(decoder) => {
                let step = inflate(decoder, input, space)?;
                if step.ended {
                    *self = Self::GzipEnd(Vec::new());
                }
                Ok(step)
            }
            Self::GzipEnd(start) => {
                let wanted = GZIP_START_BYTES.saturating_sub(start.len());
                let (more, _) = input.split_at(wanted.min(input.len()));
                let read = more.len();
                start.extend_from_slice(more);
                if !may_begin_member(start) {
                    // Junk behind a complete member: browsers ignore it, and so
                    // do we.
                    *self = Self::Tail;
                } else if start.len() == GZIP_START_BYTES {
                    let mut member = Decompress::new_gzip(WINDOW_BITS);
                    inflate(&mut member, start, 0)?;
                    *self = Self::Gzip(member);
                }
                Ok(Step { read, out: Vec::new(), ended: true })
            }
            Self::DeflateStart(start) => {
                start.extend_from_slice(input);
                let [first, second, ..] = start[..] else { return all(Vec::new()) };
                let is_zlib =
                    first & 0x0f == 8 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0;
                let mut decoder = Decompress::new(is_zlib);
                // The first byte may have come alone.
                let before = start.len() - input.len();
                let begun = start.get(..before).unwrap_or_default().to_vec();
                inflate(&mut decoder, &begun, 0)?;
                *self = Self::Deflate(decoder);
                Ok(Step { read: 0, out: Vec::new(), ended: true })
            }
            Self::Deflate(decoder) => {
                let step = inflate(decoder, input, space)?;
                if step.ended {
                    *self = Self::Tail;
                }
                Ok(step)
            }
            Self::Brotli(decoder) => {
                let mut out = vec![0; space];
                let (mut left, mut read) = (input.len(), 0);
                let (mut room, mut written, mut total) = (space, 0, 0);
                let result = BrotliDecompressStream(
                    &mut left,
                    &mut read,
                    input,
                    &mut room,
                    &mut written,
                    &mut out,
                    &mut total,
                    decoder,
                );
                out.truncate(written);
                let ended = match result {
                    BrotliResult::ResultFailure => return Err(io::ErrorKind::InvalidData.into()),
                    BrotliResult::ResultSuccess => true,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => false,
                };
                if ended {
                    *self = Self::Tail;
                }
                Ok(Step { read, out, ended })
            }
            Self::Zstd { decoder, is_between } => {
                if *is_between {
                    decoder.reinit()?;
                }
                let mut out = Vec::with_capacity(space);
                let mut input = InBuffer::around(input);
                let left = decoder.run(&mut input, &mut OutBuffer::around(&mut out))?;
                // A frame that has ended may be followed by another.
                *is_between = left == 0;
                Ok(Step { read: input.pos(), out, ended: left == 0 })
            }
        }
    }
}

/// Whether a gzip member begins with this: two bytes that are always the same, the
/// one method there is, and flags of which three mean nothing (RFC 1952, 2.3.1).
fn may_begin_member(start: &[u8]) -> bool {
    match start {
        [] | [0x1f] | [0x1f, 0x8b] | [0x1f, 0x8b, 8] => true,
        [0x1f, 0x8b, 8, flags, ..] => flags & 0xe0 == 0,
        _ => false,
    }
}

fn inflate(decoder: &mut Decompress, input: &[u8], space: usize) -> io::Result<Step> {
    let mut out = Vec::with_capacity(space);
    let before = decoder.total_in();
    let status = decoder.decompress_vec(input, &mut out, FlushDecompress::None)?;
    let read = usize::try_from(decoder.total_in() - before).unwrap_or(usize::MAX);
    Ok(Step { read, out, ended: status == Status::StreamEnd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enforce::codec::Encoder;

    fn encode(coding: Coding, text: &[u8]) -> Bytes {
        let mut encoder = Encoder::new(coding).unwrap();
        encoder.write(text).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn no_piece_is_large_however_little_it_was() {
        let large = vec![b' '; 20 << 20];
        for coding in
            [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd]
        {
            let mut decoder = Decoder::new(coding).unwrap();
            decoder.push(encode(coding, &large));
            let mut decoded = 0;
            while let Some(piece) = decoder.next_piece().unwrap() {
                assert!((1..=STEP_BYTES).contains(&piece.len()), "{coding:?} {}", piece.len());
                assert!(piece.iter().all(|byte| *byte == b' '), "{coding:?}");
                decoded += piece.len();
            }
            assert_eq!((decoded, decoder.unread()), (large.len(), 0), "{coding:?}");
            assert_eq!(decoder.finish().unwrap(), b"", "{coding:?}");
        }
    }

    #[test]
    fn what_is_pushed_meanwhile_is_decoded_in_its_turn() {
        let text = b"<p>one two</p>".repeat(20_000);
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let mut decoder = Decoder::new(coding).unwrap();
            let mut decoded = Vec::new();
            for piece in encode(coding, &text).chunks(40) {
                decoder.push(Bytes::copy_from_slice(piece));
                decoded.extend(decoder.next_piece().unwrap().unwrap_or_default());
            }
            decoded.extend(decoder.finish().unwrap());
            assert!(decoded == text, "{coding:?}");
        }
    }

    /// RFC 7932 ends at 16 MiB; what goes beyond is no `br`, and no browser takes it.
    #[test]
    fn a_brotli_window_of_a_gigabyte_is_refused() {
        let mut coded = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams {
            large_window: true,
            lgwin: 30,
            ..Default::default()
        };
        brotli::BrotliCompress(&mut &b"<p>one</p>"[..], &mut coded, &parameters).unwrap();
        let refused = Decoder::new(Coding::Brotli).unwrap().write(&coded).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
}
