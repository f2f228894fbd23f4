//! Whatever a visitor says is read in one way only, in pieces of any size; and
//! whatever fields a request has, nothing denied reaches the origin, and nobody
//! but us speaks in our name.
#![no_main]

mod shop;

use consentry::catalogue::Subject;
use consentry::consent::Consent;
use consentry::enforce::{RequestContext, clear_request};
use consentry::proxy::read_strictly;
use http::{HeaderMap, Request, Uri};
use libfuzzer_sys::fuzz_target;

fn cleared(uri: &Uri, headers: HeaderMap) -> (Uri, HeaderMap) {
    let mut request = Request::get(uri.clone()).body(()).expect("it is a request").into_parts().0;
    request.headers = headers;
    let context = RequestContext {
        policy: &shop::POLICY,
        consent: &Consent::silent(),
        host: shop::HOST,
        enforcing: true,
        address_truncated: true,
    };
    let (cleared, _) = clear_request(request, &context);
    (cleared.get().uri.clone(), cleared.get().headers.clone())
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, said) = input;
    let (whole, refused) = read_strictly(said, said.len());
    let (pieces, also) = read_strictly(said, usize::from(size));
    assert_eq!(refused, also, "the size of the pieces changed what is refused");
    assert!(refused || (whole == said && pieces == said), "what is clear passes as it came");

    let (line, fields) = said.split_at(said.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or(b"/");
    let Ok(uri) = Uri::try_from(target) else { return };
    if !target.starts_with(b"/") {
        return;
    }
    let (uri, sent) = cleared(&uri, shop::fields(fields));
    for field in sent.get_all("cookie") {
        for pair in field.as_bytes().split(|byte| *byte == b';') {
            let name = shop::text(pair.split(|byte| *byte == b'=').next().unwrap_or_default());
            let name = name.trim();
            assert!(name.is_empty() || !shop::denied(Subject::Cookie(name)), "{name}");
        }
    }
    let ours = sent.keys().filter(|name| name.as_str().replace('_', "-").starts_with("consentry-"));
    assert_eq!(ours.count(), 1, "somebody speaks in our name: {sent:?}");
    assert_eq!(cleared(&uri, sent.clone()), (uri, sent), "something is left to clear");
});
