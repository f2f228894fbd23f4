//! Content codings, decoded and encoded as the bytes stream through.

mod decoder;

pub use decoder::Decoder;

use flate2::Compression;
use std::io::{self, Write};

/// A content coding (RFC 9110, 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// gzip, also under its old name `x-gzip`.
    Gzip,
    /// zlib; some origins send raw deflate under this name.
    Deflate,
    /// Brotli.
    Brotli,
    /// Zstandard.
    Zstd,
}

/// A coding nobody here can undo.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodingError {
    /// An unknown name.
    #[error("the content coding `{0}` is unknown")]
    Unknown(String),
    /// More layers than any honest origin uses.
    #[error("more than two content codings on top of each other")]
    TooManyLayers,
}

impl Coding {
    /// The codings in `Content-Encoding`, in the order they were applied.
    ///
    /// # Errors
    /// When one is unknown, or there are more than two.
    pub fn parse_list(value: &str) -> Result<Vec<Self>, CodingError> {
        let mut codings = Vec::new();
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match Self::from_name(name) {
                Some(Self::Identity) => {}
                Some(coding) => codings.push(coding),
                None => return Err(CodingError::Unknown(name.to_owned())),
            }
        }
        if codings.len() > 2 { Err(CodingError::TooManyLayers) } else { Ok(codings) }
    }

    fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name in header fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Whether a client that sent this `Accept-Encoding` takes the coding
    /// (RFC 9110, 12.5.3).
    #[must_use]
    pub fn is_accepted_by(self, accept: Option<&str>) -> bool {
        let Some(accept) = accept else { return self == Self::Identity };
        let mut star = None;
        for item in accept.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|parameter| {
                parameter.split_once('=').is_some_and(|(key, value)| {
                    key.trim().eq_ignore_ascii_case("q")
                        && value.trim().parse::<f32>().is_ok_and(|q| q <= 0.0)
                })
            });
            if name == "*" {
                star = Some(!refused);
            } else if Self::from_name(name) == Some(self) {
                return !refused;
            }
        }
        star.unwrap_or(self == Self::Identity)
    }
}

