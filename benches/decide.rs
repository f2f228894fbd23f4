//! What one decision costs.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may fail loudly")]
#![allow(clippy::allow_attributes, reason = "criterion's macros")]
#![allow(dead_code, reason = "the page itself is for the other bench")]

mod pages;

use consentry::catalogue::{Catalogue, Kind, List, Lists, SourceFile, Subject};
use consentry::consent::Consent;
use consentry::policy::{Policy, Unlisted};
use consentry::purpose::Purpose;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
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

/// A list of 50,000 rules: an address that was seen before, and one that was
/// not.
fn listed(c: &mut Criterion) {
    let text: String = (0..50_000).map(|n| format!("||t{n}.example^$third-party\n")).collect();
    let list = List {
        place: "list.txt".to_owned(),
        name: String::new(),
        text,
        purpose: Purpose::Marketing,
    };
    let lists = Arc::new(Lists::compile(&[list], 1));
    let catalogue = Catalogue::compile(&SourceFile::embedded()).unwrap().with_lists(lists);
    let policy = Policy::new(Arc::new(catalogue), Unlisted::Observe, &[]);
    let consent = Consent::silent();
    let blocks = |url: &Url| {
        let subject = Subject::Load { kind: Kind::Script, url };
        policy.decide(black_box(subject), "shop.example", &consent).verdict.blocks()
    };
    let mut group = c.benchmark_group("listed");
    let known = Url::parse("https://x.t49999.example/a.js").unwrap();
    group.bench_function("seen", |b| b.iter(|| blocks(&known)));
    let mut number = 0_u64;
    group.bench_function("new", |b| {
        b.iter(|| {
            number += 1;
            let mut url = known.clone();
            url.set_query(Some(&number.to_string()));
            blocks(&url)
        });
    });
    group.finish();
}

criterion_group!(benches, decide, listed);
criterion_main!(benches);
