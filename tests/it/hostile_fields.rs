//! A request's fields: names and values that are none, hosts that are none,
//! and fields that want more than they may (RFC 9110, 5 and 7; RFC 9112, 3.2).

use crate::hostile::{Case, answer, clean, join, refuse, run};

fn with(field: &[u8]) -> Vec<u8> {
    join(&[b"GET / HTTP/1.1\r\nHost: shop.example\r\n", field, b"\r\n\r\n"])
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().take(60).flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_value_that_is_none_is_refused() {
    let mut cases: Vec<Case> = Vec::new();
    for byte in b"\x00\x01\x0b\x0c\x1b\x7f\x80\x85\xa0\xef()<>@,;\\\"/[]?={} \t" {
        let within = join(&[b"X-a", &[*byte], b"b: y"]);
        let before = join(&[b"X-a", &[*byte], b": y"]);
        cases.push(refuse(format!("name {}", shown(&within)), with(&within)));
        cases.push(refuse(format!("name {}", shown(&before)), with(&before)));
    }
    for field in
        [&b": y"[..], b":", b"no colon", b"X", b" : y", b"\x00: y", b"X\r: y", b"\xc3\xa9: y"]
    {
        cases.push(refuse(format!("name {}", shown(field)), with(field)));
    }
    for value in [&b"a\x00b"[..], b"\x00", b"a\rb", b"\r", b"a\r", b"a\r\rb", b"\ra"] {
        let field = join(&[b"X: ", value]);
        cases.push(refuse(format!("value {}", shown(value)), with(&field)));
    }
    for value in [
        &b"a\x01b"[..],
        b"a\x08b",
        b"a\x0bb",
        b"a\x0cb",
        b"a\x1bb",
        b"a\x7fb",
        b"a\x1fb",
        b"\x1b[31m",
    ] {
        let field = join(&[b"X: ", value]);
        cases.push(clean(format!("value {}", shown(value)), with(&field)));
    }
    for value in [&b"M\xfcller"[..], b"\xc3\xa9", b"\xff", b"\x80", b"\xa0", b"a\tb", b"", b"\t"] {
        let field = join(&[b"X: ", value]);
        cases.push(clean(format!("value {}", shown(value)), with(&field)));
    }
    cases.push(answer("a value with a colon", with(b"X: a:b")));
    cases.push(answer("an empty value", with(b"X:")));
    cases.push(answer("a usual underscore", with(b"x_own: y")));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_3_2_a_host_that_is_none_is_refused() {
    let hosts: [&[u8]; 49] = [
        b"",
        b" ",
        b"a b",
        b"a\tb",
        b"a,b",
        b"a, b",
        b"a/b",
        b"/",
        b"a/",
        b"user@a",
        b"user:word@a",
        b"@a",
        b"a\x00b",
        b"a\x00",
        b"a?b",
        b"a?",
        b"a#b",
        b"a#",
        b"[::1",
        b"::1",
        b"[::1]a",
        b"[::1]:x",
        b"[]",
        b"[a]",
        b"[:::1]",
        b"<script>",
        b"a\"",
        b"'a'",
        b"\"a\"",
        b"a:x",
        b"a:99999",
        b"a:-1",
        b"a:+80",
        b"a:80:80",
        b"a:8 0",
        b":80",
        b"a:0x50",
        b"a\\b",
        b"a%00b",
        b"a%2fb",
        b"\xff\xfe",
        b"\xc3\xa9.example",
        b"http://a",
        b"http://a/",
        b"a;b",
        b"a=b",
        b"a|b",
        b"*",
        b".",
    ];
    let mut cases: Vec<Case> = hosts
        .iter()
        .map(|host| {
            let bytes = join(&[b"GET / HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"]);
            refuse(format!("host {}", shown(host)), bytes)
        })
        .collect();
    for (name, fields) in [
        ("none", ""),
        ("two", "Host: a\r\nHost: b\r\n"),
        ("two equal", "Host: a\r\nHost: a\r\n"),
        ("two, one empty", "Host: a\r\nHost:\r\n"),
        ("two, odd case", "Host: a\r\nhOsT: b\r\n"),
        ("two, far apart", "Host: a\r\nX: y\r\nZ: a\r\nHost: b\r\n"),
        ("space before the colon", "Host : a\r\n"),
        ("tab before the colon", "Host\t: a\r\n"),
        ("one and a spaced one", "Host: a\r\nHost : b\r\n"),
        ("one and a folded one", "Host: a\r\n Host: b\r\n"),
        ("folded", "Host: a\r\n b\r\n"),
        ("folded before", "Host:\r\n a\r\n"),
        ("behind a fold", "X: y\r\n Host: a\r\n"),
        ("underscore alone", "_Host: a\r\n"),
    ] {
        cases.push(refuse(format!("host, {name}"), format!("GET / HTTP/1.1\r\n{fields}\r\n")));
    }
    cases.push(refuse("host, none, absolute", "GET http://a b/ HTTP/1.1\r\n\r\n"));
    cases.push(refuse(
        "host, two, absolute",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ));
    cases.push(refuse("host, bad, absolute", "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n"));
    cases.push(refuse("host, old, none", "GET / HTTP/1.0\r\n\r\n"));
    cases.push(refuse("host, old, two", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"));
    for host in [
        "shop.example",
        "SHOP.EXAMPLE:80",
        "shop.example.",
        "[::1]:8080",
        "[2001:db8::1]",
        "127.0.0.1",
        "a_b.example",
        "xn--bcher-kva.example",
    ] {
        cases.push(answer(
            format!("host {host}"),
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ));
    }
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_6_1_fields_of_one_connection_get_no_further() {
    const HIDDEN: &[u8] = b"GET /hidden HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let fields = [
        "Connection: X-Private\r\nX-Private: 1",
        "Connection: close, X-Private\r\nX-Private: 1",
        "Connection: keep-alive\r\nConnection: X-Private\r\nX-Private: 1",
        "Connection: Cookie\r\nCookie: a=b",
        "Connection: X-Forwarded-For\r\nX-Forwarded-For: 1.2.3.4",
        "Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, Via",
        "Connection: Content-Length\r\nContent-Length: 0",
        "Connection: Host",
        "Connection: host, connection, keep-alive, close",
        "Connection: \"quoted\", (comment), \u{e9}, ,,,",
        "Connection: close\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive",
        "Proxy-Connection: keep-alive",
        "Keep-Alive: max=5",
        "TE: trailers, deflate",
        "TE: gzip;q=1\r\nConnection: TE",
        "Trailer: X-Late",
        "Proxy-Authorization: Basic eA==",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "Connection: Upgrade\r\nUpgrade: h2c",
        "Upgrade: h2c",
        "Upgrade: websocket",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/2.0",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: eA==",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
        "Connection: Upgrade\r\nUpgrade: unheard/1",
        "Expect: nonsense",
        "Expect: 100-continue",
        "Expect: 100-continue, 200-maybe",
        "Expect: 100-continue\r\nExpect: 100-continue",
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
        "X_Forwarded_For: 1.2.3.4",
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8",
        "Forwarded: for=\"[::1]:x\";by=_a\r\nForwarded: nonsense=",
        "Max-Forwards: 0",
        "Via: 1.1 a, 1.1 consentry",
        "Range: bytes=0-0,1-1,2-2,3-3",
        "Accept-Encoding: gzip;q=nonsense, *;q=2",
        "Content-Encoding: gzip\r\nContent-Length: 0",
    ];
    let mut cases: Vec<Case> =
        fields.iter().map(|field| clean(*field, with(field.as_bytes()))).collect();
    // What somebody hides behind an upgrade that never happens is no request.
    for (name, fields) in [
        ("h2c", "Connection: Upgrade\r\nUpgrade: h2c"),
        (
            "version 777",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: eA==",
        ),
        (
            "websocket",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==",
        ),
    ] {
        cases.push(clean(
            format!("hidden behind {name}"),
            join(&[&with(fields.as_bytes()), HIDDEN]),
        ));
    }
    run(cases).await;
}
