//! No coded body brings a decoder down or takes all memory, what comes of it is
//! the same in any pieces, and a page in it is filtered like any other.
#![no_main]

mod shop;

use consentry::enforce::codec::{Coding, Decoder};
use consentry::enforce::{Pipeline, Start};
use libfuzzer_sys::fuzz_target;

fn decoded(coding: Coding, coded: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(coding).ok()?;
    let mut out = Vec::new();
    for piece in coded.chunks(size.max(1)) {
        out.extend(decoder.write(piece).ok()?);
    }
    out.extend(decoder.finish().ok()?);
    Some(out)
}

fn filtered(coding: Coding, coded: &[u8]) -> Option<Vec<u8>> {
    let mut pipeline = Pipeline::new(Start {
        context: shop::context(),
        codings: vec![coding],
        send: Coding::Identity,
        content_type: Some("text/html; charset=utf-8".into()),
        inflation: 200,
        append_only: false,
        pass_unfilterable: false,
    })
    .ok()?;
    let mut out = Vec::new();
    pipeline.push(coded.to_vec().into());
    while pipeline.is_busy() {
        out.extend(pipeline.step().ok()?);
    }
    out.extend(pipeline.finish().ok()?);
    Some(out)
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (which, size, body) = input;
    let (coding, start) = [
        (Coding::Gzip, &b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..]),
        (Coding::Deflate, b"x\x9c"),
        (Coding::Brotli, b""),
        (Coding::Zstd, b"\x28\xb5\x2f\xfd"),
    ][usize::from(which % 4)];
    let coded = [if which & 4 == 0 { start } else { b"" }, body].concat();
    let pieces = decoded(coding, &coded, usize::from(size));
    let page = filtered(coding, &coded);
    // A piece of a bomb may be refused where smaller ones are not.
    if let (Some(whole), Some(pieces)) = (decoded(coding, &coded, coded.len()), pieces) {
        assert!(whole == pieces, "the size of the pieces changed the body");
        if let Some(page) = page {
            assert!(shop::rewrite(&whole, whole.len()) == Some(page), "it is filtered otherwise");
        }
    }
});
