//! A request's first line, the ends of its lines, and how much of anything it
//! has (RFC 9112, 2 and 3).

use crate::hostile::{Case, answer, clean, close, join, refuse, run};

const HOST: &[u8] = b"\r\nHost: shop.example\r\n\r\n";

fn with_host(line: &[u8]) -> Vec<u8> {
    join(&[line, HOST])
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().take(60).flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_line_that_is_none_is_refused() {
    let lines: [&[u8]; 78] = [
        b"GET / HTTP/1.2.3",
        b"GET / HTTP/11",
        b"GET / HTTP/2.0",
        b"GET / HTTP/3.1",
        b"GET / HTTP/2",
        b"GET / HTTPS/1.1",
        b"GET / http/1.1",
        b"GET / Http/1.1",
        b"GET / HTTP/1.",
        b"GET / HTTP/1",
        b"GET / HTTP/.1",
        b"GET / HTTP/1,1",
        b"GET / HTTP/1.1a",
        b"GET / HTTP/ 1.1",
        b"GET / HTTP /1.1",
        b"GET / HTTP/-1.1",
        b"GET / HTTP/+1.1",
        b"GET / HTTP/0.9",
        b"GET / HTTP/01.1",
        b"GET / HTTP/1.01",
        b"GET / XTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/1.1 x",
        b"GET / HTTP/1.1\t",
        b"GET / HTTP/1.1\x00",
        b"GET / HTTP/1.1 HTTP/1.1",
        b"GET / HTTP/\xef\xbc\x91.1",
        b"GET / ",
        b"GET /",
        b"GET",
        b"GET ",
        b"/ HTTP/1.1",
        b" / HTTP/1.1",
        b"HTTP/1.1",
        b"",
        b"x",
        b"GET  HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /a\x00b HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\x01 HTTP/1.1",
        b"GET /\x1b HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /a\rb HTTP/1.1",
        b"GET /a\tb HTTP/1.1",
        b"GET /\r HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET ?a HTTP/1.1",
        b"GET \\ HTTP/1.1",
        b"GET \\evil HTTP/1.1",
        b"GET /\\evil.example HTTP/1.1",
        b"GET /a\\b HTTP/1.1",
        b"GET . HTTP/1.1",
        b"GET ../x HTTP/1.1",
        b"G\x00T / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"G{T / HTTP/1.1",
        b"G\"T / HTTP/1.1",
        b"G:T / HTTP/1.1",
        b"G/T / HTTP/1.1",
        b"G@T / HTTP/1.1",
        b"G\xefT / HTTP/1.1",
        b"G\x7fT / HTTP/1.1",
        b"G,T / HTTP/1.1",
        b" GET / HTTP/1.1",
        b"\tGET / HTTP/1.1",
        b"\x00GET / HTTP/1.1",
        b"\x0bGET / HTTP/1.1",
        b"\xef\xbb\xbfGET / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET\x0b/ HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET /\tHTTP/1.1",
        b"GET / HTTP/1.1\x0b",
        b"\rGET / HTTP/1.1",
        b"\r\r\nGET / HTTP/1.1",
        b"GET / HTTP/1.1\r",
    ];
    let mut cases: Vec<Case> =
        lines.iter().map(|line| refuse(shown(line), with_host(line))).collect();
    cases.push(refuse("HTTP/0.9", b"GET /\r\n"));
    cases.push(refuse("HTTP/0.9, LF", b"GET /\n"));
    cases.push(refuse("HTTP/0.9, nothing", b"GET /\r\n\r\n"));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_ours_is_refused() {
    let refused: [&[u8]; 27] = [
        b"GET shop.example HTTP/1.1",
        b"GET shop.example:80 HTTP/1.1",
        b"GET shop.example:443/x HTTP/1.1",
        b"GET * HTTP/1.1",
        b"POST * HTTP/1.1",
        b"HEAD * HTTP/1.1",
        b"DELETE * HTTP/1.1",
        b"OPTIONS ** HTTP/1.1",
        b"OPTIONS *x HTTP/1.1",
        b"GET /#fragment HTTP/1.1",
        b"GET /a?b#c HTTP/1.1",
        b"GET # HTTP/1.1",
        b"GET http://shop.example/#a HTTP/1.1",
        b"GET http://user@shop.example/ HTTP/1.1",
        b"GET http://user:word@shop.example/ HTTP/1.1",
        b"GET http://shop.example:99999/ HTTP/1.1",
        b"GET http://shop.example:x/ HTTP/1.1",
        b"GET http://shop.example:-1/ HTTP/1.1",
        b"GET file:///etc/passwd HTTP/1.1",
        b"GET ftp://shop.example/ HTTP/1.1",
        b"GET http:/// HTTP/1.1",
        b"GET http://:80/ HTTP/1.1",
        b"GET javascript:alert(1) HTTP/1.1",
        b"GET http:/x HTTP/1.1",
        b"GET http://[::1/ HTTP/1.1",
        b"GET http://a b/ HTTP/1.1",
        b"GET gopher://shop.example/ HTTP/1.1",
    ];
    let mut cases: Vec<Case> =
        refused.iter().map(|line| refuse(shown(line), with_host(line))).collect();
    let odd: [&[u8]; 14] = [
        b"GET //other.example HTTP/1.1",
        b"GET //other.example/x HTTP/1.1",
        b"GET ///x HTTP/1.1",
        b"GET http://other.example/ HTTP/1.1",
        b"GET http://shop.example?x HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /?\xc3\xa9 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /? HTTP/1.1",
        b"GET /%00%0d%0a HTTP/1.1",
        b"GET /%zz HTTP/1.1",
        b"GET /..%2f.. HTTP/1.1",
        b"GET https://shop.example/ HTTP/1.1",
        b"GET /<script> HTTP/1.1",
    ];
    cases.extend(odd.iter().map(|line| clean(shown(line), with_host(line))));
    for line in [
        &b"GET / HTTP/1.1"[..],
        b"GET http://shop.example/ HTTP/1.1",
        b"GET HTTP://shop.example/ HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /?a=\\ HTTP/1.1",
        b"PURGE / HTTP/1.1",
    ] {
        cases.push(answer(shown(line), with_host(line)));
    }
    let methods: [&[u8]; 9] = [
        b"CONNECT shop.example:443 HTTP/1.1",
        b"CONNECT / HTTP/1.1",
        b"CONNECT shop.example HTTP/1.1",
        b"CONNECT http://shop.example/ HTTP/1.1",
        b"CONNECT * HTTP/1.1",
        b"TRACE / HTTP/1.1",
        b"TRACE * HTTP/1.1",
        b"TRACE / HTTP/1.1\r\nMax-Forwards: 0",
        b"PRI * HTTP/2.0",
    ];
    cases.extend(methods.iter().map(|line| refuse(shown(line), with_host(line))));
    let hidden = with_host(b"GET /hidden HTTP/1.1");
    for fields in ["", "Content-Length: 45\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head =
            format!("CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n{fields}\r\n");
        cases.push(refuse(format!("CONNECT, {fields}"), join(&[head.as_bytes(), &hidden])));
    }
    cases.push(close("preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"));
    cases.push(refuse(
        "TRACE with a body",
        b"TRACE / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\nhello",
    ));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_end_oddly_hide_nothing() {
    const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let refused = [
        ("cr alone in a value", "GET / HTTP/1.1\r\nHost: shop.example\r\nX: a\rb\r\n\r\n"),
        ("cr alone ends a line", "GET / HTTP/1.1\rHost: shop.example\r\r"),
        ("cr alone before a field", "GET / HTTP/1.1\r\nHost: shop.example\r\n\rX: y\r\n\r\n"),
        (
            "cr alone hides a field",
            "GET / HTTP/1.1\r\nX: y\rHost: other\r\nHost: shop.example\r\n\r\n",
        ),
        ("cr cr lf ends", "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\r\n"),
        ("cr z ends", "GET / HTTP/1.1\r\nHost: shop.example\r\n\rZ"),
        ("cr cr lf after a line", "GET / HTTP/1.1\r\r\nHost: shop.example\r\n\r\n"),
        ("nul ends a line", "GET / HTTP/1.1\0\nHost: shop.example\r\n\r\n"),
        ("folded host", "GET / HTTP/1.1\r\nHost:\r\n shop.example\r\n\r\n"),
        (
            "many empty lines",
            "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        ),
    ];
    let mut cases = Vec::new();
    for (name, bytes) in refused {
        cases.push(refuse(name, bytes));
        cases.push(refuse(format!("{name}, hidden"), format!("{bytes}{HIDDEN}")));
    }
    let odd = [
        ("lf alone", "GET / HTTP/1.1\nHost: shop.example\n\n"),
        ("lf after the first line", "GET / HTTP/1.1\nHost: shop.example\r\n\r\n"),
        ("lf after a field", "GET / HTTP/1.1\r\nHost: shop.example\nX: y\r\n\r\n"),
        ("lf at the end", "GET / HTTP/1.1\r\nHost: shop.example\r\n\n"),
        ("lf before", "\nGET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
        ("fold", "GET / HTTP/1.1\r\nHost: shop.example\r\nX: a\r\n b\r\n\r\n"),
        ("fold with a tab", "GET / HTTP/1.1\r\nHost: shop.example\r\nX: a\r\n\tb\r\n\r\n"),
        ("fold to a field", "GET / HTTP/1.1\r\nHost: shop.example\r\nX: a\r\n Cookie: b\r\n\r\n"),
        ("fold of nothing", "GET / HTTP/1.1\r\nHost: shop.example\r\nX: a\r\n \r\n\r\n"),
        ("space before the first", "GET / HTTP/1.1\r\n Host: shop.example\r\n\r\n"),
        (
            "space before the first, then host",
            "GET / HTTP/1.1\r\n X: y\r\nHost: shop.example\r\n\r\n",
        ),
        ("tab before the first", "GET / HTTP/1.1\r\n\tX: y\r\nHost: shop.example\r\n\r\n"),
        ("space alone", "GET / HTTP/1.1\r\n \r\nHost: shop.example\r\n\r\n"),
    ];
    for (name, bytes) in odd {
        cases.push(clean(name, bytes));
    }
    for (name, begun) in [
        ("lf lf", "GET / HTTP/1.1\r\nHost: shop.example\r\nX: y\n\n"),
        ("lf cr lf", "GET / HTTP/1.1\r\nHost: shop.example\r\nX: y\n\r\n"),
        ("cr lf lf", "GET / HTTP/1.1\r\nHost: shop.example\r\n\n"),
        ("first line lf lf", "GET / HTTP/1.1\nHost: shop.example\n\n"),
        ("lf lf with a length", "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 45\n\n"),
    ] {
        cases.push(refuse(format!("{name}, hidden"), format!("{begun}{HIDDEN}")));
    }
    cases.push(answer("an empty line before", "\r\nGET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_of_anything_is_refused() {
    let head = |rest: &str| format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{rest}\r\n");
    let long = |count: usize| "x".repeat(count);
    run(vec![
        refuse("200 KB target", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(200_000))),
        refuse("100 KB query", format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", long(100_000))),
        refuse("100 KB method", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", long(100_000))),
        refuse("endless first line", format!("GET /{}", long(3_000_000))),
        refuse("endless method", long(3_000_000)),
        refuse("endless empty lines", "\r\n".repeat(1_000_000)),
        refuse("endless space", " ".repeat(1_000_000)),
        refuse("endless zeros", vec![0; 1_000_000]),
        refuse("1 MB field", head(&format!("X: {}\r\n", long(1_000_000)))),
        refuse("1 MB cookie", head(&format!("Cookie: {}\r\n", long(1_000_000)))),
        refuse("64 KB name", head(&format!("{}: y\r\n", long(65_536)))),
        refuse("1 MB name", head(&format!("{}: y\r\n", long(1_000_000)))),
        refuse("2000 fields", head(&"x: y\r\n".repeat(2000))),
        refuse("50000 fields", head(&"x: y\r\n".repeat(50_000))),
        refuse("50000 empty fields", head(&"x:\r\n".repeat(50_000))),
        refuse("1 MB host", format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", long(1_000_000))),
        refuse("1000 hosts", format!("GET / HTTP/1.1\r\n{}\r\n", "Host: a\r\n".repeat(1000))),
        clean("1000 cookies", head(&format!("Cookie: {}\r\n", "c=1; ".repeat(1000)))),
        clean("1000 cookie fields", head(&"Cookie: c=1\r\n".repeat(1000))),
        clean("60 KB cookie", head(&format!("Cookie: a={}\r\n", long(60_000)))),
        clean("1000 listed", head(&format!("Connection: {}\r\n", "x,".repeat(1000)))),
        answer("8 KB cookie", head(&format!("Cookie: a={}\r\n", long(8000)))),
        answer("90 fields", head(&"x: y\r\n".repeat(90))),
    ])
    .await;
}