/// The part of an `Accept-Encoding` that we can undo, for the origin.
#[must_use]
pub fn known_codings(accept: &str) -> String {
    accept
        .split(',')
        .map(str::trim)
        .filter(|item| {
            let name = item.split(';').next().unwrap_or_default().trim();
            Coding::from_name(name).is_some()
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// Applies one coding, at levels fit for a proxy that compresses while the
/// visitor waits.
pub enum Encoder {
    /// As it is.
    Identity(Vec<u8>),
    /// gzip.
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
    /// zlib.
    Zlib(Box<flate2::write::ZlibEncoder<Vec<u8>>>),
    /// Brotli.
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// Zstandard.
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

const GZIP_LEVEL: u32 = 2;
const BROTLI_QUALITY: u32 = 3;
const BROTLI_WINDOW_LOG: u32 = 18;
const ZSTD_LEVEL: i32 = 2;

impl Encoder {
    /// An encoder for one coding.
    ///
    /// # Errors
    /// When the encoder cannot be set up (out of memory).
    pub fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Identity => Self::Identity(Vec::new()),
            Coding::Gzip => Self::Gzip(Box::new(flate2::write::GzEncoder::new(
                Vec::new(),
                Compression::new(GZIP_LEVEL),
            ))),
            Coding::Deflate => Self::Zlib(Box::new(flate2::write::ZlibEncoder::new(
                Vec::new(),
                Compression::new(GZIP_LEVEL),
            ))),
            Coding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                16 * 1024,
                BROTLI_QUALITY,
                BROTLI_WINDOW_LOG,
            ))),
            Coding::Zstd => {
                Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?))
            }
        })
    }

    /// Encodes more input.
    ///
    /// # Errors
    /// When the encoder fails (out of memory).
    pub fn write(&mut self, input: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(out) => out.write_all(input),
            Self::Gzip(encoder) => encoder.write_all(input),
            Self::Zlib(encoder) => encoder.write_all(input),
            Self::Brotli(encoder) => encoder.write_all(input),
            Self::Zstd(encoder) => encoder.write_all(input),
        }
    }

    /// Makes everything written so far decodable.
    ///
    /// # Errors
    /// When the encoder fails (out of memory).
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Identity(_) => Ok(()),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zlib(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }

    /// What can be sent.
    pub fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Identity(out) => std::mem::take(out),
            Self::Gzip(encoder) => std::mem::take(encoder.get_mut()),
            Self::Zlib(encoder) => std::mem::take(encoder.get_mut()),
            Self::Brotli(encoder) => std::mem::take(encoder.get_mut()),
            Self::Zstd(encoder) => std::mem::take(encoder.get_mut()),
        }
    }

    /// Ends the coding and gives back the rest.
    ///
    /// # Errors
    /// When the encoder fails (out of memory).
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zlib(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decoder::PIECE_BYTES;
    use super::*;

    const ALL: [Coding; 5] =
        [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

    fn encode(coding: Coding, text: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding).unwrap();
        encoder.write(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(coding: Coding, bytes: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let mut decoder = Decoder::new(coding)?;
        let mut out = Vec::new();
        for chunk in bytes.chunks(size) {
            out.extend(decoder.write(chunk)?);
        }
        out.extend(decoder.finish()?);
        Ok(out)
    }

    #[test]
    fn a14_every_coding_comes_back_at_every_chunk_size() {
        let text = b"<p>one two one two</p>".repeat(40);
        for coding in ALL {
            let encoded = encode(coding, &text);
            for size in [1, 2, 3, 7, 64, encoded.len()] {
                assert_eq!(decode(coding, &encoded, size).unwrap(), text, "{coding:?} {size}");
            }
        }
    }

    #[test]
    fn a_cut_body_is_an_error_and_never_a_short_page() {
        let text = b"<p>one two three</p>".repeat(40);
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            let encoded = encode(coding, &text);
            for cut in [1, 4, 9] {
                let cut = &encoded[..encoded.len() - cut];
                assert!(decode(coding, cut, 5).is_err(), "{coding:?}");
            }
            assert!(decode(coding, b"<p>plain text</p> and more of it", 5).is_err(), "{coding:?}");
        }
    }

    #[test]
    fn gzip_of_several_members_and_with_junk_behind_it_is_read() {
        let mut both = encode(Coding::Gzip, b"one ");
        both.extend(encode(Coding::Gzip, b"two"));
        assert_eq!(decode(Coding::Gzip, &both, 3).unwrap(), b"one two");
        let mut junk = encode(Coding::Gzip, b"one");
        junk.extend(b"junk behind it, long enough");
        assert_eq!(decode(Coding::Gzip, &junk, 7).unwrap(), b"one");
        // What looks like another member at first.
        for junk in [&b"\x1f"[..], b"\x1f\x8b\0\0junk", b"\x1f\x8b\x08", b"\x1f\x8b\x08\xff\0\0"] {
            let coded = [&encode(Coding::Gzip, b"one"), junk].concat();
            for size in [1, 3, coded.len()] {
                assert_eq!(decode(Coding::Gzip, &coded, size).unwrap(), b"one", "{junk:?} {size}");
            }
        }
        let mut cut = encode(Coding::Gzip, b"one");
        cut.extend(encode(Coding::Gzip, b"two").get(..9).unwrap());
        assert!(decode(Coding::Gzip, &cut, 5).is_err());
    }

    #[test]
    fn a_gzip_body_that_is_damaged_is_an_error_however_late_that_is() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let whole = encode(Coding::Gzip, &text);
        // In the middle, and in the checksum.
        for at in [whole.len() / 2, whole.len() - 8] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            for size in [7, 32, 2048, damaged.len()] {
                assert!(decode(Coding::Gzip, &damaged, size).is_err(), "{at} in {size}");
            }
        }
    }

    #[test]
    fn raw_deflate_is_read_too() {
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(3));
        raw.write_all(b"one two").unwrap();
        assert_eq!(decode(Coding::Deflate, &raw.finish().unwrap(), 1).unwrap(), b"one two");
    }

    #[test]
    fn accept_encoding_is_read_with_its_weights() {
        for (accept, coding, expected) in [
            (None, Coding::Gzip, false),
            (None, Coding::Identity, true),
            (Some("gzip, br"), Coding::Brotli, true),
            (Some("gzip;q=0, *"), Coding::Gzip, false),
            (Some("gzip;q=0, *"), Coding::Zstd, true),
            (Some("identity;q=0"), Coding::Identity, false),
            (Some("*;q=0"), Coding::Identity, false),
        ] {
            assert_eq!(coding.is_accepted_by(accept), expected, "{accept:?} {coding:?}");
        }
        assert_eq!(known_codings("gzip, sdch;q=1, br;q=0.5, dcb"), "gzip, br;q=0.5");
    }

    #[test]
    fn a_bomb_is_stopped_before_it_takes_memory() {
        let large = vec![b' '; PIECE_BYTES + (1 << 20)];
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            let error = Decoder::new(coding).unwrap().write(&encode(coding, &large)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{coding:?}");
            assert_eq!(
                decode(coding, &encode(coding, &large), 16).unwrap().len(),
                large.len(),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn unknown_and_piled_up_codings_are_refused() {
        assert_eq!(Coding::parse_list("GZip").unwrap(), [Coding::Gzip]);
        assert_eq!(Coding::parse_list("identity").unwrap(), []);
        assert!(Coding::parse_list("gzip, gzip, gzip").is_err());
        assert_eq!(Coding::parse_list("sdch").unwrap_err(), CodingError::Unknown("sdch".into()));
    }
}
