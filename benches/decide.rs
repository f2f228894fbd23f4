//! What one decision costs.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may fail loudly")]
#![allow(clippy::allow_attributes, reason = "criterion's macros")]
#![allow(dead_code, reason = "the page itself is for the other bench")]

mod pages;

use consentry::catalogue::{Kind, Subject};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use url::Url;

fn decide(c: &mut Criterion) {
    let context = pages::context();
    let (policy, consent) = (&context.policy, &context.consent);
    let mut group = c.benchmark_group("decide");
    for (name, url) in [
        ("vendor", "https://connect.facebook.net/en_US/fbevents.js"),
        ("stranger", "https://cdn.stranger.example/lib/jquery.min.js"),
        ("own", "https://shop.example/img/1.jpg"),
    ] {
        let url = Url::parse(url).unwrap();
        group.bench_function(name, |b| {
            let subject = Subject::Load { kind: Kind::Script, url: &url };
            b.iter(|| policy.decide(black_box(subject), "shop.example", consent).verdict.blocks());
        });
    }
    group.bench_function("cookie", |b| {
        b.iter(|| {
            policy
                .decide(black_box(Subject::Cookie("_ga_ABC")), "shop.example", consent)
                .verdict
                .blocks()
        });
    });
    let code = "!function(f,b){b.createElement('script').src='https://connect.facebook.net/en_US/fbevents.js'}(window,document);fbq('init','1');";
    group.bench_function("inline_120_bytes", |b| {
        b.iter(|| {
            policy
                .decide_inline(black_box(code.as_bytes()), "shop.example", consent)
                .verdict
                .blocks()
        });
    });
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
