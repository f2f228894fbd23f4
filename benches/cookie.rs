//! What clearing the header of a request and of its answer costs, most of
//! which are cookies.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may fail loudly")]
#![allow(clippy::allow_attributes, reason = "criterion's macros")]
#![allow(dead_code, reason = "the page itself is for another bench")]

mod pages;

use consentry::enforce::{
    CookiePlaces, RequestContext, ResponseContext, clear_request, clear_response,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Request, Response};

/// What a browser that has been here before sends: a cart, a session, and what
/// seven vendors left.
const COOKIES: &str = "cart=3f9a; sid=7f81bd02aa; _ga=GA1.2.1293841.1718200000; \
    _ga_4XK2T9=GS1.1.1718200000.3.1; _fbp=fb.1.1718200000.12938; _gcl_au=1.1.12938; \
    _hjSessionUser_29144=eyJpZCI6IjEifQ==; _uetsid=0f1e; _clck=1x2y; lang=en; theme=dark; \
    _pin_unauth=dWlkPU1; unknown=1";

fn cookie(c: &mut Criterion) {
    let page = pages::context();
    let request = RequestContext {
        policy: &page.policy,
        consent: &page.consent,
        host: "shop.example",
        enforcing: true,
        address_truncated: true,
    };
    let places = CookiePlaces::default();
    let response = ResponseContext {
        policy: &page.policy,
        consent: &page.consent,
        host: "shop.example",
        url: &page.url,
        enforcing: true,
        secure: true,
        is_page: false,
        denied_cookies: &[],
        places: &places,
    };
    let asked = |cookies: &str| {
        let asked = Request::get("/img/1.jpg")
            .header("host", "shop.example")
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101")
            .header("accept", "image/avif,image/webp,*/*;q=0.8")
            .header("accept-language", "en-US,en;q=0.5")
            .header("accept-encoding", "gzip, deflate, br")
            .header("referer", "https://shop.example/")
            .header("x-forwarded-for", "198.51.100.7");
        let asked = if cookies.is_empty() { asked } else { asked.header("cookie", cookies) };
        asked.body(()).unwrap().into_parts().0
    };
    let answered = |cookies: &[&str]| {
        let mut answered = Response::builder()
            .header("content-type", "image/jpeg")
            .header("content-length", "4096")
            .header("cache-control", "max-age=3600")
            .header("etag", "\"6b036ba0-2217\"")
            .header("server", "nginx");
        for cookie in cookies {
            answered = answered.header("set-cookie", *cookie);
        }
        answered.body(()).unwrap().into_parts().0
    };
    let mut group = c.benchmark_group("cookie");
    for (name, cookies) in [("request_without", ""), ("request_13", COOKIES)] {
        let asked = asked(cookies);
        group.bench_function(name, |b| {
            b.iter_batched(
                || asked.clone(),
                |asked| clear_request(asked, &request),
                BatchSize::SmallInput,
            );
        });
    }
    let sets = ["sid=7f81; Path=/; HttpOnly", "_ga=GA1.2.3; Path=/; Max-Age=63072000"];
    for (name, cookies) in [("response_without", &[][..]), ("response_2", &sets)] {
        let answered = answered(cookies);
        group.bench_function(name, |b| {
            b.iter_batched(
                || answered.clone(),
                |mut answered| (clear_response(&mut answered, &response), answered),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, cookie);
criterion_main!(benches);
