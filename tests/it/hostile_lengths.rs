//! Where a body ends: whoever says it twice, oddly or not at all must not make
//! one request look like two (RFC 9112, 6 and 7).

use crate::hostile::{Case, answer, clean, join, refuse, run};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: shop.example\r\n";
const HIDDEN: &[u8] = b"GET /hidden HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const CHUNKS: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";

/// A head with these fields, a body, and a request behind it.
fn smuggles(fields: &[u8], body: &[u8]) -> Vec<u8> {
    join(&[HEAD.as_bytes(), fields, b"\r\n\r\n", body, HIDDEN])
}

/// The same with nothing behind it.
fn asks(fields: &[u8], body: &[u8]) -> Vec<u8> {
    join(&[HEAD.as_bytes(), fields, b"\r\n\r\n", body])
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().take(60).flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_none_is_refused() {
    let values: [&[u8]; 33] = [
        b"+5",
        b"-5",
        b"-0",
        b"0x5",
        b"5_0",
        b"\"5\"",
        b"5 5",
        b"5,6",
        b"5, 5",
        b"5,",
        b",5",
        b"5.0",
        b"5e0",
        b"1e1",
        b"",
        b" ",
        b"\x0b5",
        b"\x0c5",
        b"5\x0b",
        b"\xa05",
        b"5\xa0",
        b"\xc2\xa05",
        b"5\x00",
        b"\x005",
        b"5\r",
        b"5;a=b",
        b"five",
        b"5h",
        b"0b101",
        b"0o5",
        b"18446744073709551621",
        b"10000000000000000000000000",
        b"\xef\xbc\x95",
    ];
    let mut cases: Vec<Case> = values
        .iter()
        .map(|value| {
            let field = join(&[b"Content-Length: ", value]);
            refuse(format!("length {}", shown(value)), smuggles(&field, b"hello"))
        })
        .collect();
    let doubled: [&[u8]; 9] = [
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 6\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 0",
        b"Content-Length: 0\r\nContent-Length: 5",
        b"Content-Length: \r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: ",
        b"Content-Length: 5\r\nX: y\r\ncontent-length: 45",
        b"Content-Length: 5, 6",
        b"Content-Length: 5\r\nContent-Length: 5, 5",
    ];
    for fields in doubled {
        cases.push(refuse(shown(fields), smuggles(fields, b"hello")));
    }
    let names: [&[u8]; 9] = [
        b"Content-Length : 5",
        b"Content-Length\t: 5",
        b"Content-Length\x00: 5",
        b"Content-Length\x0b: 5",
        b"Content-Length\xa0: 5",
        b"Content-Length\x85: 5",
        b"\x00Content-Length: 5",
        b"Content-Length 5",
        b"Content Length: 5",
    ];
    for field in names {
        cases.push(refuse(shown(field), smuggles(field, b"hello")));
    }
    for field in [&b" Content-Length: 5"[..], b"\tContent-Length: 5", b"X: y\r\n Content-Length: 5"]
    {
        cases.push(refuse(shown(field), smuggles(field, b"hello")));
    }
    // RFC 9110, 8.6: merged or refused.
    cases.push(clean("equal lengths", asks(b"Content-Length: 5\r\nContent-Length: 5", b"hello")));
    cases.push(clean("underscore", asks(b"Content_Length: 5\r\nContent-Length: 2", b"hi")));
    cases.push(clean("underscore alone", asks(b"Content_Length: 5", b"")));
    cases.push(answer("a plain one", asks(b"Content-Length: 5", b"hello")));
    cases.push(answer("in lower case", asks(b"content-length:5", b"hello")));
    cases.push(answer("with space around", asks(b"Content-Length: \t 5 \t", b"hello")));
    cases.push(answer("none", asks(b"Content-Length: 0", b"")));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_chunks_is_refused() {
    let both: [(&str, &[u8], &[u8]); 14] = [
        ("cl.te", b"Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        ("te.cl", b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"5c\r\n"),
        ("cl.te whole", b"Content-Length: 15\r\nTransfer-Encoding: chunked", CHUNKS),
        ("te.cl whole", b"Transfer-Encoding: chunked\r\nContent-Length: 15", CHUNKS),
        ("cl 0", b"Content-Length: 0\r\nTransfer-Encoding: chunked", CHUNKS),
        ("bad cl", b"Content-Length: x\r\nTransfer-Encoding: chunked", CHUNKS),
        ("late bad cl", b"Transfer-Encoding: chunked\r\nContent-Length: x", CHUNKS),
        (
            "cl twice",
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
            CHUNKS,
        ),
        ("far apart", b"Content-Length: 5\r\nA: b\r\nC: d\r\nTransfer-Encoding: chunked", CHUNKS),
        ("bad te", b"Content-Length: 5\r\nTransfer-Encoding: xchunked", b"hello"),
        ("identity", b"Content-Length: 5\r\nTransfer-Encoding: identity", b"hello"),
        ("empty te", b"Content-Length: 5\r\nTransfer-Encoding: ", b"hello"),
        (
            "named",
            b"Connection: content-length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
            CHUNKS,
        ),
        (
            "te named",
            b"Connection: transfer-encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
            CHUNKS,
        ),
    ];
    let mut cases: Vec<Case> =
        both.iter().map(|(name, fields, body)| refuse(*name, smuggles(fields, body))).collect();
    let old = |fields: &[u8]| {
        join(&[b"POST / HTTP/1.0\r\nHost: shop.example\r\n", fields, b"\r\n\r\n", CHUNKS, HIDDEN])
    };
    cases.push(refuse("http/1.0 te", old(b"Transfer-Encoding: chunked")));
    cases.push(refuse("http/1.0 cl.te", old(b"Content-Length: 5\r\nTransfer-Encoding: chunked")));
    cases.push(refuse(
        "http/1.0 kept alive",
        old(b"Connection: keep-alive\r\nTransfer-Encoding: chunked"),
    ));
    cases.push(clean(
        "named length",
        asks(b"Connection: content-length\r\nContent-Length: 5", b"hello"),
    ));
    cases.push(clean(
        "named coding",
        asks(b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked", CHUNKS),
    ));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_coding_that_is_not_chunked_is_refused() {
    let shapes: [&[u8]; 47] = [
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunkedx",
        b"Transfer-Encoding: ,chunked",
        b"Transfer-Encoding: , chunked",
        b"Transfer-Encoding: chunked,",
        b"Transfer-Encoding: chunked,identity",
        b"Transfer-Encoding: identity,chunked",
        b"Transfer-Encoding: identity, chunked, identity",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked,chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: deflate, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
        b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: \r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: ",
        b"Transfer-Encoding: \"chunked\"",
        b"Transfer-Encoding: 'chunked'",
        b"Transfer-Encoding: chunked;q=1",
        b"Transfer-Encoding: chunked; a=b",
        b"Transfer-Encoding: chunked chunked",
        b"Transfer-Encoding: chunked foo",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: chunked\x0b",
        b"Transfer-Encoding: \x0cchunked",
        b"Transfer-Encoding: chunked\x0c",
        b"Transfer-Encoding: \x00chunked",
        b"Transfer-Encoding: chunked\x00",
        b"Transfer-Encoding: \xa0chunked",
        b"Transfer-Encoding: chunked\xa0",
        b"Transfer-Encoding: \x85chunked",
        b"Transfer-Encoding: \xc2\xa0chunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding: chun\r\n ked",
        b"Transfer-Encoding: identity\r\n , chunked",
        b"X: y\rTransfer-Encoding: chunked\r\nTransfer-Encoding: x",
        b"X: y\nTransfer-Encoding: chunked",
        b"X: y\r\rTransfer-Encoding: chunked\r\nA: b",
        b"Transfer-Encoding: ",
        b"Transfer-Encoding: cow",
        b"Transfer-Encoding: identity",
    ];
    let names: [&[u8]; 12] = [
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b"Transfer-Encoding\x00: chunked",
        b"Transfer-Encoding\x0b: chunked",
        b"Transfer-Encoding\x85: chunked",
        b"Transfer-Encoding\xa0: chunked",
        b" Transfer-Encoding: chunked",
        b"\tTransfer-Encoding: chunked",
        b"X: y\r\n Transfer-Encoding: chunked",
        b"\x0bTransfer-Encoding: chunked",
        b"Transfer-Encoding chunked",
        b"Transfer\x00-Encoding: chunked",
    ];
    let mut cases = Vec::new();
    for fields in shapes.iter().chain(&names) {
        cases.push(refuse(shown(fields), smuggles(fields, CHUNKS)));
        let with_length = join(&[b"Content-Length: 15\r\n", fields]);
        cases.push(refuse(format!("length, {}", shown(fields)), smuggles(&with_length, CHUNKS)));
    }
    let doubles: [&[u8]; 3] = [
        b"Transfer_Encoding: chunked",
        b"Transfer.Encoding: chunked",
        b"XTransfer-Encoding: chunked",
    ];
    for fields in doubles {
        cases.push(clean(shown(fields), asks(fields, b"")));
        let with_length = join(&[b"Content-Length: 5\r\n", fields]);
        cases.push(clean(format!("length, {}", shown(fields)), asks(&with_length, b"hello")));
    }
    for fields in [&b"Transfer-Encoding: chunked"[..], b"transfer-encoding:\tChUnKeD \t"] {
        cases.push(answer(shown(fields), asks(fields, CHUNKS)));
    }
    run(cases).await;
}

const CHUNKED: &[u8] = b"Transfer-Encoding: chunked";

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_whose_size_is_unclear_is_refused() {
    let sizes: [&[u8]; 32] = [
        b"0x5",
        b"0X5",
        b"+5",
        b"-5",
        b"-0",
        b"5_0",
        b" 5",
        b"\t5",
        b"5h",
        b"",
        b";a",
        b"5\x00",
        b"\x005",
        b"5 5",
        b"5,5",
        b"5.0",
        b"\"5\"",
        b"#5",
        b"fffffffffffffffff",
        b"10000000000000005",
        b"8000000000000005",
        b"ffffffffffffffff",
        b"00000000000000005",
        b"000000000000000000000005",
        b"\xef\xbc\x95",
        b"5\x0b",
        b"5\x0c",
        b"5\xa0",
        b"5\r",
        b"g",
        b"5;\n",
        b"5;a=b\nx",
    ];
    let mut cases: Vec<Case> = sizes
        .iter()
        .map(|size| {
            let body = join(&[size, b"\r\nhello\r\n0\r\n\r\n"]);
            refuse(format!("size {}", shown(size)), smuggles(CHUNKED, &body))
        })
        .collect();
    let bodies: [(&str, &[u8]); 22] = [
        ("longer than said", b"5\r\nhello!\r\n0\r\n\r\n"),
        ("much longer", b"3\r\nhello\r\n0\r\n\r\n"),
        ("shorter than said", b"6\r\nhello\r\n0\r\n\r\n"),
        ("much shorter", b"ff\r\nhello\r\n0\r\n\r\n"),
        ("no end of a chunk", b"5\r\nhello0\r\n\r\n"),
        ("lf ends a chunk", b"5\r\nhello\n0\r\n\r\n"),
        ("cr ends a chunk", b"5\r\nhello\r0\r\n\r\n"),
        ("cr x ends a chunk", b"5\r\nhello\rX0\r\n\r\n"),
        ("x lf ends a chunk", b"5\r\nhelloX\n0\r\n\r\n"),
        ("cr x ends a size", b"5\rXhello\r\n0\r\n\r\n"),
        ("cr ends a size", b"5\rhello\r\n0\r\n\r\n"),
        ("cr cr lf ends a size", b"5\r\r\nhello\r\n0\r\n\r\n"),
        ("cr x ends the body", b"0\r\n\rX"),
        ("x lf ends the body", b"0\r\nX\n\r\n"),
        ("negative zero", b"5\r\nhello\r\n-0\r\n\r\n"),
        ("quoted end", b"5;a=\"\r\nhello\r\n0\r\n\r\n"),
        ("quoted end, closed", b"5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"),
        ("quoted, escaped end", b"5;a=\"\\\r\nhello\r\n0\r\n\r\n"),
        ("cr in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("nul in an extension", b"5;a\x00b\r\nhello\r\n0\r\n\r\n"),
        ("empty extension", b"5;\r\nhello\r\n0\r\n\r\n"),
        ("no semicolon", b"5 a=b\r\nhello\r\n0\r\n\r\n"),
    ];
    for (name, body) in bodies {
        cases.push(refuse(name, smuggles(CHUNKED, body)));
    }
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_chunks_come_through_clean_or_not_at_all() {
    let bodies: [(&str, &[u8]); 10] = [
        ("lf after a size", b"5\nhello\r\n0\r\n\r\n"),
        ("lf everywhere", b"5\nhello\n0\n\n"),
        ("lf after the last", b"5\r\nhello\r\n0\n\n"),
        ("lf at the end", b"5\r\nhello\r\n0\r\n\n"),
        ("space after a size", b"5 \r\nhello\r\n0\r\n\r\n"),
        ("tab after a size", b"5\t\r\nhello\r\n0\r\n\r\n"),
        ("space before an extension", b"5 ;a=b\r\nhello\r\n0\r\n\r\n"),
        ("8-bit extension", b"5;a=\xe9\r\nhello\r\n0\r\n\r\n"),
        ("quoted 8-bit extension", b"5;a=\"\xc3\xa9\"\r\nhello\r\n0\r\n\r\n"),
        ("many zeros at the end", b"5\r\nhello\r\n0000000000000000000\r\n\r\n"),
    ];
    let mut cases: Vec<Case> =
        bodies.iter().map(|(name, body)| clean(*name, asks(CHUNKED, body))).collect();
    let long = join(&[b"5;a=", "x".repeat(6000).as_bytes(), b"\r\nhello\r\n0\r\n\r\n"]);
    cases.push(clean("6 KB extension", asks(CHUNKED, &long)));
    let many = join(&[b"1;a=", "x".repeat(900).as_bytes(), b"\r\nh\r\n"]).repeat(400);
    cases.push(clean("400 extensions", asks(CHUNKED, &join(&[&many, b"0\r\n\r\n"]))));
    let small = join(&[&b"1;a=xxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nh\r\n".repeat(5000), b"0\r\n\r\n"]);
    cases.push(clean("5000 small extensions", asks(CHUNKED, &small)));
    let trailers = join(&[b"0\r\n", &b"x-late: y\r\n".repeat(45_000), b"\r\n"]);
    cases.push(clean("500 KB of trailers", asks(CHUNKED, &trailers)));
    for name in [
        "Content-Length: 5",
        "Host: other.example",
        "Transfer-Encoding: chunked",
        "Authorization: Basic eA==",
        "Cookie: a=b",
        "X-Forwarded-For: 1.2.3.4",
        "X-Late: y",
        "Connection: close",
        "Trailer: host",
        "X: y\nZ: a",
        "X : y",
        " x: y",
        "no colon",
        "X: \0",
        "X: y\rZ: a",
        "Content_Length: 5",
        "\u{e9}: x",
    ] {
        let body = join(&[b"5\r\nhello\r\n0\r\n", name.as_bytes(), b"\r\n\r\n"]);
        cases.push(clean(format!("trailer {name:?}"), asks(CHUNKED, &body)));
        let told = format!(
            "Trailer: {}\r\nTE: trailers\r\nTransfer-Encoding: chunked",
            name.split(':').next().unwrap_or_default().trim().replace(['\0', '\n', '\r'], "")
        );
        cases.push(clean(format!("told trailer {name:?}"), asks(told.as_bytes(), &body)));
    }
    for (name, body) in [
        ("plain", &b"5\r\nhello\r\n0\r\n\r\n"[..]),
        ("upper case", b"A\r\nhellohello\r\n0\r\n\r\n"),
        ("zeros before", b"005\r\nhello\r\n00\r\n\r\n"),
        ("extension", b"5;a=b\r\nhello\r\n0;c\r\n\r\n"),
        ("quoted extension", b"5;a=\"b;c\\\"\"\r\nhello\r\n0\r\n\r\n"),
        ("trailer", b"5\r\nhello\r\n0\r\nX-Late: y\r\n\r\n"),
    ] {
        cases.push(answer(name, asks(CHUNKED, body)));
    }
    run(cases).await;
}
